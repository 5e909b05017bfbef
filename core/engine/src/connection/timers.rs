//! What a deadline of a connection means: one place in the wheel, judged anew when it comes.
//!
//! Ordinary traffic only moves `seen`; the wheel is touched when a deadline comes earlier. Read next: `../time/wheel.rs`.

use crate::connection::closing::{HANDSHAKE_TIMEOUT, IDLE, SLOW_CONSUMER, TOKEN_EXPIRED};
use crate::connection::{Conn, Flags, MOST_TOLD, Wire};
use crate::engine::ident::ConnId;
use crate::engine::stats::Count;
use crate::thread::io::{After, Io};
use crate::time::clock::{self, Tick};

/// A deadline further than this (about ten seconds) may come up to a second late, so that threads wake seldom.
const PRECISE_TICKS: u32 = 640;
const COARSE_TICKS: u32 = 64;

impl Io {
    /// A deadline came; it may be one that was moved meanwhile.
    pub(crate) fn ring_bell(&mut self, id: ConnId, conn: &mut Conn) -> After {
        let after = self.judge(id, conn);
        if after == After::Keep {
            self.rearm(id, conn);
        }
        after
    }

    fn judge(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if let Some(out) = &conn.out
            && !conn.is(Flags::HELD)
            && self.now.reached(self.stall_at(out.progress))
        {
            self.stats.one(Count::Stalled);
            self.stats.one(Count::SlowClosed);
            conn.code = SLOW_CONSUMER;
            return After::Drop;
        }
        if conn.is(Flags::CLOSING) {
            return if self.now.reached(conn.ends) { After::Drop } else { After::Keep };
        }
        if conn.is_new() {
            return self.judge_new(conn);
        }
        if conn.is(Flags::MORTAL) && self.now.reached(conn.ends) {
            self.stats.one(Count::LifetimeClosed);
            return self.begin_close(id, conn, TOKEN_EXPIRED, "token_expired");
        }
        if self.hello_at(conn).is_some_and(|when| self.now.reached(when)) {
            self.stats.one(Count::HelloTimeouts);
            return self.begin_close(id, conn, HANDSHAKE_TIMEOUT, "handshake_timeout");
        }
        if self.idle_at(conn).is_some_and(|when| self.now.reached(when)) {
            self.stats.one(Count::IdleClosed);
            return self.begin_close(id, conn, IDLE, "idle");
        }
        self.beat_if_due(id, conn);
        self.refill(id, conn)
    }

    fn judge_new(&mut self, conn: &Conn) -> After {
        if self.header_at(conn).is_some_and(|when| !self.now.reached(when)) {
            return After::Keep;
        }
        self.stats.one(Count::HeaderTimeouts);
        After::Drop
    }

    fn refill(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if !conn.is(Flags::THROTTLED) || conn.bucket.wait(self.limits.messages, self.now) > 0 {
            return After::Keep;
        }
        conn.unset(Flags::THROTTLED);
        // It was us who did not listen.
        conn.seen = self.now;
        self.pump(id, conn)
    }

    /// Read nothing for so long: as a connection without tokens, which the wheel resumes.
    pub(crate) fn pause_for(&mut self, id: ConnId, conn: &mut Conn, milliseconds: u32) -> After {
        self.stats.one(Count::Paused);
        conn.set(Flags::THROTTLED);
        let until = self.now.after(clock::ticks(milliseconds.into()));
        conn.bucket.shut_until(self.limits.messages, self.now, until);
        self.rearm(id, conn);
        After::Keep
    }

    /// Put the connection's next deadline into the wheel.
    pub(crate) fn rearm(&mut self, id: ConnId, conn: &mut Conn) {
        let Some(when) = self.deadline(conn) else { return };
        let far = when.since(self.now) > PRECISE_TICKS;
        let when = if far { Tick(when.0 | (COARSE_TICKS - 1)) } else { when };
        self.hasten(id, when);
    }

    fn deadline(&self, conn: &mut Conn) -> Option<Tick> {
        let stall = conn.out.as_ref().map(|out| self.stall_at(out.progress));
        let ends = conn.is(Flags::MORTAL).then_some(conn.ends);
        let first = [stall, ends].into_iter().flatten().reduce(Tick::earlier);
        if conn.is(Flags::CLOSING) {
            return first;
        }
        let throttle = self.throttle_at(conn);
        let open = [self.header_at(conn), self.hello_at(conn), self.idle_at(conn), throttle, self.beat_at(conn)];
        open.into_iter().chain([first]).flatten().reduce(Tick::earlier)
    }

    fn header_at(&self, conn: &Conn) -> Option<Tick> {
        let young = conn.young.as_ref().filter(|_| conn.is_new())?;
        Some(young.since.after(self.limits.header))
    }

    fn hello_at(&self, conn: &Conn) -> Option<Tick> {
        let young = conn.young.as_ref().filter(|_| !conn.is_new())?;
        Some(young.since.after(self.limits.hello?))
    }

    /// A connection that we do not read cannot be blamed for its silence, nor can one that may say nothing.
    fn idle_at(&self, conn: &Conn) -> Option<Tick> {
        let held = conn.is(Flags::THROTTLED.and(Flags::PARKED));
        let since = if held { self.now } else { conn.seen };
        let idle = if conn.idle > 0 { Some(conn.idle) } else { self.limits.idle };
        idle.filter(|_| !matches!(conn.wire, Wire::New | Wire::Stream(_))).map(|idle| since.after(idle))
    }

    fn throttle_at(&self, conn: &mut Conn) -> Option<Tick> {
        let throttled = conn.is(Flags::THROTTLED);
        throttled.then(|| self.now.after(conn.bucket.wait(self.limits.messages, self.now).max(1)))
    }

    /// Admit, or admit anew: `idle_ms` counts in any case (0: the setting), a `lifetime_ms` of 0 changes nothing.
    pub(crate) fn admit_for(&mut self, id: ConnId, conn: &mut Conn, lifetime_ms: u64, idle_ms: u64) -> After {
        if conn.young.as_ref().is_some_and(|young| young.told >= MOST_TOLD) {
            conn.unset(Flags::PARKED);
            self.go_on_next_turn(id, conn);
        }
        self.admit(conn);
        conn.idle = clock::ticks(idle_ms);
        if lifetime_ms > 0 {
            conn.set(Flags::MORTAL);
            conn.ends = self.now.after(clock::ticks(lifetime_ms));
        }
        self.rearm(id, conn);
        After::Keep
    }
}
