//! Closed loop of echoes: each link has one message under way, checks what comes back, and sends the next.
//!
//! A message says which link it is of and which of its messages, so a server that mixes them up is found out. Read next:
//! `fanout.rs`.

use super::counts::Count;
use super::desk::Desk;
use super::plan::{Plan, Task};

/// Letter, slot, number: what differs between messages.
const STAMP: usize = 13;
/// No word of the room protocol begins with it.
const LETTER: u8 = b'e';

pub(super) struct Echo {
    message: Vec<u8>,
    /// Messages sent, by slot.
    sent: Vec<u64>,
    joined: Vec<bool>,
    looping: bool,
}

impl Echo {
    pub(super) fn new(size: usize) -> Self {
        let mut message = vec![b'x'; size.max(STAMP)];
        message[0] = LETTER;
        Self { message, sent: Vec::new(), joined: Vec::new(), looping: false }
    }

    fn send(&mut self, slot: u32, desk: &mut Desk) {
        let number = &mut self.sent[slot as usize];
        *number += 1;
        self.message[1..5].copy_from_slice(&slot.to_le_bytes());
        self.message[5..STAMP].copy_from_slice(&number.to_le_bytes());
        desk.send(slot, &self.message);
    }

    fn is_right(&self, slot: u32, payload: &[u8]) -> bool {
        payload.len() == self.message.len()
            && payload[0] == LETTER
            && payload[1..5] == slot.to_le_bytes()
            && payload[5..STAMP] == self.sent[slot as usize].to_le_bytes()
            && payload[STAMP..] == self.message[STAMP..]
    }
}

impl Plan for Echo {
    fn open(&mut self, slot: u32, _: &[u8], desk: &mut Desk) -> bool {
        let least = slot as usize + 1;
        if self.sent.len() < least {
            self.sent.resize(least, 0);
            self.joined.resize(least, false);
        }
        self.sent[slot as usize] = 0;
        self.joined[slot as usize] = true;
        if self.looping {
            self.send(slot, desk);
        }
        true
    }

    fn take(&mut self, slot: u32, payload: &[u8], desk: &mut Desk) {
        if self.is_right(slot, payload) {
            desk.counts.one(Count::Echoes);
        } else {
            let number = self.sent[slot as usize];
            desk.fault(Count::Altered, || format!("link {slot}: the echo of message {number} is not what was sent"));
        }
        if self.looping {
            self.send(slot, desk);
        }
    }

    fn leave(&mut self, slot: u32, _: &mut Desk) {
        self.joined[slot as usize] = false;
    }

    fn obey(&mut self, task: Task, desk: &mut Desk) {
        match task {
            Task::Talk if !self.looping => {
                self.looping = true;
                for slot in 0..u32::try_from(self.joined.len()).unwrap_or(0) {
                    if self.joined[slot as usize] {
                        self.send(slot, desk);
                    }
                }
            }
            Task::Halt => self.looping = false,
            _ => {}
        }
    }
}
