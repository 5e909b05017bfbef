//! TLS sessions against rustls' own client, in memory: a socket that gives and takes as much as a test says.
//!
//! Read next: tests/records.rs, tests/limits.rs, tests/resumption.rs, tests/damage.rs; tests/forge.rs makes records that
//! no client sends.

mod damage;
mod forge;
mod limits;
mod records;
mod resumption;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::time_provider::DefaultTimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::{Acceptor, Session, Tickets};
use crate::thread::io::BUFFER_BYTES;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const SECRET: [u8; 32] = [7; 32];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/tests").join(name)
}

fn acceptor(tickets: Tickets) -> Acceptor {
    Acceptor::load(&file("certificate.pem"), &file("key.pem"), Arc::new(tickets)).expect("the files are well")
}

fn any_acceptor() -> Acceptor {
    acceptor(Tickets::new(&SECRET, Arc::new(DefaultTimeProvider)).expect("a secret of 32 bytes"))
}

fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(file("certificate.pem")).expect("a certificate");
    roots.add(certificate).expect("a root");
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version that ring has")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The server's socket.
struct Socket {
    incoming: VecDeque<u8>,
    /// Bytes that one read gives at most.
    portion: usize,
    outgoing: Vec<u8>,
    /// Bytes that it takes until it has to be drained.
    room: usize,
    writes: usize,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = buffer.len().min(self.portion);
        self.incoming.read(&mut buffer[..most])
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= taken;
        self.writes += 1;
        self.outgoing.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client, the session that serves it, and the socket between them.
struct Pair {
    client: ClientConnection,
    session: Session,
    socket: Socket,
    buffer: Vec<u8>,
    /// What the client has read.
    told: Vec<u8>,
    /// What the session has read, and how its reading ended, if it did.
    heard: Vec<u8>,
    end: Option<io::Result<()>>,
}

impl Pair {
    fn new(acceptor: &Acceptor, config: &Arc<ClientConfig>) -> Self {
        let name = "localhost".try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::clone(config), name).expect("a client");
        client.set_buffer_limit(None);
        Self {
            client,
            session: acceptor.session().expect("a session"),
            socket: Socket {
                incoming: VecDeque::new(),
                portion: usize::MAX,
                outgoing: Vec::new(),
                room: usize::MAX,
                writes: 0,
            },
            buffer: vec![0; BUFFER_BYTES],
            told: Vec::new(),
            heard: Vec::new(),
            end: None,
        }
    }

    /// After the handshake, with nothing on its way.
    fn open(version: &'static SupportedProtocolVersion) -> Self {
        let mut pair = Self::new(&any_acceptor(), &Arc::new(client_config(version)));
        pair.settle();
        assert!(!pair.client.is_handshaking());
        pair
    }

    /// Let the session read and write until there is nothing more to do.
    fn serve(&mut self) {
        while self.end.is_none() {
            match self.session.read(&mut self.socket, &mut self.buffer) {
                Ok(0) => self.end = Some(Ok(())),
                Ok(count) => self.heard.extend_from_slice(&self.buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => self.end = Some(Err(error)),
            }
        }
        self.session.flush(&mut self.socket).expect("a socket that does not break");
    }

    /// What the client has to say, on its way to the session.
    fn client_speaks(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).expect("memory takes it");
        }
        bytes
    }

    /// Give the client what has left; false when it found fault with it.
    fn client_listens(&mut self) -> bool {
        let bytes = std::mem::take(&mut self.socket.outgoing);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).expect("memory gives it");
            if self.client.process_new_packets().is_err() {
                return false;
            }
            let outcome = self.client.reader().read_to_end(&mut self.told);
            assert!(outcome.is_ok() || outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
        }
        true
    }

    /// To and fro until both are silent.
    fn settle(&mut self) {
        loop {
            let said = self.client_speaks();
            self.socket.incoming.extend(&said);
            self.serve();
            let silent = said.is_empty() && self.socket.outgoing.is_empty();
            assert!(self.client_listens(), "the client is content");
            if silent {
                return;
            }
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.client.writer().write_all(bytes).expect("the client takes it");
    }

    /// The session says something to a socket that takes it.
    fn answer(&mut self, bytes: &[u8]) {
        let taken = self.session.write(&mut self.socket, bytes).expect("a session that is open");
        assert_eq!((taken, self.session.is_dirty()), (bytes.len(), false));
    }

    fn is_broken(&self) -> bool {
        matches!(self.end, Some(Err(_)))
    }
}
