//! From an order to a link that has joined: paced, with a deadline, tried again a few times.
//!
//! At most `at_once` links are under way, so that the load never looks like an attack; a link that does not come about is
//! counted and tried again after a moment. Read next: `thread.rs`.

use std::collections::VecDeque;

use super::counts::Count;
use super::link::{Link, Opening, Stage};
use super::thread::LoadThread;
use super::upgrade;
use crate::time::clock::ticks;

/// From the first packet to the first answer.
const JOIN_MS: u64 = 30_000;
/// Between two tries of one link.
const PAUSE_MS: u64 = 200;
const TRIES: u32 = 10;
/// A close code that says nothing: the link fails because of what was complained.
const FAILED: u16 = 1006;

impl LoadThread {
    /// So many more links, each with its opening; each has its slot from now on.
    pub(super) fn enlist(&mut self, openings: Vec<Box<[u8]>>) {
        self.desk.counts.add(Count::Asked, openings.len() as u64);
        for message in openings {
            let slot = self.free.pop().unwrap_or_else(|| {
                self.links.push(None);
                u32::try_from(self.links.len() - 1).unwrap_or(u32::MAX)
            });
            self.queue.push_back((slot, Opening { message, tries: 0 }));
        }
    }

    pub(super) fn connect_more(&mut self) {
        while self.again.front().is_some_and(|(when, ..)| self.now.reached(*when)) {
            if let Some((_, slot, opening)) = self.again.pop_front() {
                self.queue.push_back((slot, opening));
            }
        }
        while self.under_way < self.at_once {
            let Some((slot, opening)) = self.queue.pop_front() else { break };
            self.begin(slot, opening);
            if self.queue.is_empty() {
                // It was as long as the crowd, which from now on needs none.
                self.queue = VecDeque::new();
            }
        }
    }

    fn begin(&mut self, slot: u32, mut opening: Opening) {
        opening.tries += 1;
        match Link::begin(&self.way, slot, self.tls.as_ref()) {
            Ok(mut link) => {
                link.opening = Some(Box::new(opening));
                self.links[slot as usize] = Some(link);
                self.under_way += 1;
                self.desk.counts.one(Count::UnderWay);
                self.desk.counts.one(Count::Open);
                self.wheel.set(slot, self.now.after(ticks(JOIN_MS)));
                if let Err(error) = self.register(slot) {
                    self.fail(slot, &error.to_string());
                }
            }
            Err(error) => self.try_again(slot, opening, &error.to_string()),
        }
    }

    /// TCP has come up, or not.
    pub(super) fn go_on_connecting(&mut self, slot: u32) {
        let Some(link) = self.link(slot) else { return };
        match link.is_connected() {
            Ok(false) => {}
            Ok(true) => {
                link.stage = Stage::Upgrading;
                let request = std::mem::take(&mut self.request);
                let outcome = self.link(slot).map_or(Ok(0), |link| link.write(&request));
                self.request = request;
                if let Err(error) = outcome {
                    self.fail(slot, &error.to_string());
                }
            }
            Err(error) => self.fail(slot, &error.to_string()),
        }
    }

    /// The answer to the upgrade: how many bytes it had, None while it is incomplete.
    pub(super) fn upgraded(&mut self, slot: u32, bytes: &[u8]) -> Result<Option<usize>, u16> {
        match upgrade::judge(bytes) {
            Ok(None) => Ok(None),
            Ok(Some(size)) => {
                let Some(link) = self.link(slot) else { return Err(FAILED) };
                link.stage = Stage::Joining;
                let message = link.opening.as_ref().map(|opening| opening.message.clone()).unwrap_or_default();
                if self.plan.open(slot, &message, &mut self.desk) {
                    self.join(slot);
                }
                Ok(Some(size))
            }
            Err(word) => {
                self.desk.counts.complain(|| format!("link {slot}: {word}"));
                Err(FAILED)
            }
        }
    }

    /// The first message that came.
    pub(super) fn admit(&mut self, slot: u32, payload: &[u8]) -> Result<(), u16> {
        match self.plan.admit(slot, payload, &mut self.desk) {
            Ok(()) => {
                self.join(slot);
                Ok(())
            }
            Err(word) => {
                self.desk.counts.complain(|| format!("link {slot}: {word}"));
                Err(FAILED)
            }
        }
    }

    fn join(&mut self, slot: u32) {
        let Some(link) = self.link(slot) else { return };
        link.stage = Stage::Joined;
        link.opening = None;
        let resumed = link.is_resumed();
        self.desk.counts.add(Count::HandshakesTls, u64::from(resumed.is_some()));
        self.desk.counts.add(Count::ResumedTls, u64::from(resumed == Some(true)));
        self.desk.counts.one(Count::Joined);
        self.no_longer_under_way();
        self.begin_heartbeats(slot);
    }

    /// A link that has not joined is over; what it needs is kept for another try.
    pub(super) fn fail(&mut self, slot: u32, word: &str) {
        self.wheel.clear(slot);
        let Some(mut link) = self.links.get_mut(slot as usize).and_then(Option::take) else { return };
        self.desk.counts.less(Count::Open);
        self.no_longer_under_way();
        let opening = link.opening.take();
        link.cut();
        if let Some(opening) = opening {
            self.try_again(slot, *opening, word);
        }
    }

    fn no_longer_under_way(&mut self) {
        self.under_way -= 1;
        self.desk.counts.less(Count::UnderWay);
    }

    fn try_again(&mut self, slot: u32, opening: Opening, word: &str) {
        if opening.tries >= TRIES {
            self.desk.counts.one(Count::Failed);
            self.desk.counts.complain(|| format!("link {slot}: gave up after {TRIES} tries: {word}"));
            return;
        }
        self.desk.counts.one(Count::Retries);
        self.desk.counts.complain(|| format!("link {slot}: {word}"));
        self.again.push_back((self.now.after(ticks(PAUSE_MS)), slot, opening));
    }
}
