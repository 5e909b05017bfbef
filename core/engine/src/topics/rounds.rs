//! When topics speak: messages gather in a block, and a block goes out in a round, one round of a topic at a time.
//!
//! A message on a quiet topic is due at once, others at the end of their window; what is published during a round waits for
//! the next. Only queues and times, no connections. Read next: `../topics.rs` (members), `fanout.rs` (who walks).

use std::collections::VecDeque;
use std::mem;

use crate::engine::bounds::{Bounds, Delivery, Verdict};
use crate::time::alarms::Alarms;
use crate::topics::blocks::{Block, Publication};
use crate::topics::{NONE, Topics};

/// A block this heavy goes before its window is over.
const HEAVY: usize = 16 * 1024;
/// Blocks that are kept for reuse, and the memory above which one is not.
const SPARE: usize = 16;
const SPARE_BYTES: usize = 128 * 1024;
const NEVER: u64 = u64::MAX;

/// What a topic has to say.
pub(crate) struct Active {
    gathering: Block,
    /// What the round under way hands out.
    pub(crate) round: Block,
    under_way: bool,
    in_line: bool,
    /// When the gathering block is due.
    due: u64,
}

impl Active {
    fn new() -> Self {
        let (gathering, round) = (Block::default(), Block::default());
        Self { gathering, round, under_way: false, in_line: false, due: NEVER }
    }

    fn weight(&self) -> usize {
        self.gathering.weight() + self.round.weight()
    }

    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.gathering.held_bytes() + self.round.held_bytes()
    }
}

#[derive(Default)]
pub(crate) struct Rounds {
    /// Topics with a round to walk.
    line: VecDeque<u32>,
    alarms: Alarms,
    /// Weight of all blocks.
    waiting: usize,
    /// Memory of all blocks, in bytes.
    pub(crate) held: usize,
    #[expect(clippy::vec_box, reason = "the boxes move between here and topics")]
    spare: Vec<Box<Active>>,
}

impl Rounds {
    pub(crate) fn bytes(&self) -> usize {
        self.line.capacity() * size_of::<u32>() + self.alarms.bytes() + self.held
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn next_alarm(&self) -> Option<u64> {
        self.alarms.next()
    }

    fn activate(&mut self) -> Box<Active> {
        self.spare.pop().unwrap_or_else(|| {
            let fresh = Box::new(Active::new());
            self.held += fresh.held_bytes();
            fresh
        })
    }

    /// The topic has nothing more to say, or nobody to say it to.
    pub(crate) fn retire(&mut self, mut active: Box<Active>) {
        self.waiting -= active.weight();
        let held = active.held_bytes();
        if self.spare.len() >= SPARE || held > SPARE_BYTES {
            self.held -= held;
            return;
        }
        active.gathering.clear();
        active.round.clear();
        *active = Active {
            gathering: mem::take(&mut active.gathering),
            round: mem::take(&mut active.round),
            ..Active::new()
        };
        self.spare.push(active);
    }

    /// `alarm` is the topic's: what it has set before counts, so that one who publishes much does not set many.
    fn schedule(&mut self, topic: u32, alarm: &mut u64, active: &mut Active, now: u64) {
        if active.in_line || active.gathering.is_empty() {
            return;
        }
        if active.due <= now {
            active.in_line = true;
            self.line.push_back(topic);
        } else if *alarm == 0 || active.due < *alarm {
            *alarm = active.due;
            self.alarms.set(active.due, u64::from(topic));
        }
    }
}

impl Topics {
    /// Take a message in. Otherwise: why not, and for how many members.
    pub(crate) fn publish(
        &mut self,
        number: u64,
        what: &Publication<'_>,
        now: u64,
        bounds: &Bounds,
    ) -> Result<(), (Verdict, usize)> {
        let Some(index) = self.find(number) else { return Ok(()) };
        let (topic, rounds) = self.get(index);
        let gathered = topic.active.as_ref().map_or(0, |active| active.gathering.weight());
        let verdict = bounds.judge(what.delivery, gathered, what.payload.len());
        let outcome = if verdict == Verdict::Fits { Ok(()) } else { Err((verdict, topic.members.len())) };
        if outcome.is_err() && what.delivery != Delivery::Event {
            return outcome;
        }
        let quiet_at = if topic.spoke == 0 { 0 } else { topic.spoke + u64::from(what.window_ms) };
        let active = topic.active.get_or_insert_with(|| rounds.activate());
        let (weight, held) = (active.gathering.weight(), active.gathering.held_bytes());
        if outcome.is_ok() {
            active.gathering.push(what);
        } else {
            active.gathering.miss(what.text);
        }
        rounds.waiting += active.gathering.weight() - weight;
        rounds.held += active.gathering.held_bytes() - held;
        let heavy = active.gathering.weight() >= HEAVY;
        active.due = active.due.min(if heavy { now } else { quiet_at.max(now) });
        rounds.schedule(index, &mut topic.alarm, active, now);
        outcome
    }

    /// Let those topics into the line whose window is over.
    pub(crate) fn wake(&mut self, now: u64) {
        while let Some(index) = self.rounds.alarms.take(now) {
            let index = u32::try_from(index).unwrap_or(NONE);
            let (topic, rounds) = self.get(index);
            topic.alarm = 0;
            if let Some(active) = &mut topic.active {
                rounds.schedule(index, &mut topic.alarm, active, now);
            }
        }
    }

    /// The topic whose round is to be walked on; true: it begins.
    pub(crate) fn next_round(&mut self, now: u64) -> Option<(u32, bool)> {
        loop {
            let index = self.rounds.line.pop_front()?;
            let (topic, _) = self.get(index);
            // A topic that has gone leaves its place in the line behind.
            let Some(active) = topic.active.as_mut().filter(|active| active.in_line) else { continue };
            let begins = !active.under_way;
            if begins {
                mem::swap(&mut active.gathering, &mut active.round);
                active.under_way = true;
                active.due = NEVER;
                topic.spoke = now;
                topic.members.begin_round();
            }
            return Some((index, begins));
        }
    }

    /// A portion of the round has been walked: back into the line, or the end of the round.
    pub(crate) fn pause_round(&mut self, index: u32, now: u64) {
        let (topic, rounds) = self.get(index);
        let visited = topic.members.are_visited();
        let Some(mut active) = topic.active.take() else { return };
        if !visited {
            topic.active = Some(active);
            rounds.line.push_back(index);
            return;
        }
        rounds.waiting -= active.round.weight();
        active.round.clear();
        (active.under_way, active.in_line) = (false, false);
        if active.gathering.is_empty() {
            rounds.retire(active);
        } else {
            rounds.schedule(index, &mut topic.alarm, &mut active, now);
            topic.active = Some(active);
        }
    }

    pub(crate) fn has_rounds(&self) -> bool {
        !self.rounds.line.is_empty()
    }
}

#[cfg(test)]
mod tests;
