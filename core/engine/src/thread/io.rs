//! What an I/O thread works with, apart from its connections: clock, wheel, ring, turn, counters and limits.
//!
//! The work itself is in `handshake`, `reading`, `writing`, `timers` and `closing`, each an `impl Io` that takes one
//! connection and says whether to keep it. Read next: `../thread.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::connection::{Conn, Flags};
use crate::engine::addresses::Addresses;
use crate::engine::bounds::Bounds;
use crate::engine::ident::{self, ConnId};
use crate::engine::peers::Peers;
use crate::engine::ring::{Batch, EventKind, Ring};
use crate::engine::settings::Settings;
use crate::engine::stats::{Count, Stats};
use crate::thread::turn::Turn;
use crate::time::alarms::Alarms;
use crate::time::bucket::Rate;
use crate::time::clock::{self, Tick};
use crate::time::wheel::Wheel;
use crate::tls;

/// What becomes of a connection after something was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum After {
    Keep,
    Drop,
}

/// A thread publishes its batch when it holds so much, and at the end of every turn. With 128 events Python woke in the
/// middle of a turn and took the CPU away from it, which cost a twentieth of an echo.
const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 128 * 1024;
/// Bytes of one read, and of one write of direct messages unless a single one is longer.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// The times of the settings, in ticks.
pub(crate) struct Limits {
    pub(crate) header: u32,
    pub(crate) hello: Option<u32>,
    pub(crate) idle: Option<u32>,
    pub(crate) stall: u32,
    pub(crate) messages: Rate,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        let optional = |milliseconds: u64| (milliseconds > 0).then(|| clock::ticks(milliseconds));
        Self {
            header: clock::ticks(settings.header_timeout_ms),
            hello: optional(settings.hello_timeout_ms),
            idle: optional(settings.idle_timeout_ms),
            stall: clock::ticks(settings.stall_timeout_ms),
            messages: Rate { per_second: settings.message_rate, burst: settings.message_burst },
        }
    }
}

pub(crate) struct Io {
    pub(crate) settings: Arc<Settings>,
    pub(crate) limits: Limits,
    pub(crate) bounds: Bounds,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) now: Tick,
    /// The same moment in milliseconds.
    pub(crate) now_ms: u64,
    pub(crate) wheel: Wheel,
    pub(crate) turn: Turn,
    pub(crate) batch: Batch,
    pub(crate) buffer: Box<[u8]>,
    /// Bytes at the end of what was fed last that lie behind a stop, and that the connection has to keep.
    pub(crate) left: usize,
    /// Answers that decoding calls for: pongs and heartbeats.
    pub(crate) replies: Vec<u8>,
    /// Connections whose bytes are held back.
    pub(crate) held: Alarms,
    /// Connections that wait for room in the ring.
    pub(crate) parked: Vec<ConnId>,
    /// Connections that let others go first, and how many more of their kind this turn serves.
    pub(crate) deferred: VecDeque<ConnId>,
    pub(crate) passing: usize,
    /// Connections that had more to read than their share of the turn.
    pub(crate) again: Vec<ConnId>,
}

impl Io {
    pub(crate) fn tell_message(&mut self, kind: EventKind, id: ConnId, payload: &[u8]) {
        self.batch.message(kind, id, payload);
        if self.batch.events().len() >= BATCH_EVENTS || self.batch.byte_count() >= BATCH_BYTES {
            self.ring.publish(&mut self.batch);
        }
    }

    pub(crate) fn tell_missed(&mut self, id: ConnId, number: u32) {
        self.batch.notice(EventKind::Missed, id, number);
    }

    /// CLOSED, once, for those that Python knows.
    pub(crate) fn tell_closed(&mut self, id: ConnId, conn: &mut Conn) {
        if conn.is(Flags::ADMITTED.and(Flags::SPOKE)) && !conn.is(Flags::TOLD) {
            conn.set(Flags::TOLD);
            self.batch.notice(EventKind::Closed, id, u32::from(conn.code));
        }
    }

    /// Look at the connection again at `when`, or earlier.
    pub(crate) fn hasten(&mut self, id: ConnId, when: Tick) {
        self.wheel.hasten(ident::slot_of(id), when);
    }

    /// The connection counts as admitted from now on.
    pub(crate) fn admit(&mut self, conn: &mut Conn) {
        if let Some(young) = conn.young.take() {
            self.leave_address(young.address);
            self.stats.less(Count::HalfOpen, 1);
        }
        if !conn.is(Flags::ADMITTED) {
            conn.set(Flags::ADMITTED);
            self.stats.one(Count::Admitted);
        }
    }

    /// Memory of the thread that is not the table's or a connection's, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.wheel.bytes()
            + self.turn.bytes()
            + self.buffer.len()
            + tls::scratch_bytes()
            + self.replies.capacity()
            + self.held.bytes()
            + (self.parked.capacity() + self.deferred.capacity() + self.again.capacity()) * size_of::<ConnId>()
    }
}
