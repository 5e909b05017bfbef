//! Walking rounds: a portion of visits in each turn, then sockets, mail, accepts and clock have theirs.
//!
//! A member whose socket takes bytes costs one write of the shared block, without a copy and without a place in the turn.
//! Read next: `rounds.rs` (when and what), `../topics.rs` (who), `../connection/writing.rs` (sockets that take no more).

use crate::connection::transport;
use crate::connection::writing::Put;
use crate::connection::{Conn, Flags};
use crate::engine::ident::{self, ConnId};
use crate::engine::stats::Count;
use crate::thread::IoThread;
use crate::thread::io::Io;
use crate::topics::blocks::{Framed, Publication, Reader};

/// Members that one turn visits, all topics together.
const PORTION: usize = 256;
/// Members of one topic before another has its turn.
const SLICE: usize = 64;
/// Bytes that count for one visit more.
const LONG: usize = 4096;

/// What a slice came to, for counters that are told once.
#[derive(Default)]
struct Tally {
    cost: usize,
    deliveries: usize,
    writes: usize,
    bytes: usize,
    skipped: usize,
    /// Members whose connection broke.
    gone: Vec<ConnId>,
}

impl IoThread {
    /// How many subscriptions it had to look at.
    pub(crate) fn subscribe(&mut self, id: ConnId, number: u64) -> usize {
        match self.table.get(id) {
            Some(conn) if !conn.is(Flags::CLOSING) && !conn.is_new() => {
                self.topics.subscribe(&mut conn.topics, ident::slot_of(id), number)
            }
            _ => self.stale(),
        }
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnId, number: u64) -> usize {
        let Some(conn) = self.table.get(id) else { return self.stale() };
        let before = self.topics.rounds.waiting();
        let looked_at = self.topics.unsubscribe(&mut conn.topics, number);
        self.io.bounds.changed(before, self.topics.rounds.waiting());
        looked_at
    }

    fn stale(&self) -> usize {
        self.io.stats.one(Count::StaleCommands);
        0
    }

    pub(crate) fn leave_topics(&mut self, conn: &mut Conn) {
        let before = self.topics.rounds.waiting();
        self.topics.leave_all(&mut conn.topics);
        self.io.bounds.changed(before, self.topics.rounds.waiting());
    }

    pub(crate) fn publish(&mut self, number: u64, what: &Publication<'_>) {
        let before = self.topics.rounds.waiting();
        let outcome = self.topics.publish(number, what, self.io.now_ms, &self.io.bounds);
        self.io.bounds.changed(before, self.topics.rounds.waiting());
        if let Err((verdict, members)) = outcome {
            self.io.count_refused(what.delivery, verdict, members);
        }
    }

    /// Hand out a portion of what topics have to say; true when there is more.
    pub(crate) fn walk_rounds(&mut self) -> bool {
        let mut left = PORTION;
        while left > 0 {
            let Some((topic, begins)) = self.topics.next_round(self.io.now_ms) else { return false };
            if begins {
                self.io.stats.one(Count::Rounds);
            }
            left = left.saturating_sub(self.walk(topic, left.min(SLICE)));
            let before = self.topics.rounds.waiting();
            self.topics.pause_round(topic, self.io.now_ms);
            self.io.bounds.changed(before, self.topics.rounds.waiting());
        }
        self.topics.has_rounds()
    }

    /// A slice of one round; what it cost.
    fn walk(&mut self, topic: u32, most: usize) -> usize {
        let mut tally = Tally::default();
        let (topic, rounds) = self.topics.get(topic);
        let Some(active) = &mut topic.active else { return 0 };
        while tally.cost < most {
            let Some(slot) = topic.members.visit() else { break };
            tally.cost += 1;
            let Some((id, conn)) = self.table.living(slot) else { continue };
            let Some(reader) = Reader::of(conn) else { continue };
            let missed = active.round.missed(reader);
            let before = conn.queue_size();
            rounds.held += active.round.frame(reader);
            self.io.hand_out(id, conn, active.round.framed(reader), &mut tally);
            self.io.miss(id, conn, missed);
            self.books.update(before, conn.queue_size(), &self.io.bounds);
        }
        self.io.tell_tally(&tally);
        for id in tally.gone {
            self.remove(id);
        }
        tally.cost
    }
}

impl Io {
    fn hand_out(&mut self, id: ConnId, conn: &mut Conn, framed: &Framed, tally: &mut Tally) {
        tally.skipped += framed.skipped;
        let size = framed.bytes.len();
        if size == 0 {
            return;
        }
        tally.cost += size / LONG;
        let put = if conn.out.is_some() {
            self.put(id, conn, framed.bunch())
        } else {
            match transport::write(conn, &framed.bytes) {
                Err(_) => Put::Broken,
                Ok(taken) => {
                    tally.writes += 1;
                    tally.bytes += taken;
                    conn.wrote = self.moment();
                    if taken == size && !transport::is_dirty(conn) {
                        tally.deliveries += framed.messages();
                        return;
                    }
                    self.keep_rest(id, conn, framed.bunch(), taken)
                }
            }
        };
        match put {
            Put::Done(messages) | Put::TooSlow(messages) => tally.deliveries += messages,
            Put::Broken => tally.gone.push(id),
        }
    }

    /// Events were dropped before they came to this member; it is told when it has read what is before them.
    fn miss(&mut self, id: ConnId, conn: &mut Conn, number: u32) {
        match &mut conn.out {
            _ if number == 0 => {}
            Some(out) => out.missed = out.missed.saturating_add(number),
            None => self.tell_missed(id, number),
        }
    }

    /// Deliveries last, so that whoever sees them sees what they took.
    fn tell_tally(&self, tally: &Tally) {
        self.stats.add(Count::Writes, tally.writes);
        self.stats.add(Count::BytesOut, tally.bytes);
        self.stats.add(Count::OtherKind, tally.skipped);
        self.stats.add(Count::MessagesOut, tally.deliveries);
        self.stats.add(Count::Deliveries, tally.deliveries);
    }
}
