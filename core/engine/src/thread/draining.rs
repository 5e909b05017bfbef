//! Draining: no new connections, and the old ones closed evenly over a time, so that clients do not come back at once.
//!
//! Read next: `../connection/closing.rs`.

use crate::connection::Wire;
use crate::engine::ident::ConnId;
use crate::thread::IoThread;
use crate::thread::io::After;
use crate::time::clock::{self, Tick};

pub(crate) struct Drain {
    started: Tick,
    ticks: u32,
    code: u16,
    reason: String,
    left: Vec<ConnId>,
    total: usize,
}

impl Drain {
    /// How many should still be open at this moment.
    fn may_stay(&self, now: Tick) -> usize {
        let elapsed = now.since(self.started);
        if elapsed >= self.ticks {
            return 0;
        }
        self.total - self.total * elapsed as usize / self.ticks as usize
    }
}

impl IoThread {
    pub(crate) fn begin_drain(&mut self, duration_ms: u64, code: u16, reason: String) {
        self.listeners.clear();
        let slots = self.table.slots();
        let left: Vec<_> = (0..slots).filter_map(|slot| self.table.at(slot)).collect();
        let total = left.len();
        self.drain = Some(Drain { started: self.io.now, ticks: clock::ticks(duration_ms), code, reason, left, total });
    }

    /// Close as many as are due by now.
    pub(crate) fn drain_portion(&mut self) {
        let Some(mut drain) = self.drain.take() else { return };
        let stay = drain.may_stay(self.io.now);
        for id in drain.left.split_off(stay.min(drain.left.len())) {
            self.with(id, |io, conn| match conn.wire {
                Wire::New => After::Drop,
                _ => io.begin_close(id, conn, drain.code, &drain.reason),
            });
        }
        if !drain.left.is_empty() {
            self.drain = Some(drain);
        }
    }
}
