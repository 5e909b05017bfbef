//! TLS: certificates that can be replaced while serving, and one session's bytes.
//!
//! Never touches a certificate's meaning beyond what rustls checks. Read next: `transport.rs`.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What rustls keeps for a session that is open and quiet: about 7,300 bytes by the growth of Pss, 4,096 of them its buffer
/// for reading. rustls does not tell it.
const SESSION_BYTES: usize = 8 * 1024;

/// The certificates of new handshakes.
pub(crate) struct Acceptor {
    config: RwLock<Arc<ServerConfig>>,
}

impl Acceptor {
    /// Errors are sentences that name the file.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Self, String> {
        Ok(Self { config: RwLock::new(config(certificate, key)?) })
    }

    /// New handshakes use the new files; on an error the old ones stay.
    pub(crate) fn reload(&self, certificate: &Path, key: &Path) -> Result<(), String> {
        let fresh = config(certificate, key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(crate) fn session(&self) -> io::Result<Session> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        ServerConnection::new(config).map(Session).map_err(io::Error::other)
    }
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let (chain_name, key_name) = (certificate.display(), key.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{chain_name}: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{chain_name}: no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key_name}: {error}"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| format!("{chain_name} and {key_name}: {error}"))?;
    Ok(Arc::new(config))
}

/// The TLS of one connection.
pub(crate) struct Session(ServerConnection);

impl Session {
    /// Take in bytes that were read before TLS had begun.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.read_tls(&mut bytes)?;
            self.0.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Plain bytes; 0 at the end, `WouldBlock` when the socket has no more.
    pub(crate) fn read(&mut self, socket: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            if self.0.read_tls(socket)? == 0 {
                return Ok(0);
            }
            let outcome = self.0.process_new_packets();
            // Answers of the handshake and alerts leave at once; what the socket does not take waits for it.
            self.flush(socket)?;
            outcome.map_err(io::Error::other)?;
        }
    }

    /// How many of the bytes were taken; `is_dirty` says whether some still wait in here.
    pub(crate) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.flush(socket)? && taken < bytes.len() {
            taken += self.0.writer().write(&bytes[taken..])?;
        }
        Ok(taken)
    }

    /// Push encrypted bytes out; false when the socket takes no more.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while self.0.wants_write() {
            match self.0.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.0.wants_write()
    }

    pub(crate) fn send_close_notify(&mut self) {
        self.0.send_close_notify();
    }

    #[expect(clippy::unused_self, reason = "a figure for every session; rustls does not tell it")]
    pub(crate) fn held_bytes(&self) -> usize {
        SESSION_BYTES
    }
}
