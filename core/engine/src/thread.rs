//! One I/O thread: wait for sockets, read, obey, look at the clock, write, publish; again.
//!
//! Owns its connections alone: nothing in here is locked. Read next: `thread/io.rs`, `thread/accepting.rs`, `thread/orders.rs`.

mod accepting;
mod draining;
pub(crate) mod io;
pub(crate) mod orders;
pub(crate) mod table;
pub(crate) mod turn;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use crate::connection::{Conn, Flags};
use crate::engine::bounds::Bounds;
use crate::engine::commands::Mailbox;
use crate::engine::ident::{self, ConnId};
use crate::engine::stats::Count;
use crate::time::clock::{self, Clock, Tick};
use crate::topics::Topics;
use accepting::Listener;
use draining::Drain;
use io::{After, Io};
use orders::Desk;
use table::Table;

pub(crate) const WAKER: Token = Token(usize::MAX);
/// Tokens of listeners; connection numbers have 52 bits.
const LISTENERS: usize = 1 << 60;
const EVENTS: usize = 1024;
/// Connections that are not admitted or have gone: so many are served in one turn.
const PASSING: usize = 64;
/// Connections of one turn whose held-back bytes are let go.
const RELEASES: usize = 512;

/// Bytes in boxes of connections, and bytes that wait for sockets.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) held: usize,
    pub(crate) queued: usize,
}

impl Books {
    /// Something has changed with a connection.
    pub(crate) fn update(&mut self, before: (usize, usize), after: (usize, usize), bounds: &Bounds) {
        self.held = self.held + after.0 - before.0;
        self.queued = self.queued + after.1 - before.1;
        bounds.changed(before.1, after.1);
    }
}

pub(crate) struct IoThread {
    pub(crate) io: Io,
    pub(crate) table: Table<Conn>,
    pub(crate) poll: Poll,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) listeners: Vec<Listener>,
    /// Connections of all threads.
    pub(crate) open: Arc<AtomicUsize>,
    pub(crate) topics: Topics,
    pub(crate) desk: Desk,
    pub(crate) books: Books,
    pub(crate) paused_at: Tick,
    pub(crate) pause: u32,
    pub(crate) drain: Option<Drain>,
    /// When a connection was served that had let others go first.
    pub(crate) served: Tick,
    pub(crate) stopping: bool,
}

impl IoThread {
    /// Until `stop`.
    pub(crate) fn run(&mut self, clock: &Clock) -> std::io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut hurry = false;
        while !self.stopping {
            self.sleep(&mut events, hurry, clock)?;
            self.io.now_ms = clock.milliseconds();
            self.io.now = clock::tick(self.io.now_ms);
            self.io.passing = PASSING;
            for event in &events {
                self.meet(event);
            }
            hurry = self.read_mail();
            self.look_at_clock();
            hurry |= self.accept_portions();
            self.go_on();
            self.serve_deferred();
            self.write_all();
            self.report();
            if self.topics.has_rounds() {
                hurry |= self.walk_rounds();
                self.report();
            }
            hurry |= self.must_resume() || !self.io.again.is_empty();
        }
        self.drop_all();
        Ok(())
    }

    fn sleep(&mut self, events: &mut Events, hurry: bool, clock: &Clock) -> std::io::Result<()> {
        let idle = self.mailbox.may_sleep();
        let timeout = if hurry || !idle { Some(Duration::ZERO) } else { self.next_deadline(clock) };
        let outcome = self.poll.poll(events, timeout);
        self.mailbox.awake();
        match outcome {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn next_deadline(&self, clock: &Clock) -> Option<Duration> {
        let wheel = self.io.wheel.next_in(self.io.now);
        let drain = self.drain.as_ref().map(|_| 1);
        let pause = (self.pause > 0).then_some(self.pause);
        let ticks = [wheel, drain, pause].into_iter().flatten().min();
        let alarm = [self.topics.rounds.next_alarm(), self.io.held.next()].into_iter().flatten().min();
        // By the clock of this moment: the turn itself has taken a part of a short wait.
        let ahead = alarm.map(|when| Duration::from_millis(when.saturating_sub(clock.milliseconds())));
        [ticks.map(|ticks| clock::duration(ticks.max(1))), ahead].into_iter().flatten().min()
    }

    fn meet(&mut self, event: &Event) {
        let Token(token) = event.token();
        if event.token() == WAKER {
            return;
        }
        if token >= LISTENERS {
            if let Some(listener) = self.listeners.get_mut(token - LISTENERS) {
                listener.ready = true;
            }
            return;
        }
        let id = token as ConnId;
        self.with(id, |io, conn| {
            if event.is_writable() && (conn.out.is_some() || conn.tls.is_some()) {
                let after = io.socket_writable(id, conn);
                if after == After::Drop {
                    return after;
                }
            }
            if event.is_error() && conn.is(Flags::THROTTLED) {
                // Nothing can be read any more, so its turn would bring nothing.
                return After::Drop;
            }
            if event.is_read_closed() || event.is_error() {
                conn.set(Flags::PEER_SHUT);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                conn.set(Flags::READABLE);
                return io.pump(id, conn);
            }
            After::Keep
        });
    }

    /// Do something with one connection, keep the books, and take it away if that is the outcome. False: it is gone.
    pub(crate) fn with(&mut self, id: ConnId, act: impl FnOnce(&mut Io, &mut Conn) -> After) -> bool {
        let Some(conn) = self.table.get(id) else { return false };
        let before = (conn.held_bytes(), conn.waiting());
        let after = act(&mut self.io, conn);
        self.books.update(before, (conn.held_bytes(), conn.waiting()), &self.io.bounds);
        if after == After::Drop {
            self.remove(id);
        }
        true
    }

    pub(crate) fn remove(&mut self, id: ConnId) {
        let Some(mut conn) = self.table.remove(id) else { return };
        self.books.update((conn.held_bytes(), conn.waiting()), (0, 0), &self.io.bounds);
        self.leave_topics(&mut conn);
        self.io.wheel.clear(ident::slot_of(id));
        self.io.tell_closed(id, &mut conn);
        if let Some(young) = conn.young.take() {
            self.io.leave_address(young.address);
            self.io.stats.less(Count::HalfOpen, 1);
        }
        if conn.is(Flags::ADMITTED) {
            self.io.stats.less(Count::Admitted, 1);
        }
        self.io.stats.one(Count::Closed);
        self.io.peers.leave(id);
        self.open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn listen(&mut self, mut listener: Listener) {
        let token = Token(LISTENERS + self.listeners.len());
        if self.poll.registry().register(&mut listener.socket, token, Interest::READABLE).is_ok() {
            self.listeners.push(listener);
        }
    }

    fn look_at_clock(&mut self) {
        let mut due = Vec::new();
        self.io.wheel.advance(self.io.now, &mut due);
        for slot in due {
            if let Some(id) = self.table.at(slot) {
                self.with(id, |io, conn| io.ring_bell(id, conn));
            }
        }
        // The alarms that are left are due, so the next turn does not sleep.
        for _ in 0..RELEASES {
            let Some(id) = self.io.held.take(self.io.now_ms) else { break };
            self.with(id, |io, conn| io.release_if_due(id, conn));
        }
        self.topics.wake(self.io.now_ms);
        self.drain_portion();
    }

    /// Those that had more to read, and those that waited for room in the ring.
    fn go_on(&mut self) {
        for id in std::mem::take(&mut self.io.again) {
            self.with(id, |io, conn| {
                conn.unset(Flags::AGAIN);
                io.pump(id, conn)
            });
        }
        if !self.io.ring.is_full(&self.io.batch) {
            for id in std::mem::take(&mut self.io.parked) {
                self.with(id, |io, conn| {
                    conn.unset(Flags::PARKED);
                    io.pump(id, conn)
                });
            }
        }
    }

    /// Those that let others go first: as long as Python keeps up, and one in each tick in any case.
    fn serve_deferred(&mut self) {
        for _ in 0..self.io.deferred.len().min(self.io.passing) {
            if self.served == self.io.now && self.io.ring.is_busy(&self.io.batch) {
                break;
            }
            self.served = self.io.now;
            let Some(id) = self.io.deferred.pop_front() else { break };
            self.with(id, |io, conn| {
                conn.unset(Flags::PARKED);
                io.pump_now(id, conn)
            });
        }
    }

    /// Connections wait for Python: sleep until it has caught up, unless it has already.
    fn must_resume(&self) -> bool {
        let parked = !self.io.parked.is_empty() && !self.io.ring.block();
        let deferred = !self.io.deferred.is_empty() && !self.io.ring.defer();
        parked || deferred
    }

    fn write_all(&mut self) {
        let mut entry = 0;
        while let Some(id) = self.io.turn.id(entry) {
            self.with(id, |io, conn| io.write_turn(id, conn));
            entry += 1;
        }
        self.io.turn.clear();
    }

    /// Tell what happened: gauges before events, so that whoever has seen events sees gauges that know of them.
    fn report(&mut self) {
        self.publish_gauges();
        self.io.ring.publish(&mut self.io.batch);
    }

    fn drop_all(&mut self) {
        for slot in 0..self.table.slots() {
            if let Some(id) = self.table.at(slot) {
                self.remove(id);
            }
        }
        self.io.ring.publish(&mut self.io.batch);
        self.publish_gauges();
    }

    fn publish_gauges(&self) {
        let stats = &self.io.stats;
        stats.set(Count::Connections, self.table.len());
        stats.set(Count::QueuedBytes, self.books.queued + self.topics.rounds.waiting());
        stats.set(Count::Topics, self.topics.len());
        stats.set(Count::Subscriptions, self.topics.subscriptions());
        let threads = self.table.bytes() + self.io.peers.bytes() + self.io.held_bytes() + self.topics.bytes();
        stats.set(Count::CoreBytes, threads + self.books.held);
    }
}
