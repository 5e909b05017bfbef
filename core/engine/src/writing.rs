//! From frames to the socket: one write a turn and connection, the rest into the connection's queue.
//!
//! Judges the delivery classes. Read next: `queue.rs`, `turn.rs`, `closing.rs`.

use crate::clock::Tick;
use crate::closing::SLOW_CONSUMER;
use crate::commands::Span;
use crate::connection::{Conn, Flags};
use crate::ident::ConnId;
use crate::io::{After, BUFFER_BYTES, Io};
use crate::queue::{Delivery, OutQueue};
use crate::stats::Count;
use crate::{transport, turn};

impl Io {
    /// Queue a message that is framed already. The connection is open.
    pub(crate) fn enqueue(&mut self, id: ConnId, conn: &mut Conn, frame: Span, delivery: Delivery) -> After {
        let length = frame.len();
        let mut gathered = self.turn.waiting(conn.turn);
        let full = |waiting: usize, io: &Self| !delivery.fits(waiting, length, io.settings.queue_bytes);
        if gathered > 0 && (gathered + length > BUFFER_BYTES || full(conn.waiting() + gathered, self)) {
            if self.write_turn(id, conn) == After::Drop {
                return After::Drop;
            }
            gathered = 0;
        }
        if full(conn.waiting() + gathered, self) {
            return self.refuse(id, conn, delivery);
        }
        self.turn.add(id, &mut conn.turn, frame);
        self.stats.one(Count::MessagesOut);
        After::Keep
    }

    fn refuse(&mut self, id: ConnId, conn: &mut Conn, delivery: Delivery) -> After {
        match delivery {
            Delivery::Reply => {
                self.stats.one(Count::SlowClosed);
                return self.begin_close(id, conn, SLOW_CONSUMER, "slow_consumer");
            }
            Delivery::Event => {
                self.stats.one(Count::DroppedEvents);
                if let Some(out) = &mut conn.out {
                    out.missed = out.missed.saturating_add(1);
                }
            }
            Delivery::Transient => self.stats.one(Count::DroppedTransient),
        }
        After::Keep
    }

    /// Write what this turn has gathered for a connection.
    pub(crate) fn write_turn(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if conn.turn == turn::NONE {
            return After::Keep;
        }
        let bytes = self.turn.gather(conn.turn);
        conn.turn = turn::NONE;
        if let Some(out) = &mut conn.out {
            out.push(bytes);
            return After::Keep;
        }
        self.stats.one(Count::Writes);
        let Ok(taken) = transport::write(conn, bytes) else { return After::Drop };
        self.stats.add(Count::BytesOut, taken);
        if taken == bytes.len() && !transport::is_dirty(conn) {
            return self.drained(id, conn);
        }
        let mut out = OutQueue::new(self.now);
        out.push(&bytes[taken..]);
        conn.out = Some(Box::new(out));
        self.hasten(id, self.stall_at(self.now));
        After::Keep
    }

    /// The socket takes bytes again.
    fn writable(&mut self, id: ConnId, conn: &mut Conn) -> After {
        while let Some(out) = conn.out.take() {
            self.stats.one(Count::Writes);
            let outcome = transport::write(conn, out.waiting());
            let out = conn.out.insert(out);
            let Ok(taken) = outcome else { return After::Drop };
            self.stats.add(Count::BytesOut, taken);
            out.took(taken, self.now);
            if taken == 0 && (!out.waiting().is_empty() || transport::is_dirty(conn)) {
                return After::Keep;
            }
            if conn.waiting() == 0 && !transport::is_dirty(conn) {
                return self.finish_queue(id, conn);
            }
        }
        After::Keep
    }

    /// Like `writable`, and what TLS holds back although nothing is queued.
    pub(crate) fn socket_writable(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if conn.out.is_some() { self.writable(id, conn) } else { self.flush_tls(conn) }
    }

    fn finish_queue(&mut self, id: ConnId, conn: &mut Conn) -> After {
        let missed = conn.out.take().map_or(0, |out| out.missed);
        if missed > 0 && !conn.is(Flags::CLOSING) {
            self.tell_missed(id, missed);
        }
        self.drained(id, conn)
    }

    fn drained(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if conn.is(Flags::CLOSING) && !conn.is(Flags::CLOSE_SENT) {
            return self.close_left(id, conn);
        }
        After::Keep
    }

    pub(crate) fn stall_at(&self, progress: Tick) -> Tick {
        progress.after(self.limits.stall)
    }
}
