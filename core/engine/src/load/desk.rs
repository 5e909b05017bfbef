//! What a plan reaches: it writes messages, sets its alarm, stalls links, counts and complains; the loop does the rest.
//!
//! Messages become frames at once, in one buffer for all, and leave when the plan has returned. Read next: `plan.rs`.

use std::sync::Arc;

use super::counts::{Count, Counts};
use super::frame;
use super::histogram::Histogram;

/// Delays that the plans measure, in ns.
#[derive(Default)]
pub(super) struct Delays {
    /// From due to acknowledged.
    pub(super) acked: Histogram,
    /// From due (or published) to received.
    pub(super) delivered: Histogram,
    /// From due to written: how late the load itself was.
    pub(super) late: Histogram,
}

#[derive(Default)]
pub(super) struct Desk {
    pub(super) counts: Arc<Counts>,
    pub(super) delays: Arc<Delays>,
    /// When the socket that is being read was read, on the clock of `timer::now_ns`.
    pub(super) now_ns: u64,
    frames: Vec<u8>,
    /// To whom, and where in `frames` it ends.
    entries: Vec<(u32, usize)>,
    alarm: Option<u64>,
    stalls: Vec<(u32, bool)>,
}

impl Desk {
    /// Queue a message.
    pub(super) fn send(&mut self, slot: u32, payload: &[u8]) {
        self.counts.one(Count::MessagesSent);
        frame::encode(payload, &mut self.frames);
        self.enter(slot);
    }

    pub(super) fn heartbeat(&mut self, slot: u32) {
        self.counts.one(Count::HeartbeatsSent);
        frame::encode(&[], &mut self.frames);
        self.enter(slot);
    }

    pub(super) fn pong(&mut self, slot: u32, payload: &[u8]) {
        frame::encode_pong(payload, &mut self.frames);
        self.enter(slot);
    }

    /// What follows for the same link leaves in the same write.
    fn enter(&mut self, slot: u32) {
        let end = self.frames.len();
        match self.entries.last_mut() {
            Some((last, last_end)) if *last == slot => *last_end = end,
            _ => self.entries.push((slot, end)),
        }
    }

    /// Call the plan's `due` at this time, instead of at the one set before.
    pub(super) fn wake_at(&mut self, at_ns: u64) {
        self.alarm = Some(at_ns);
    }

    /// Leave a link's socket unread, or read it again.
    pub(super) fn stall(&mut self, slot: u32, stalled: bool) {
        self.stalls.push((slot, stalled));
    }

    /// A fault of the server, counted, and told with its first words.
    pub(super) fn fault(&self, count: Count, word: impl FnOnce() -> String) {
        self.counts.one(count);
        self.counts.complain(word);
    }

    pub(super) fn take_alarm(&mut self) -> Option<u64> {
        self.alarm.take()
    }

    pub(super) fn take_stalls(&mut self) -> Vec<(u32, bool)> {
        std::mem::take(&mut self.stalls)
    }

    pub(super) fn is_clear(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frames for one link after the other; then the desk is clear, and its memory is kept.
    pub(super) fn clear(&mut self, mut write: impl FnMut(u32, &[u8])) {
        let mut begin = 0;
        for &(slot, end) in &self.entries {
            write(slot, &self.frames[begin..end]);
            begin = end;
        }
        self.entries.clear();
        self.frames.clear();
    }
}
