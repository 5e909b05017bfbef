//! From frames to the socket: one write a turn and connection, the rest into the connection's queue.
//!
//! What the socket does not take is judged here, message by message, by its delivery class. Read next: `../engine/bounds.rs`,
//! `queue.rs`, `../thread/turn.rs`, `holding.rs`, `closing.rs`.

use std::mem;

use crate::connection::closing::SLOW_CONSUMER;
use crate::connection::queue::OutQueue;
use crate::connection::transport;
use crate::connection::{Conn, Flags};
use crate::engine::bounds::{Delivery, Piece, Verdict};
use crate::engine::commands::Span;
use crate::engine::ident::ConnId;
use crate::engine::stats::Count;
use crate::thread::io::{After, BUFFER_BYTES, Io};
use crate::thread::turn::{self, Bunch};
use crate::time::clock::Tick;

/// What became of bytes for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Put {
    /// So many messages were written or wait; the others were refused and counted.
    Done(usize),
    /// The same, and a reply had no room.
    TooSlow(usize),
    /// The socket is broken, or a message that was begun can never be finished.
    Broken,
}

impl Io {
    /// Gather a message that is framed already. The connection is open.
    pub(crate) fn enqueue(&mut self, id: ConnId, conn: &mut Conn, frame: Span, delivery: Delivery) -> After {
        let gathered = self.turn.waiting(conn.turn);
        if gathered > 0 && gathered + frame.len() > BUFFER_BYTES {
            let after = self.write_turn(id, conn);
            if after == After::Drop || conn.is(Flags::CLOSING) {
                return after;
            }
        }
        self.turn.add(id, &mut conn.turn, frame, Some(delivery));
        After::Keep
    }

    /// Write what this turn has gathered for a connection.
    pub(crate) fn write_turn(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if conn.turn == turn::NONE {
            return After::Keep;
        }
        // Nothing joins the turn while it is away.
        let mut turn = mem::take(&mut self.turn);
        let put = self.put(id, conn, turn.gather(conn.turn));
        self.turn = turn;
        conn.turn = turn::NONE;
        match put {
            Put::Broken => After::Drop,
            Put::Done(messages) => {
                self.stats.add(Count::MessagesOut, messages);
                if conn.out.is_none() { self.drained(id, conn) } else { After::Keep }
            }
            Put::TooSlow(messages) => {
                self.stats.add(Count::MessagesOut, messages);
                self.begin_close(id, conn, SLOW_CONSUMER, "slow_consumer")
            }
        }
    }

    /// Write bytes, hold them back, or let them wait as far as their classes may.
    pub(crate) fn put<P: Iterator<Item = Piece>>(&mut self, id: ConnId, conn: &mut Conn, bunch: Bunch<'_, P>) -> Put {
        if conn.is(Flags::HELD) {
            let joined = self.join_held(conn, &bunch);
            if (!joined || bunch.urgent) && self.release(id, conn) == After::Drop {
                return Put::Broken;
            }
            if joined {
                return Put::Done(bunch.messages);
            }
        }
        if conn.out.is_some() {
            return self.line_up(conn, bunch, 0);
        }
        if self.hold(id, conn, &bunch) {
            return Put::Done(bunch.messages);
        }
        self.stats.one(Count::Writes);
        let Ok(taken) = transport::write(conn, bunch.bytes) else { return Put::Broken };
        self.stats.add(Count::BytesOut, taken);
        conn.wrote = self.moment();
        if taken == bunch.bytes.len() && !transport::is_dirty(conn) {
            return Put::Done(bunch.messages);
        }
        self.keep_rest(id, conn, bunch, taken)
    }

    /// The socket took so many bytes and no more; the others wait until it does.
    pub(crate) fn keep_rest<P: Iterator<Item = Piece>>(
        &mut self,
        id: ConnId,
        conn: &mut Conn,
        bunch: Bunch<'_, P>,
        taken: usize,
    ) -> Put {
        conn.out = Some(Box::new(OutQueue::new(self.now)));
        self.hasten(id, self.stall_at(self.now));
        self.line_up(conn, bunch, taken)
    }

    /// Let the messages wait that the socket did not take, as far as each may.
    fn line_up<P: Iterator<Item = Piece>>(&mut self, conn: &mut Conn, bunch: Bunch<'_, P>, taken: usize) -> Put {
        let closing = conn.is(Flags::CLOSING);
        let Some(out) = &mut conn.out else { return Put::Broken };
        let (mut start, mut messages) = (0, 0);
        for Piece { length, delivery } in bunch.pieces {
            let (begin, end) = (start, start + length);
            start = end;
            let verdict = match delivery {
                Some(delivery) if begin >= taken => self.bounds.judge(delivery, out.waiting().len(), length),
                Some(_) if end > taken => self.bounds.judge_rest(end - taken),
                _ => Verdict::Fits,
            };
            if verdict == Verdict::Fits {
                out.push(&bunch.bytes[begin.max(taken).min(end)..end]);
                messages += usize::from(delivery.is_some());
                continue;
            }
            if begin < taken {
                self.count_refused(Delivery::Reply, verdict, 1);
                conn.code = SLOW_CONSUMER;
                return Put::Broken;
            }
            match delivery {
                // A close is on its way already, which says enough.
                Some(Delivery::Reply) if closing => continue,
                Some(delivery) => self.count_refused(delivery, verdict, 1),
                None => {}
            }
            match delivery {
                Some(Delivery::Reply) => return Put::TooSlow(messages),
                Some(Delivery::Event) => out.missed = out.missed.saturating_add(1),
                _ => {}
            }
        }
        Put::Done(messages)
    }

    /// Count messages that have no room.
    pub(crate) fn count_refused(&self, delivery: Delivery, verdict: Verdict, number: usize) {
        if verdict == Verdict::Crowded {
            self.stats.add(Count::CrowdedOut, number);
        }
        let count = match delivery {
            Delivery::Reply => Count::SlowClosed,
            Delivery::Event => Count::DroppedEvents,
            Delivery::Transient => Count::DroppedTransient,
            Delivery::Low => Count::DroppedLow,
        };
        self.stats.add(count, number);
    }

    /// Write what waits; the socket takes bytes again, or may.
    pub(crate) fn writable(&mut self, id: ConnId, conn: &mut Conn) -> After {
        while let Some(out) = conn.out.take() {
            self.stats.one(Count::Writes);
            let outcome = transport::write(conn, out.waiting());
            let out = conn.out.insert(out);
            let Ok(taken) = outcome else { return After::Drop };
            self.stats.add(Count::BytesOut, taken);
            out.took(taken, self.now);
            conn.wrote = self.moment();
            if taken == 0 && (!out.waiting().is_empty() || transport::is_dirty(conn)) {
                return After::Keep;
            }
            if conn.waiting() == 0 && !transport::is_dirty(conn) {
                return self.finish_queue(id, conn);
            }
        }
        After::Keep
    }

    /// The socket takes bytes again: what waits for it, and what TLS holds back although nothing is queued.
    pub(crate) fn socket_writable(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if conn.out.is_some() && !conn.is(Flags::HELD) { self.writable(id, conn) } else { self.flush_tls(conn) }
    }

    fn finish_queue(&mut self, id: ConnId, conn: &mut Conn) -> After {
        let missed = conn.out.take().map_or(0, |out| out.missed);
        if missed > 0 && !conn.is(Flags::CLOSING) {
            self.tell_missed(id, missed);
        }
        self.drained(id, conn)
    }

    fn drained(&mut self, id: ConnId, conn: &mut Conn) -> After {
        // A close that is still in the turn has not left, also when what was held back before it has.
        if conn.is(Flags::CLOSING) && !conn.is(Flags::CLOSE_SENT) && conn.turn == turn::NONE {
            return self.close_left(id, conn);
        }
        After::Keep
    }

    pub(crate) fn stall_at(&self, progress: Tick) -> Tick {
        progress.after(self.limits.stall)
    }
}
