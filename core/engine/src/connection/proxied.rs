//! Connections that come through a trusted proxy: whose they are, and what counts against that address.
//!
//! The proxy's own address is not measured. Read next: `../wire/proxy.rs`, `../wire/forwarded.rs`, `../engine/addresses.rs`.

use std::net::SocketAddr;

use crate::connection::{Conn, Trust};
use crate::engine::addresses::{self, Answer};
use crate::engine::ident::ConnId;
use crate::engine::stats::Count;
use crate::thread::io::{After, Io};
use crate::wire::proxy::{self, Header};

impl Io {
    /// The header comes before all else, also before TLS; without it the connection is closed.
    pub(crate) fn read_proxy_header(&mut self, id: ConnId, conn: &mut Conn, bytes: &mut [u8]) -> After {
        let Some(young) = &mut conn.young else { return After::Drop };
        let before = young.head.len();
        young.head.extend_from_slice(bytes);
        let (used, client) = match proxy::parse(&young.head) {
            Header::Incomplete => return After::Keep,
            Header::Malformed => {
                self.stats.one(Count::ProxyFailures);
                return After::Drop;
            }
            Header::Whole { used, client } => (used, client),
        };
        young.head = Vec::new();
        young.trust = Trust::Nobody;
        young.proxied = true;
        if client.is_some_and(|client| !self.speaks_for(id, conn, client)) {
            return After::Drop;
        }
        let rest = &mut bytes[used - before..];
        if rest.is_empty() { After::Keep } else { self.shake_hands(id, conn, rest) }
    }

    /// The proxy says whose connection it is; false when that address has too many, or comes too fast.
    pub(crate) fn speaks_for(&mut self, id: ConnId, conn: &mut Conn, client: SocketAddr) -> bool {
        let key = addresses::key(client.ip());
        let Some(young) = &mut conn.young else { return false };
        if !self.enter_address(key) {
            return false;
        }
        young.address = Some(key);
        self.stats.one(Count::Proxied);
        self.peers.enter(id, client);
        true
    }

    /// Count a connection of an address; false when it is refused. Otherwise `leave_address` must follow.
    pub(crate) fn enter_address(&self, key: u128) -> bool {
        match self.addresses.enter(key, self.now) {
            Answer::Welcome => return true,
            Answer::TooFast => self.stats.one(Count::RefusedRate),
            Answer::TooMany => self.stats.one(Count::RefusedHalfOpen),
        }
        false
    }

    pub(crate) fn leave_address(&self, key: Option<u128>) {
        if let Some(key) = key {
            self.addresses.leave(key);
        }
    }
}
