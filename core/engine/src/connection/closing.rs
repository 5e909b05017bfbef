//! The end of a connection: close handshakes from both sides, refusals, and what Python is told.
//!
//! Read next: `writing.rs` (a close leaves behind what is queued), `timers.rs` (it does not wait for ever).

use std::net::Shutdown;

use crate::connection::{Conn, Flags, Wire};
use crate::engine::ident::ConnId;
use crate::thread::io::{After, Io};
use crate::time::clock;
use crate::wire::{stream, tcp, websocket};

pub(crate) const SLOW_CONSUMER: u16 = 4001;
pub(crate) const IDLE: u16 = 4002;
pub(crate) const HANDSHAKE_TIMEOUT: u16 = 4003;
pub(crate) const TOKEN_EXPIRED: u16 = 4512;

/// How long the peer may take to answer a close, in milliseconds.
const ANSWER_MS: u64 = 5000;

impl Io {
    /// Close behind what is queued. A connection that has no framing yet just goes.
    pub(crate) fn begin_close(&mut self, id: ConnId, conn: &mut Conn, code: u16, reason: &str) -> After {
        if conn.is(Flags::CLOSING) {
            return After::Keep;
        }
        conn.code = code;
        let frame = match conn.wire {
            Wire::New => return After::Drop,
            Wire::WebSocket { .. } => self.turn.lay(|arena| websocket::encode_close(code, reason, arena)),
            Wire::Tcp(_) => self.turn.lay(|arena| tcp::encode_close(code, reason, arena)),
            Wire::Stream(coding) => self.turn.lay(|arena| stream::encode_close(code, reason, coding, arena)),
        };
        self.turn.add(id, &mut conn.turn, frame, None);
        self.leave_within(id, conn, self.limits.stall);
        After::Keep
    }

    /// Answer with bytes that are the last ones, and close (refused upgrades).
    pub(crate) fn answer_and_close(&mut self, id: ConnId, conn: &mut Conn, answer: &[u8]) {
        let frame = self.turn.lay(|arena| arena.extend_from_slice(answer));
        self.turn.add(id, &mut conn.turn, frame, None);
        self.leave_within(id, conn, self.limits.stall);
    }

    /// The peer has closed first: answer with its own code, then go.
    pub(crate) fn peer_closed(&mut self, id: ConnId, conn: &mut Conn, code: u16) -> After {
        conn.set(Flags::PEER_CLOSED);
        if conn.is(Flags::CLOSE_SENT) {
            return After::Drop;
        }
        // When ours is on its way already, begin_close lets it be.
        self.begin_close(id, conn, code, "")
    }

    /// Our close has gone to the kernel.
    pub(crate) fn close_left(&mut self, id: ConnId, conn: &mut Conn) -> After {
        conn.set(Flags::CLOSE_SENT);
        self.tell_closed(id, conn);
        if let Some(tls) = &mut conn.tls {
            tls.send_close_notify();
            if tls.flush(&mut conn.stream).is_err() {
                return After::Drop;
            }
        }
        if conn.is(Flags::PEER_CLOSED) {
            return After::Drop;
        }
        // A WebSocket peer that is well answers with a close and expects us to end TCP; the others just end it. Ours is
        // ended by halves, because ending it whole with bytes unread would destroy the close on its way.
        let waits = matches!(conn.wire, Wire::WebSocket { .. }) && !conn.is(Flags::FAILED);
        if !waits && conn.stream.shutdown(Shutdown::Write).is_err() {
            return After::Drop;
        }
        self.leave_within(id, conn, clock::ticks(ANSWER_MS));
        After::Keep
    }

    fn leave_within(&mut self, id: ConnId, conn: &mut Conn, ticks: u32) {
        conn.set(Flags::CLOSING.and(Flags::MORTAL));
        if conn.is(Flags::THROTTLED.and(Flags::PARKED)) {
            // What was kept back is still read, because the peer's close lies behind it.
            conn.unset(Flags::THROTTLED.and(Flags::PARKED));
            self.go_on_next_turn(id, conn);
        }
        conn.ends = self.now.after(ticks);
        self.hasten(id, conn.ends);
    }
}
