//! What waits for one connection because its socket takes no more, and who may wait: the delivery classes.
//!
//! Exists only while something waits. Read next: `writing.rs`.

use crate::clock::Tick;

/// How much a message matters when the peer does not keep up (BOUNDARY.md, delivery classes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// May use the whole queue; beyond it the connection is closed.
    Reply = 0,
    /// May use half; beyond it dropped, and Python is told how many.
    Event = 1,
    /// May use a quarter; beyond it dropped.
    Transient = 2,
}

impl Delivery {
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Reply, Self::Event, Self::Transient].get(usize::from(number)).copied()
    }

    fn share(self, queue_bytes: usize) -> usize {
        queue_bytes >> (self as u32)
    }

    /// May a message of `length` join `waiting` bytes? The first one always may: it has to be tried.
    pub(crate) fn fits(self, waiting: usize, length: usize, queue_bytes: usize) -> bool {
        waiting == 0 || waiting + length <= self.share(queue_bytes)
    }
}

#[derive(Debug)]
pub(crate) struct OutQueue {
    bytes: Vec<u8>,
    written: usize,
    /// Events dropped since the last MISSED.
    pub(crate) missed: u32,
    /// When the socket last took something.
    pub(crate) progress: Tick,
}

impl OutQueue {
    pub(crate) fn new(now: Tick) -> Self {
        Self { bytes: Vec::new(), written: 0, missed: 0, progress: now }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.written > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(crate) fn took(&mut self, count: usize, now: Tick) {
        self.written += count;
        if count > 0 {
            self.progress = now;
        }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_the_whole_half_and_a_quarter() {
        for (delivery, share) in [(Delivery::Reply, 1000), (Delivery::Event, 500), (Delivery::Transient, 250)] {
            assert!(delivery.fits(share - 10, 10, 1000), "{delivery:?}");
            assert!(!delivery.fits(share - 10, 11, 1000), "{delivery:?}");
        }
    }

    #[test]
    fn a_message_longer_than_the_queue_may_be_tried_when_nothing_waits() {
        assert!(Delivery::Transient.fits(0, 5000, 1000));
        assert!(!Delivery::Reply.fits(1, 5000, 1000));
    }

    #[test]
    fn bytes_come_out_in_order_and_written_ones_give_their_room_back() {
        let mut queue = OutQueue::new(Tick(0));
        let mut expected = Vec::new();
        let mut seen = Vec::new();
        for round in 0..100u8 {
            queue.push(&[round; 100]);
            expected.extend([round; 100]);
            let take = queue.waiting().len().min(90 + usize::from(round) % 20);
            seen.extend_from_slice(&queue.waiting()[..take]);
            queue.took(take, Tick(1));
        }
        seen.extend_from_slice(queue.waiting());
        assert_eq!(seen, expected);
        assert!(queue.held_bytes() < 4000, "{}", queue.held_bytes());
    }
}
