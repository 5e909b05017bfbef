//! A fan-out in which some receivers stop reading: at once, or after so many messages.
//!
//! Nobody waits for them. Read again, each must have got an unbroken beginning, and for every gap behind it the word `!`
//! with how many messages the server dropped: what is dropped in silence is a fault. Read next: `fanout.rs`.

use super::counts::Count;
use super::desk::Desk;
use super::fanout::Fanout;
use super::plan::{Plan, Stall, Task};

const MISSED: u8 = b'!';

pub(super) struct Slow {
    fanout: Fanout,
    stall: Stall,
    stalled: Vec<u32>,
}

impl Slow {
    pub(super) fn new(size: usize, stall: Stall) -> Self {
        Self { fanout: Fanout::new(size), stall, stalled: Vec::new() }
    }

    fn is_slow(&self, slot: u32) -> bool {
        self.stall.one_in > 0 && slot > 0 && slot.is_multiple_of(self.stall.one_in)
    }

    fn stall_if_due(&mut self, slot: u32, desk: &mut Desk) {
        if self.is_slow(slot) && self.fanout.progress(slot) >= self.stall.after && !self.stalled.contains(&slot) {
            self.stalled.push(slot);
            desk.counts.one(Count::Stalled);
            desk.stall(slot, true);
            self.fanout.dismiss(slot, desk);
        }
    }
}

impl Plan for Slow {
    fn open(&mut self, slot: u32, opening: &[u8], desk: &mut Desk) -> bool {
        self.fanout.open(slot, opening, desk)
    }

    fn admit(&mut self, slot: u32, payload: &[u8], desk: &mut Desk) -> Result<(), String> {
        self.fanout.admit(slot, payload, desk)
    }

    fn take(&mut self, slot: u32, payload: &[u8], desk: &mut Desk) {
        match payload.split_first() {
            Some((&MISSED, number)) => {
                let told = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
                desk.counts.add(Count::Told, told.unwrap_or(0));
            }
            _ => self.fanout.take(slot, payload, desk),
        }
    }

    fn rest(&mut self, slot: u32, desk: &mut Desk) {
        self.stall_if_due(slot, desk);
    }

    fn leave(&mut self, slot: u32, desk: &mut Desk) {
        self.fanout.leave(slot, desk);
    }

    fn obey(&mut self, task: Task, desk: &mut Desk) {
        match task {
            Task::Resume => {
                for slot in self.stalled.drain(..) {
                    desk.stall(slot, false);
                }
                self.stall.one_in = 0;
            }
            task => self.fanout.obey(task, desk),
        }
    }
}
