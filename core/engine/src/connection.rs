//! One connection: as little as an idle one needs, everything else in boxes that exist only while they are needed.
//!
//! Only state; what happens to it is in reading, writing, timers and closing. Read next: `thread/io.rs`.

mod closing;
mod handshake;
mod holding;
mod proxied;
mod queue;
mod reading;
mod rest;
mod streaming;
mod timers;
pub(crate) mod transport;
pub(crate) mod writing;

use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use crate::thread::turn;
use crate::time::bucket::Bucket;
use crate::time::clock::Tick;
use crate::tls::{Acceptor, Session};
use crate::topics;
use crate::wire::stream::{Body, Coding};
use crate::wire::{Framing, Kind, tcp, websocket};
use queue::OutQueue;
use rest::Rest;

/// How bytes become messages. `New` until the first bytes have said it.
pub(crate) enum Wire {
    New,
    /// pings: somebody on the way may cut it when it is silent.
    WebSocket {
        decoder: websocket::Decoder,
        pings: bool,
    },
    Tcp(tcp::Decoder),
    /// Its client has said all that it will say.
    Stream(Coding),
}

/// Messages of a connection that is not admitted; what follows is left unread.
pub(crate) const MOST_TOLD: u8 = 4;

/// Who is believed when it says whom it speaks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Nobody,
    /// A trusted proxy, by a header of the PROXY protocol, which has not come whole.
    Header,
    /// A trusted proxy, by fields of HTTP.
    Fields,
}

/// What a connection has until it is admitted.
pub(crate) struct Young {
    /// The key of its address, see `engine/addresses.rs`; None while only a trusted proxy is known.
    pub(crate) address: Option<u128>,
    pub(crate) trust: Trust,
    /// It came with a header of the PROXY protocol.
    pub(crate) proxied: bool,
    /// Accepted, and later: upgraded.
    pub(crate) since: Tick,
    pub(crate) accepted: Instant,
    /// First bytes that were not enough to decide.
    pub(crate) head: Vec<u8>,
    /// What came of the request that opens a stream, behind its header, and how it will be answered.
    pub(crate) body: Option<(Body, Coding)>,
    /// Messages that Python was told.
    pub(crate) told: u8,
    /// The port speaks TLS, and TLS has not begun.
    pub(crate) tls: Option<Arc<Acceptor>>,
}

/// Yes or no, in one bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    /// The socket may have bytes for us.
    pub(crate) const READABLE: Self = Self(1);
    /// The peer has ended its side; what it sent before is still to be read.
    pub(crate) const PEER_SHUT: Self = Self(1 << 1);
    /// Out of tokens; the wheel resumes it.
    pub(crate) const THROTTLED: Self = Self(1 << 2);
    /// Waits for room in the ring.
    pub(crate) const PARKED: Self = Self(1 << 3);
    /// In the list of those that go on in the next turn.
    pub(crate) const AGAIN: Self = Self(1 << 4);
    pub(crate) const ADMITTED: Self = Self(1 << 5);
    /// Has yielded a message.
    pub(crate) const SPOKE: Self = Self(1 << 6);
    /// Our close is on its way; nothing more is sent or told.
    pub(crate) const CLOSING: Self = Self(1 << 7);
    /// Our close has left; the peer has a few seconds.
    pub(crate) const CLOSE_SENT: Self = Self(1 << 8);
    /// The peer has closed, so that nobody waits for its answer.
    pub(crate) const PEER_CLOSED: Self = Self(1 << 9);
    /// CLOSED is in the ring.
    pub(crate) const TOLD: Self = Self(1 << 10);
    pub(crate) const ONLY_TEXT: Self = Self(1 << 11);
    pub(crate) const ONLY_BINARY: Self = Self(1 << 12);
    /// `ends` says when it has lived long enough.
    pub(crate) const MORTAL: Self = Self(1 << 13);

    /// Broke the protocol; what else it says is thrown away.
    pub(crate) const FAILED: Self = Self(1 << 14);
    /// What waits in `out` is held back and could be written.
    pub(crate) const HELD: Self = Self(1 << 15);

    pub(crate) const fn none() -> Self {
        Self(0)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    pub(crate) flags: Flags,
    /// The close code that Python will be told.
    pub(crate) code: u16,
    pub(crate) wire: Wire,
    pub(crate) tls: Option<Box<Session>>,
    pub(crate) young: Option<Box<Young>>,
    /// Bytes that were read and not decoded, because the connection has to wait.
    pub(crate) rest: Option<Box<Rest>>,
    pub(crate) out: Option<Box<OutQueue>>,
    /// When it last said something.
    pub(crate) seen: Tick,
    /// When it has to go: its lifetime, or the end of a close.
    pub(crate) ends: Tick,
    /// How many ticks it may say nothing; 0: what the settings say.
    pub(crate) idle: u32,
    pub(crate) bucket: Bucket,
    /// Its place in the writes of this turn.
    pub(crate) turn: u32,
    /// The first of its subscriptions.
    pub(crate) topics: u32,
    /// When it was last written to, see `connection/holding.rs`.
    pub(crate) wrote: u32,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream, young: Young, bucket: Bucket, wrote: u32) -> Self {
        Self {
            stream,
            flags: Flags::none(),
            code: 1006,
            wire: Wire::New,
            tls: None,
            seen: young.since,
            ends: young.since,
            idle: 0,
            young: Some(Box::new(young)),
            rest: None,
            out: None,
            bucket,
            turn: turn::NONE,
            topics: topics::NONE,
            wrote,
        }
    }

    pub(crate) fn is(&self, flag: Flags) -> bool {
        self.flags.0 & flag.0 != 0
    }

    pub(crate) fn set(&mut self, flag: Flags) {
        self.flags.0 |= flag.0;
    }

    pub(crate) fn unset(&mut self, flag: Flags) {
        self.flags.0 &= !flag.0;
    }

    pub(crate) fn is_new(&self) -> bool {
        matches!(self.wire, Wire::New)
    }

    /// None: it is not open yet.
    pub(crate) fn framing(&self) -> Option<Framing> {
        match self.wire {
            Wire::New => None,
            Wire::WebSocket { .. } => Some(Framing::WebSocket),
            Wire::Tcp(_) => Some(Framing::Record),
            Wire::Stream(Coding::Chunked) => Some(Framing::Stream),
            Wire::Stream(Coding::Plain) => Some(Framing::PlainStream),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.is(Flags::ONLY_TEXT) {
            Kind::Text
        } else if self.is(Flags::ONLY_BINARY) {
            Kind::Binary
        } else {
            Kind::Any
        }
    }

    /// Memory that a write may change, and bytes that wait.
    pub(crate) fn queue_size(&self) -> (usize, usize) {
        (self.written_bytes(), self.waiting())
    }

    /// Bytes that wait for the socket.
    pub(crate) fn waiting(&self) -> usize {
        self.out.as_ref().map_or(0, |out| out.waiting().len())
    }

    /// Memory in boxes, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let body = |young: &Young| young.body.as_ref().map_or(0, |(body, _)| body.held_bytes());
        let young = |young: &Young| size_of::<Young>() + young.head.capacity() + body(young);
        let decoder = match &self.wire {
            Wire::New | Wire::Stream(_) => 0,
            Wire::WebSocket { decoder, .. } => decoder.held_bytes(),
            Wire::Tcp(decoder) => decoder.held_bytes(),
        };
        decoder
            + self.young.as_deref().map_or(0, young)
            + self.rest.as_ref().map_or(0, |rest| rest.held_bytes())
            + self.written_bytes()
    }

    /// Memory of what is on its way out: the queue, and the TLS that keeps what was encrypted.
    fn written_bytes(&self) -> usize {
        self.out.as_ref().map_or(0, |out| out.held_bytes()) + self.tls.as_ref().map_or(0, |tls| tls.held_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // The socket of a debug build carries more than its descriptor.
        let own = size_of::<Conn>() - size_of::<TcpStream>();
        assert!(own <= 88, "{own}");
    }
}
