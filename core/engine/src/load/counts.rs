//! What the load tells of itself: numbers that one thread writes and anybody reads, and the first words of what went wrong.
//!
//! A reader never stops the loop: numbers are single stores, and only a connection that ends takes a lock. Read next:
//! `../load.rs`; the meaning of each name is in src/longlink/_core.pyi.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Complaints that are kept; the numbers count them all.
const WORDS: usize = 20;

macro_rules! counts {
    ($($name:ident => $text:literal,)+) => {
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Count { $($name,)+ }

        const NAMES: &[&str] = &[$($text,)+];
    };
}

counts! {
    Asked => "asked",
    UnderWay => "under_way",
    Open => "open",
    Joined => "joined",
    Retries => "retries",
    Failed => "failed",
    Lost => "lost",
    HandshakesTls => "handshakes_tls",
    ResumedTls => "resumed_tls",
    Resumed => "resumed",
    HeartbeatsSent => "heartbeats_sent",
    HeartbeatsAnswered => "heartbeats_answered",
    MessagesSent => "messages_sent",
    MessagesReceived => "messages_received",
    BytesReceived => "bytes_received",
    Reads => "reads",
    Writes => "writes",
    Echoes => "echoes",
    Published => "published",
    Bursts => "bursts",
    Deliveries => "deliveries",
    Stalled => "stalled",
    Missed => "missed",
    Told => "told",
    Written => "written",
    Acked => "acked",
    Received => "received",
    Acks => "acks",
    AcksAnswered => "acks_answered",
    Marked => "marked",
    Opened => "opened",
    Verified => "verified",
    Skipped => "skipped",
    Repeated => "repeated",
    Altered => "altered",
    Unexpected => "unexpected",
}

pub(super) struct Counts {
    numbers: Box<[AtomicU64]>,
    closes: Mutex<BTreeMap<u16, u64>>,
    words: Mutex<Vec<String>>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            numbers: NAMES.iter().map(|_| AtomicU64::new(0)).collect(),
            closes: Mutex::default(),
            words: Mutex::default(),
        }
    }
}

impl Counts {
    pub(super) fn add(&self, count: Count, value: u64) {
        let number = &self.numbers[count as usize];
        number.store(number.load(Relaxed).wrapping_add(value), Relaxed);
    }

    pub(super) fn one(&self, count: Count) {
        self.add(count, 1);
    }

    pub(super) fn less(&self, count: Count) {
        self.add(count, u64::MAX);
    }

    pub(super) fn closed(&self, code: u16) {
        *locked(&self.closes).entry(code).or_default() += 1;
    }

    pub(super) fn complain(&self, word: impl FnOnce() -> String) {
        let mut words = locked(&self.words);
        if words.len() < WORDS {
            words.push(word());
        }
    }

    pub(super) fn numbers(&self) -> Vec<(&'static str, u64)> {
        NAMES.iter().zip(&self.numbers).map(|(name, number)| (*name, number.load(Relaxed))).collect()
    }

    pub(super) fn closes(&self) -> BTreeMap<u16, u64> {
        locked(&self.closes).clone()
    }

    pub(super) fn words(&self) -> Vec<String> {
        locked(&self.words).clone()
    }
}

/// What is under these locks is whole at every moment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_up_and_down_under_their_names() {
        let counts = Counts::default();
        counts.add(Count::Open, 3);
        counts.less(Count::Open);
        assert!(counts.numbers().contains(&("open", 2)));
    }

    #[test]
    fn closes_are_counted_by_code_and_complaints_are_bounded() {
        let counts = Counts::default();
        counts.closed(4001);
        counts.closed(4001);
        assert_eq!(counts.closes(), BTreeMap::from([(4001, 2)]));
        for number in 0..WORDS + 5 {
            counts.complain(|| format!("complaint {number}"));
        }
        assert_eq!((counts.words().len(), counts.words()[0].as_str()), (WORDS, "complaint 0"));
    }
}
