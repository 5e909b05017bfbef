//! The stream (`../wire/stream.rs`) as a connection: the body that opens it, and the comments that keep it open. So do pings
//! a WebSocket.
//!
//! Read next: `handshake.rs` (its header), `closing.rs` (its end), `writing.rs` (all it says).

use crate::connection::{Conn, Flags, Wire};
use crate::engine::ident::ConnId;
use crate::engine::ring::EventKind;
use crate::engine::stats::Count;
use crate::thread::io::{After, Io};
use crate::time::clock::{self, Tick};
use crate::wire::stream::{self, Body, Coding};
use crate::wire::websocket;

impl Io {
    /// More of the request's body; when it is whole, the connection is open and has said its one message.
    pub(crate) fn read_body(
        &mut self,
        id: ConnId,
        conn: &mut Conn,
        mut body: Body,
        coding: Coding,
        bytes: &mut [u8],
    ) -> After {
        let used = match body.take(bytes) {
            Ok(used) => used,
            Err(violation) => {
                self.stats.one(Count::HandshakeFailures);
                self.answer_and_close(id, conn, &stream::refuse_body(&violation));
                return After::Keep;
            }
        };
        let Some(message) = body.message() else {
            if let Some(young) = &mut conn.young {
                young.body = Some((body, coding));
            }
            return After::Keep;
        };
        let head = self.turn.lay(|arena| stream::encode_head(coding, arena));
        self.turn.add(id, &mut conn.turn, head, None);
        self.open(id, conn, Wire::Stream(coding), Flags::ONLY_TEXT);
        self.stats.one(Count::Streams);
        self.notice_silence(conn);
        conn.set(Flags::SPOKE);
        self.hear(EventKind::Text, id, message);
        if used < bytes.len() { self.decode(id, conn, &mut bytes[used..]) } else { After::Keep }
    }

    /// The client will say nothing that could tell whether it is there, so its TCP has to.
    fn notice_silence(&self, conn: &Conn) {
        let limit = u32::try_from(self.settings.idle_timeout_ms).unwrap_or(u32::MAX);
        // Where the kernel does not know the option, its own patience counts, a quarter of an hour.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&conn.stream, limit);
    }

    /// Say something on a link that has been silent for so long that somebody on the way may take it for dead.
    pub(crate) fn beat_if_due(&mut self, id: ConnId, conn: &mut Conn) {
        let due = self.beat_ms(conn).is_some_and(|wait| self.silence(conn) >= wait);
        if !due || conn.out.is_some() {
            return;
        }
        let beat = if let Wire::Stream(coding) = conn.wire {
            self.turn.lay(|arena| stream::encode_heartbeat(coding, arena))
        } else {
            self.stats.one(Count::PingsSent);
            self.turn.lay(|arena| websocket::encode_ping(&[], arena))
        };
        self.turn.add(id, &mut conn.turn, beat, None);
        conn.wrote = self.moment();
    }

    /// What waits for the socket is more than a comment or a ping could say.
    pub(crate) fn beat_at(&self, conn: &Conn) -> Option<Tick> {
        let wait = self.beat_ms(conn)?;
        let silence = if conn.out.is_some() { 0 } else { self.silence(conn) };
        Some(self.now.after(clock::ticks(wait.saturating_sub(silence)).max(1)))
    }

    /// The silence after which the core says something by itself, in milliseconds.
    fn beat_ms(&self, conn: &Conn) -> Option<u64> {
        match conn.wire {
            Wire::Stream(_) => Some(self.settings.stream_heartbeat_ms),
            Wire::WebSocket { pings: true, .. } => Some(self.settings.ping_ms).filter(|wait| *wait > 0),
            _ => None,
        }
    }

    /// Milliseconds since something was written.
    fn silence(&self, conn: &Conn) -> u64 {
        self.moment().wrapping_sub(conn.wrote).into()
    }
}
