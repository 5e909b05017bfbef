//! The first bytes of a connection: TLS, a TCP preface, or HTTP that asks for WebSocket or for a stream (BOUNDARY.md).
//!
//! Where a port has certificates, bytes that are not TLS are refused. Read next: `../wire/http.rs`, `streaming.rs`,
//! `reading.rs`.

use std::time::Duration;

use crate::connection::{Conn, Flags, Trust, Wire};
use crate::engine::ident::ConnId;
use crate::engine::stats::Count;
use crate::thread::io::{After, Io};
use crate::tls::Session;
use crate::wire::http::{self, Parsed, Rules, Subprotocol};
use crate::wire::stream::Body;
use crate::wire::{tcp, websocket};

/// The longest request that is read, in bytes.
const MAX_HEADER: usize = 8 * 1024;
/// The type of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

impl Io {
    pub(crate) fn shake_hands(&mut self, id: ConnId, conn: &mut Conn, bytes: &mut [u8]) -> After {
        if conn.is(Flags::CLOSING) {
            return After::Keep;
        }
        let Some(young) = &mut conn.young else { return After::Drop };
        if young.trust == Trust::Header {
            return self.read_proxy_header(id, conn, bytes);
        }
        if let Some(acceptor) = young.tls.take() {
            let Ok(session) = acceptor.session() else { return self.fail() };
            return self.begin_tls(id, conn, session, bytes);
        }
        if let Some((body, coding)) = young.body.take() {
            return self.read_body(id, conn, body, coding, bytes);
        }
        if young.head.is_empty() {
            let used = self.recognize(id, conn, bytes);
            return self.proceed(id, conn, bytes, used);
        }
        let is_record = young.head.first() == Some(&0);
        if !is_record && !bytes.contains(&b'\n') && young.head.len() + bytes.len() < MAX_HEADER {
            // A request cannot end here, and reading it again for each byte that trickles in would cost its square.
            young.head.extend_from_slice(bytes);
            return After::Keep;
        }
        let mut head = std::mem::take(&mut young.head);
        head.extend_from_slice(bytes);
        let used = self.recognize(id, conn, &head);
        self.proceed(id, conn, &mut head, used)
    }

    fn begin_tls(&mut self, id: ConnId, conn: &mut Conn, mut session: Session, bytes: &mut [u8]) -> After {
        if bytes.first() != Some(&TLS_HANDSHAKE) {
            self.stats.one(Count::HandshakeFailures);
            if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
                return After::Drop;
            }
            self.answer_and_close(id, conn, &http::refusal(400, "this port speaks TLS"));
            return After::Keep;
        }
        let fed = session.feed(bytes);
        conn.tls = Some(Box::new(session));
        if fed.is_err() {
            let _ = self.flush_tls(conn);
            return self.fail();
        }
        self.flush_tls(conn)
    }

    /// What TLS itself has to say; what the socket does not take goes out when it is writable.
    #[expect(clippy::unused_self, reason = "one of the steps that a connection goes through")]
    pub(crate) fn flush_tls(&self, conn: &mut Conn) -> After {
        let Some(tls) = &mut conn.tls else { return After::Keep };
        if tls.flush(&mut conn.stream).is_ok() { After::Keep } else { After::Drop }
    }

    /// The peer broke the rules of TLS, or said that we did.
    pub(crate) fn tls_broke(&mut self, conn: &Conn) -> After {
        if conn.is_new() {
            return self.fail();
        }
        self.stats.one(Count::ProtocolErrors);
        After::Drop
    }

    /// How many bytes the handshake used; None when it needs more or has failed.
    fn recognize(&mut self, id: ConnId, conn: &mut Conn, bytes: &[u8]) -> Option<usize> {
        if bytes.first() == Some(&0) {
            return self.recognize_records(id, conn, bytes);
        }
        let settings = std::sync::Arc::clone(&self.settings);
        let young = conn.young.as_ref()?;
        let rules = Rules {
            known: &settings.subprotocols,
            max_header: MAX_HEADER,
            max_body: settings.hello_bytes(),
            trusted: (young.trust == Trust::Fields).then_some(&settings.trusted_proxies),
        };
        let proxied = young.proxied;
        let parsed = http::parse(bytes, rules);
        if let Parsed::Upgrade { client: Some(client), .. } | Parsed::Stream { client: Some(client), .. } = parsed
            && !self.speaks_for(id, conn, client)
        {
            self.answer_and_close(id, conn, &http::refusal(429, "too many connections from your address"));
            return None;
        }
        match parsed {
            Parsed::Incomplete => None,
            Parsed::Upgrade { used, subprotocol, hop, response, .. } => {
                let pings = hop || proxied;
                let frame = self.turn.lay(|arena| arena.extend_from_slice(&response));
                self.turn.add(id, &mut conn.turn, frame, None);
                let decoder = websocket::Decoder::new();
                self.open(id, conn, Wire::WebSocket { decoder, pings }, only(subprotocol));
                Some(used)
            }
            Parsed::Stream { used, length, coding, .. } => {
                conn.young.as_mut()?.body = Some((Body::new(length), coding));
                Some(used)
            }
            Parsed::Preflight { response } => {
                self.answer_and_close(id, conn, response);
                None
            }
            Parsed::Reject { response, status } => {
                self.stats.one(Count::HandshakeFailures);
                if status == 413 {
                    self.stats.one(Count::HelloTooLong);
                }
                self.answer_and_close(id, conn, &response);
                None
            }
        }
    }

    fn recognize_records(&mut self, id: ConnId, conn: &mut Conn, bytes: &[u8]) -> Option<usize> {
        let size = tcp::PREFACE_BINARY.len();
        let start = &bytes[..bytes.len().min(size)];
        let only = match start {
            _ if start == tcp::PREFACE_BINARY => Flags::ONLY_BINARY,
            _ if start == tcp::PREFACE_TEXT => Flags::ONLY_TEXT,
            _ if start.len() < size && tcp::PREFACE_BINARY.starts_with(&start[..start.len().min(size - 1)]) => {
                return None;
            }
            _ => {
                self.stats.one(Count::HandshakeFailures);
                self.answer_and_close(
                    id,
                    conn,
                    &http::refusal(400, "neither HTTP nor a preface that this server knows"),
                );
                return None;
            }
        };
        self.open(id, conn, Wire::Tcp(tcp::Decoder::new()), only);
        Some(size)
    }

    pub(crate) fn open(&mut self, id: ConnId, conn: &mut Conn, wire: Wire, only: Flags) {
        conn.wire = wire;
        conn.set(only);
        self.stats.one(Count::Handshakes);
        if conn.tls.as_ref().is_some_and(|tls| tls.is_resumed()) {
            self.stats.one(Count::TlsResumed);
        }
        if let Some(young) = &mut conn.young {
            self.stats.handshake.observe(micros(young.accepted.elapsed()));
            young.since = self.now;
            young.head = Vec::new();
        }
        if self.limits.hello.is_none() {
            self.admit(conn);
        }
        self.rearm(id, conn);
    }

    fn proceed(&mut self, id: ConnId, conn: &mut Conn, bytes: &mut [u8], used: Option<usize>) -> After {
        match used {
            Some(used) if used < bytes.len() && conn.is_new() => self.shake_hands(id, conn, &mut bytes[used..]),
            Some(used) if used < bytes.len() => self.decode(id, conn, &mut bytes[used..]),
            None if !conn.is(Flags::CLOSING) => {
                if let Some(young) = &mut conn.young {
                    young.head = bytes.to_vec();
                }
                After::Keep
            }
            _ => After::Keep,
        }
    }

    fn fail(&mut self) -> After {
        self.stats.one(Count::HandshakeFailures);
        After::Drop
    }
}

fn only(subprotocol: Option<&Subprotocol>) -> Flags {
    match subprotocol {
        None => Flags::none(),
        Some(known) if known.text => Flags::ONLY_TEXT,
        Some(_) => Flags::ONLY_BINARY,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
