//! Who may wait: the delivery classes, their shares of a connection's queue, and their shares of what all may hold.
//!
//! Only arithmetic and one number that the threads share. Read next: `../connection/queue.rs`, `../connection/writing.rs`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// How much a message matters when the peer does not keep up (BOUNDARY.md, delivery classes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// May use the whole queue; beyond it the connection is closed.
    Reply = 0,
    /// May use half; beyond it dropped, and Python is told how many.
    Event = 1,
    /// May use three eighths; beyond it dropped.
    Transient = 2,
    /// May use a quarter; beyond it dropped.
    Low = 3,
}

impl Delivery {
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Reply, Self::Event, Self::Transient, Self::Low].get(usize::from(number)).copied()
    }

    pub(crate) fn share(self, bytes: usize) -> usize {
        match self {
            Self::Reply => bytes,
            Self::Event => bytes / 2,
            Self::Transient => bytes / 8 * 3,
            Self::Low => bytes / 4,
        }
    }
}

/// One message among bytes that go out together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) length: usize,
    /// None: what the connection itself has to say, as a close; it always may wait.
    pub(crate) delivery: Option<Delivery>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fits,
    /// The queue holds all that this class may use.
    Full,
    /// All queues of the process together do.
    Crowded,
}

/// The settings, and what waits in the whole process.
#[derive(Clone)]
pub(crate) struct Bounds {
    queue_bytes: usize,
    total_queue_bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Bounds {
    pub(crate) fn new(queue_bytes: usize, total_queue_bytes: usize) -> Self {
        Self { queue_bytes, total_queue_bytes, total: Arc::default() }
    }

    /// May a message of `length` join `waiting` bytes of one queue? The first one may be longer than the queue.
    pub(crate) fn judge(&self, delivery: Delivery, waiting: usize, length: usize) -> Verdict {
        if waiting > 0 && waiting + length > delivery.share(self.queue_bytes) {
            return Verdict::Full;
        }
        if self.total.load(Relaxed) + length > delivery.share(self.total_queue_bytes) {
            return Verdict::Crowded;
        }
        Verdict::Fits
    }

    /// The rest of a message that the socket has taken in part. It has to wait or the connection has to go.
    pub(crate) fn judge_rest(&self, length: usize) -> Verdict {
        self.judge(Delivery::Reply, 0, length)
    }

    /// May bytes be held back beside `waiting` others, whatever they are? Only what no class would be refused.
    pub(crate) fn may_hold(&self, waiting: usize, length: usize) -> bool {
        waiting + length <= Delivery::Low.share(self.queue_bytes)
            && self.judge(Delivery::Low, waiting, length) == Verdict::Fits
    }

    /// What waits somewhere has changed. A reader may see it late, never wrong for long.
    pub(crate) fn changed(&self, before: usize, after: usize) {
        if before != after {
            self.total.fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: [(Delivery, usize); 4] =
        [(Delivery::Reply, 1000), (Delivery::Event, 500), (Delivery::Transient, 375), (Delivery::Low, 250)];

    #[test]
    fn classes_have_the_whole_half_three_eighths_and_a_quarter() {
        let bounds = Bounds::new(1000, 1 << 20);
        for (delivery, share) in SHARES {
            assert_eq!(bounds.judge(delivery, share - 10, 10), Verdict::Fits, "{delivery:?}");
            assert_eq!(bounds.judge(delivery, share - 10, 11), Verdict::Full, "{delivery:?}");
        }
    }

    #[test]
    fn a_message_longer_than_the_queue_may_be_tried_when_nothing_waits() {
        let bounds = Bounds::new(1000, 1 << 20);
        assert_eq!(bounds.judge(Delivery::Low, 0, 5000), Verdict::Fits);
        assert_eq!(bounds.judge(Delivery::Reply, 1, 5000), Verdict::Full);
    }

    #[test]
    fn what_waits_elsewhere_counts_against_the_same_shares_of_the_total() {
        for (delivery, share) in SHARES {
            let bounds = Bounds::new(1000, 1000);
            bounds.changed(0, share - 10);
            assert_eq!(bounds.judge(delivery, 0, 10), Verdict::Fits, "{delivery:?}");
            assert_eq!(bounds.judge(delivery, 0, 11), Verdict::Crowded, "{delivery:?}");
            bounds.changed(share - 10, 0);
            assert_eq!(bounds.judge(delivery, 0, share), Verdict::Fits, "{delivery:?}");
        }
    }

    #[test]
    fn what_every_class_may_use_of_a_queue_and_of_the_total_may_be_held_back() {
        let bounds = Bounds::new(1000, 2000);
        assert!(bounds.may_hold(0, 250) && bounds.may_hold(150, 100));
        assert!(!bounds.may_hold(0, 251) && !bounds.may_hold(150, 101));
        bounds.changed(0, 400);
        assert!(bounds.may_hold(0, 100) && !bounds.may_hold(0, 101));
    }
}
