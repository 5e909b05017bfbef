//! What waits for one connection because its socket takes no more.
//!
//! Exists only while something waits. Read next: `../engine/bounds.rs` (who may wait), `writing.rs`.

use crate::time::clock::Tick;

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
