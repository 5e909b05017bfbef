//! Moments in milliseconds, for waits that the wheel's ticks are too coarse for: blocks that gather, bytes held back.
//!
//! A moment is never taken back: whoever is woken looks whether something is left to do. Read next: `../topics/rounds.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Default)]
pub(crate) struct Alarms {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Alarms {
    /// Wake `whom` at `when`.
    pub(crate) fn set(&mut self, when: u64, whom: u64) {
        self.heap.push(Reverse((when, whom)));
    }

    /// The first moment of all.
    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((when, _))| *when)
    }

    /// One whose moment has come.
    pub(crate) fn take(&mut self, now: u64) -> Option<u64> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, whom))| whom)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Reverse<(u64, u64)>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_ring_in_order_of_time_and_none_before_its_time() {
        let mut alarms = Alarms::default();
        for (when, whom) in [(30, 3), (10, 1), (20, 2)] {
            alarms.set(when, whom);
        }
        assert_eq!((alarms.next(), alarms.take(9)), (Some(10), None));
        assert_eq!([alarms.take(25), alarms.take(25), alarms.take(25)], [Some(1), Some(2), None]);
        assert_eq!(alarms.take(30), Some(3));
        assert_eq!(alarms.next(), None);
    }
}
