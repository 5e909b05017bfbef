//! One publishes, all others receive: bursts in a closed loop, each message checked by each receiver.
//!
//! Slot 0 publishes, in the room protocol: `+` to take part, `=` or `~` before what all shall get. The next burst leaves
//! when all have the one before; when the server shall gather, already when the first receiver has it, so that a burst
//! always waits where it is gathered. Read next: `slow.rs`.

use std::collections::VecDeque;

use super::counts::Count;
use super::desk::Desk;
use super::plan::{Plan, Task};

const PUBLISHER: u32 = 0;
const JOIN: &[u8] = b"+";
/// An echo behind `+`: when it is back, the server has heard both.
const READY: &[u8] = b"ready";
/// The room's word, the letter, the number and the time of a message.
const STAMP: usize = 17;
const LETTER: u8 = b'f';

#[derive(Clone, Copy)]
struct Receiver {
    /// The number of the message that must come next.
    next: u64,
    /// Whether bursts wait for it.
    member: bool,
}

struct Burst {
    /// Number of its last message.
    last: u64,
    /// Members that lack it.
    left: u64,
    whole: u64,
}

pub(super) struct Fanout {
    /// The room's word, then what everybody gets.
    message: Vec<u8>,
    receivers: Vec<Receiver>,
    members: u64,
    newest: u64,
    bursts: u64,
    messages: u64,
    gather: bool,
    under_way: VecDeque<Burst>,
}

impl Fanout {
    pub(super) fn new(size: usize) -> Self {
        let mut message = vec![b'x'; 1 + size.max(STAMP)];
        message[1] = LETTER;
        Self {
            message,
            receivers: Vec::new(),
            members: 0,
            newest: 0,
            bursts: 0,
            messages: 1,
            gather: false,
            under_way: VecDeque::new(),
        }
    }

    /// How many messages a receiver has got or passed over.
    pub(super) fn progress(&self, slot: u32) -> u64 {
        self.receivers[slot as usize].next - 1
    }

    /// Bursts wait for this receiver no more.
    pub(super) fn dismiss(&mut self, slot: u32, desk: &mut Desk) {
        let Some(receiver) = self.receivers.get_mut(slot as usize).filter(|receiver| receiver.member) else { return };
        receiver.member = false;
        let next = receiver.next;
        self.members -= 1;
        for burst in self.under_way.iter_mut().filter(|burst| next <= burst.last) {
            burst.left -= 1;
        }
        self.go_on(desk);
    }

    /// The number and the time of a message, if it is one.
    fn stamp(&self, payload: &[u8]) -> Option<(u64, u64)> {
        let (stamp, filler) = payload.split_at_checked(STAMP)?;
        let number = u64::from_le_bytes(*stamp[1..].first_chunk()?);
        let sent_ns = u64::from_le_bytes(*stamp[9..].first_chunk()?);
        (stamp[0] == LETTER && filler == &self.message[1 + STAMP..]).then_some((number, sent_ns))
    }

    fn receive(&mut self, slot: u32, number: u64, desk: &mut Desk) {
        let receiver = &mut self.receivers[slot as usize];
        let (expected, member) = (receiver.next, receiver.member);
        if number < expected {
            return desk.fault(Count::Repeated, || format!("link {slot}: message {number} after {}", expected - 1));
        }
        receiver.next = number + 1;
        if !member {
            desk.counts.one(Count::Received);
            return desk.counts.add(Count::Missed, number - expected);
        }
        if number > expected {
            desk.counts.add(Count::Skipped, number - expected);
            desk.counts.complain(|| format!("link {slot}: message {number}, expected {expected}"));
        }
        desk.counts.one(Count::Deliveries);
        for burst in self.under_way.iter_mut().filter(|burst| expected <= burst.last && number >= burst.last) {
            burst.left -= 1;
        }
        self.go_on(desk);
    }

    fn go_on(&mut self, desk: &mut Desk) {
        while self.under_way.front().is_some_and(|burst| burst.left == 0) {
            self.under_way.pop_front();
            desk.counts.one(Count::Bursts);
        }
        let may = match self.under_way.front() {
            None => true,
            Some(burst) => self.gather && self.under_way.len() == 1 && burst.left < burst.whole,
        };
        if may && self.bursts > 0 && self.members > 0 {
            self.publish(desk);
        }
    }

    fn publish(&mut self, desk: &mut Desk) {
        self.bursts -= 1;
        self.message[0] = if self.gather { b'~' } else { b'=' };
        self.message[10..18].copy_from_slice(&super::timer::now_ns().to_le_bytes());
        for _ in 0..self.messages {
            self.newest += 1;
            self.message[2..10].copy_from_slice(&self.newest.to_le_bytes());
            desk.send(PUBLISHER, &self.message);
            desk.counts.one(Count::Published);
        }
        self.under_way.push_back(Burst { last: self.newest, left: self.members, whole: self.members });
    }
}

impl Plan for Fanout {
    fn open(&mut self, slot: u32, _: &[u8], desk: &mut Desk) -> bool {
        let least = slot as usize + 1;
        if self.receivers.len() < least {
            self.receivers.resize(least, Receiver { next: 1, member: false });
        }
        if slot != PUBLISHER {
            desk.send(slot, JOIN);
            desk.send(slot, READY);
        }
        slot == PUBLISHER
    }

    fn admit(&mut self, slot: u32, payload: &[u8], _: &mut Desk) -> Result<(), String> {
        if payload != READY {
            return Err("the echo behind `+` did not come back".to_owned());
        }
        self.receivers[slot as usize] = Receiver { next: self.newest + 1, member: true };
        self.members += 1;
        Ok(())
    }

    fn take(&mut self, slot: u32, payload: &[u8], desk: &mut Desk) {
        match self.stamp(payload) {
            Some((number, sent_ns)) => {
                desk.delays.delivered.observe(desk.now_ns.saturating_sub(sent_ns));
                self.receive(slot, number, desk);
            }
            None => desk.fault(Count::Altered, || format!("link {slot}: not what was published")),
        }
    }

    fn leave(&mut self, slot: u32, desk: &mut Desk) {
        self.dismiss(slot, desk);
    }

    fn obey(&mut self, task: Task, desk: &mut Desk) {
        match task {
            Task::Publish { bursts, messages, gather } => {
                (self.bursts, self.messages, self.gather) = (bursts, messages, gather);
                self.go_on(desk);
            }
            Task::Halt => self.bursts = 0,
            _ => {}
        }
    }
}
