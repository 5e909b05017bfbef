//! The client's side of TLS: one configuration for all links, tickets kept for later links, and one session's bytes.
//!
//! Trusts exactly the certificates of one file. Read next: `link.rs`; ../tls.rs is the server's side.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

/// Tickets kept for links to come; the oldest goes first.
const TICKETS: usize = 20_000;

pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// name: whom the certificate must be for. Errors are sentences that name the file.
    pub(super) fn load(authority: &Path, name: &str, resume: bool) -> Result<Self, String> {
        let shown = authority.display();
        let mut roots = RootCertStore::empty();
        for found in CertificateDer::pem_file_iter(authority).map_err(|error| format!("{shown}: {error}"))? {
            let found = found.map_err(|error| format!("{shown}: {error}"))?;
            roots.add(found).map_err(|error| format!("{shown}: {error}"))?;
        }
        if roots.is_empty() {
            return Err(format!("{shown}: no certificate in it"));
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption =
            if resume { Resumption::store(Arc::new(Tickets::default())) } else { Resumption::disabled() };
        let name = ServerName::try_from(name.to_owned()).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { config: Arc::new(config), name })
    }

    pub(super) fn session(&self) -> io::Result<Session> {
        let made = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        made.map(Session).map_err(io::Error::other)
    }
}

/// Tickets of the one server, each used once. The store of rustls keeps eight of a server.
#[derive(Default)]
struct Tickets {
    kept: Mutex<VecDeque<Tls13ClientSessionValue>>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Tickets")
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == TICKETS {
            kept.pop_front();
        }
        kept.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop_back()
    }
}

/// The TLS of one link.
pub(super) struct Session(ClientConnection);

impl Session {
    /// Plain bytes; 0 at the end, `WouldBlock` when the socket has no more.
    pub(super) fn read(&mut self, socket: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            if self.0.read_tls(socket)? == 0 {
                return Ok(0);
            }
            let outcome = self.0.process_new_packets();
            self.flush(socket)?;
            outcome.map_err(io::Error::other)?;
        }
    }

    /// How many of the bytes were taken: before the end of the handshake all, which then leave with it.
    pub(super) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.0.writer().write(bytes)?;
        self.flush(socket)?;
        Ok(taken)
    }

    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.0.wants_write() {
            match self.0.write_tls(socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Did a ticket spare the full handshake? None before its end.
    pub(super) fn is_resumed(&self) -> Option<bool> {
        Some(self.0.handshake_kind()? == HandshakeKind::Resumed)
    }
}
