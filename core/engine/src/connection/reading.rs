//! From the socket to the ring: one read a turn and connection, stopped by the ring's bounds and the token bucket.
//!
//! Bytes behind a stop stay with the connection; with edge-triggered readiness, a connection that still has something to
//! read is always marked READABLE or in a list. Read next: `handshake.rs` (before the upgrade), `../wire.rs`.

use std::io::ErrorKind;
use std::mem;

use crate::connection::rest::Rest;
use crate::connection::transport;
use crate::connection::{Conn, Flags, MOST_TOLD, Wire};
use crate::engine::bounds::Delivery;
use crate::engine::ident::ConnId;
use crate::engine::ring::EventKind;
use crate::engine::stats::Count;
use crate::thread::io::{After, Io};
use crate::time::bucket::Bucket;
use crate::wire::{Flow, Item, Violation, tcp, websocket};

/// Reads of one connection in one turn.
const READS: usize = 4;

/// Why decoding stopped before the end of its input.
enum Stop {
    Throttled,
    RingFull,
    /// Said enough before it was admitted.
    Young,
    Closed(u16),
}

/// Bytes of payload that a token pays for; the first ones come with the header.
const TOKEN_BYTES: usize = 4096;

/// What a frame costs: one token for its header, and one for each further 4 KiB of a message.
fn tokens(item: Item<'_>) -> u32 {
    match item {
        Item::Binary(payload) | Item::Text(payload) => {
            u32::try_from(payload.len().div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX)
        }
        _ => 1,
    }
}

/// Takes the items of one connection.
struct Sink<'a> {
    io: &'a mut Io,
    id: ConnId,
    bucket: &'a mut Bucket,
    /// Messages so far of a connection that is not admitted.
    told: Option<&'a mut u8>,
    websocket: bool,
    closing: bool,
    spoke: bool,
    stop: Option<Stop>,
}

impl Sink<'_> {
    fn take(&mut self, item: Item<'_>) -> Flow {
        match item {
            Item::Close { code, .. } => {
                self.stop = Some(Stop::Closed(code));
                return Flow::Pause;
            }
            _ if self.closing => return Flow::Continue,
            Item::Binary(payload) => self.message(EventKind::Binary, payload),
            Item::Text(payload) => self.message(EventKind::Text, payload),
            Item::Heartbeat { text } => self.heartbeat(text),
            Item::Ping(payload) => {
                self.io.stats.one(Count::Pings);
                websocket::encode_pong(payload, &mut self.io.replies);
            }
            Item::Pong | Item::Fragment => {}
        }
        self.go_on(tokens(item))
    }

    fn message(&mut self, kind: EventKind, payload: &[u8]) {
        self.spoke = true;
        self.io.hear(kind, self.id, payload);
        if let Some(told) = &mut self.told {
            **told += 1;
        }
    }

    fn heartbeat(&mut self, text: bool) {
        self.io.stats.one(Count::Heartbeats);
        if self.websocket {
            let (header, length) = websocket::encode_header(text, 0);
            self.io.replies.extend_from_slice(&header[..length]);
        } else {
            self.io.replies.extend_from_slice(&tcp::encode_header(0));
        }
    }

    /// The item has been taken; may another come?
    fn go_on(&mut self, tokens: u32) -> Flow {
        let shut = self.bucket.charge(self.io.limits.messages, self.io.now, tokens) > 0;
        self.stop = if self.told.as_ref().is_some_and(|told| **told >= MOST_TOLD) {
            Some(Stop::Young)
        } else if shut {
            Some(Stop::Throttled)
        } else if self.io.ring.is_full(&self.io.batch) {
            Some(Stop::RingFull)
        } else {
            return Flow::Continue;
        };
        Flow::Pause
    }
}

impl Io {
    /// A whole message came.
    pub(crate) fn hear(&mut self, kind: EventKind, id: ConnId, payload: &[u8]) {
        self.stats.one(Count::MessagesIn);
        self.stats.message_bytes.observe(payload.len() as u64);
        self.tell_message(kind, id, payload);
    }

    /// Go on with a connection: first what was kept back, then the socket.
    pub(crate) fn pump(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if conn.is(Flags::THROTTLED.and(Flags::PARKED)) {
            return After::Keep;
        }
        if is_passing(conn) {
            if self.passing == 0 || self.ring.is_busy(&self.batch) {
                self.stats.one(Count::Deferred);
                conn.set(Flags::PARKED);
                self.deferred.push_back(id);
                return After::Keep;
            }
            self.passing -= 1;
        }
        self.pump_now(id, conn)
    }

    /// The same, however much Python has to do, as long as the ring has room.
    pub(crate) fn pump_now(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if conn.is(Flags::THROTTLED) {
            return After::Keep;
        }
        if !conn.is_new() && !conn.is(Flags::CLOSING) && self.ring.is_full(&self.batch) {
            self.park(id, conn);
            return After::Keep;
        }
        if let Some(mut rest) = conn.rest.take() {
            let after = self.feed(id, conn, rest.bytes());
            if self.left > 0 {
                rest.keep(self.left);
                conn.rest = Some(rest);
            }
            if after == After::Drop || self.left > 0 || conn.is(Flags::THROTTLED.and(Flags::PARKED)) {
                return after;
            }
        }
        if conn.is(Flags::READABLE) { self.read(id, conn) } else { After::Keep }
    }

    fn read(&mut self, id: ConnId, conn: &mut Conn) -> After {
        for _ in 0..READS {
            if self.read_once(id, conn) == After::Drop {
                return After::Drop;
            }
            if !conn.is(Flags::READABLE) || conn.is(Flags::THROTTLED.and(Flags::PARKED)) {
                return After::Keep;
            }
        }
        self.go_on_next_turn(id, conn);
        After::Keep
    }

    fn read_once(&mut self, id: ConnId, conn: &mut Conn) -> After {
        let mut buffer = mem::take(&mut self.buffer);
        let after = match transport::read(conn, &mut buffer) {
            Ok(0) => After::Drop,
            Ok(count) => {
                self.stats.add(Count::BytesIn, count);
                // The end of the peer shows only in another read.
                if transport::is_drained(conn, buffer.len() - count) && !conn.is(Flags::PEER_SHUT) {
                    conn.unset(Flags::READABLE);
                }
                let after = self.feed(id, conn, &mut buffer[..count]);
                if self.left > 0 {
                    conn.rest = Some(Box::new(Rest::new(&buffer[count - self.left..count])));
                }
                after
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                conn.unset(Flags::READABLE);
                self.flush_tls(conn)
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => self.tls_broke(conn),
            Err(_) => After::Drop,
        };
        self.buffer = buffer;
        after
    }

    pub(crate) fn go_on_next_turn(&mut self, id: ConnId, conn: &mut Conn) {
        if !conn.is(Flags::AGAIN.and(Flags::THROTTLED).and(Flags::PARKED)) {
            conn.set(Flags::AGAIN);
            self.again.push(id);
        }
    }

    /// Bytes came: decode them, or decide what the connection speaks.
    fn feed(&mut self, id: ConnId, conn: &mut Conn, bytes: &mut [u8]) -> After {
        conn.seen = self.now;
        self.left = 0;
        if conn.is(Flags::FAILED.and(Flags::PEER_CLOSED)) {
            return After::Keep;
        }
        if conn.is_new() { self.shake_hands(id, conn, bytes) } else { self.decode(id, conn, bytes) }
    }

    pub(crate) fn decode(&mut self, id: ConnId, conn: &mut Conn, bytes: &mut [u8]) -> After {
        let (outcome, stop) = self.run_decoder(id, conn, bytes);
        let after = self.send_replies(id, conn);
        if after == After::Drop {
            return after;
        }
        match (outcome, stop) {
            (Err(violation), _) => self.violated(id, conn, &violation),
            (Ok(_), None) => After::Keep,
            (Ok(_), Some(Stop::Closed(code))) => self.peer_closed(id, conn, code),
            (Ok(used), Some(stop)) => {
                self.left = bytes.len() - used;
                self.pause(id, conn, &stop);
                After::Keep
            }
        }
    }

    fn run_decoder(
        &mut self,
        id: ConnId,
        conn: &mut Conn,
        bytes: &mut [u8],
    ) -> (Result<usize, Violation>, Option<Stop>) {
        let kind = conn.kind();
        let most = if conn.young.is_some() { self.settings.hello_bytes() } else { self.settings.max_message_bytes };
        let closing = conn.is(Flags::CLOSING);
        let websocket = matches!(conn.wire, Wire::WebSocket { .. });
        let bucket = &mut conn.bucket;
        let told = conn.young.as_mut().map(|young| &mut young.told);
        let mut sink = Sink { io: self, id, bucket, told, websocket, closing, spoke: false, stop: None };
        let mut take = |item: Item<'_>| sink.take(item);
        let outcome = match &mut conn.wire {
            Wire::New => Ok(bytes.len()),
            Wire::Stream(_) if closing => Ok(bytes.len()),
            Wire::Stream(_) => Err(Violation::protocol("nothing follows the body")),
            Wire::WebSocket { decoder, .. } => decoder.decode(bytes, kind, most, &mut take),
            Wire::Tcp(decoder) => decoder.decode(bytes, kind, most, &mut take),
        };
        let (spoke, stop) = (sink.spoke, sink.stop);
        if spoke {
            conn.set(Flags::SPOKE);
        }
        (outcome, stop)
    }

    /// Pongs and heartbeats wait like messages that nobody misses.
    fn send_replies(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if self.replies.is_empty() {
            return After::Keep;
        }
        let replies = &mut self.replies;
        let frame = self.turn.lay(|arena| arena.append(replies));
        self.enqueue(id, conn, frame, Delivery::Transient)
    }

    fn violated(&mut self, id: ConnId, conn: &mut Conn, violation: &Violation) -> After {
        self.stats.one(Count::ProtocolErrors);
        conn.set(Flags::FAILED);
        let mut reason = violation.reason;
        if violation.code == Violation::too_big().code && conn.young.is_some() {
            self.stats.one(Count::HelloTooLong);
            reason = "the message is longer than a connection may send before it is admitted (connection.hello_bytes)";
        }
        self.begin_close(id, conn, violation.code, reason)
    }

    fn pause(&mut self, id: ConnId, conn: &mut Conn, stop: &Stop) {
        if matches!(stop, Stop::RingFull) {
            self.park(id, conn);
            return;
        }
        if matches!(stop, Stop::Young) {
            // In no list: `admit` goes on, or the hello timeout ends it.
            self.stats.one(Count::HelloHeld);
            conn.set(Flags::PARKED);
            return;
        }
        self.stats.one(Count::Throttled);
        conn.set(Flags::THROTTLED);
        let wait = conn.bucket.wait(self.limits.messages, self.now).max(1);
        self.hasten(id, self.now.after(wait));
    }

    fn park(&mut self, id: ConnId, conn: &mut Conn) {
        if conn.is(Flags::PARKED) {
            return;
        }
        if self.parked.is_empty() {
            self.stats.one(Count::RingFull);
        }
        conn.set(Flags::PARKED);
        self.parked.push(id);
    }
}

/// Who is not admitted yet, or has gone: when thousands come or go at once, the messages of the others come between.
fn is_passing(conn: &Conn) -> bool {
    let waits = !conn.is(Flags::ADMITTED) || conn.is(Flags::PEER_SHUT);
    waits && !conn.is_new() && !conn.is(Flags::CLOSING)
}
