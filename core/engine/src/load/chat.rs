//! Durable direct messages: users in a ring, each writes to the next and acknowledges what it reads.
//!
//! Closed loop: the next message when the one before is on disk. Open loop: by a schedule that waits for nothing; a
//! message carries the moment at which it was due, so a slow server cannot hide its delay (no coordinated omission).
//! Read next: `books.rs`, which judges; `protobuf.rs`.

use super::books::{self, Inbox, Outbox};
use super::counts::Count;
use super::desk::Desk;
use super::hold::{connected, present};
use super::plan::{Plan, Task};
use super::protobuf::{self, Body, Writer};
use super::timer::now_ns;

/// Ids of requests: messages have their number, acknowledgements come above this, and openings have these four.
const ACKS: u64 = 1 << 31;
const OPEN_OUT: u64 = (1 << 32) - 4;
const OPEN_IN: u64 = (1 << 32) - 3;
const VERIFY: u64 = (1 << 32) - 2;

#[derive(Default)]
struct User {
    joined: bool,
    reader: String,
    writer: String,
    outbox: Outbox,
    inbox: Inbox,
    acks: u64,
    /// The mark that the server has confirmed.
    confirmed: u64,
    /// The highest mark of its reader that it was told.
    told: u64,
}

/// Messages still to be sent by the clock.
#[derive(Default)]
struct Schedule {
    next_ns: u64,
    every_ns: u64,
    left: u64,
    turn: usize,
}

pub(super) struct Chat {
    size: usize,
    users: Vec<User>,
    writer: Writer,
    looping: bool,
    schedule: Schedule,
}

impl Chat {
    pub(super) fn new(size: usize) -> Self {
        Self { size, users: Vec::new(), writer: Writer::default(), looping: false, schedule: Schedule::default() }
    }

    fn write(&mut self, slot: u32, due_ns: u64, desk: &mut Desk) {
        let outbox = &mut self.users[slot as usize].outbox;
        let number = outbox.write(due_ns);
        let text = books::text(&outbox.conversation, number, due_ns, self.size);
        let id = books::client_id(number);
        desk.send(slot, self.writer.send(number, &outbox.conversation, id.as_bytes(), text.as_bytes()));
        desk.counts.one(Count::Written);
    }

    fn sent(&mut self, slot: u32, id: u64, seq: u64, given: &[u8], duplicate: bool, desk: &mut Desk) {
        desk.counts.one(Count::Acked);
        match self.users[slot as usize].outbox.acknowledge(id, seq, given, duplicate) {
            Ok(due_ns) => desk.delays.acked.observe(desk.now_ns.saturating_sub(due_ns)),
            Err((count, word)) => desk.fault(count, || format!("user {slot}: {word}")),
        }
        if self.looping {
            self.write(slot, now_ns(), desk);
        }
    }

    fn receive(&mut self, slot: u32, body: &Body<'_>, desk: &mut Desk) {
        desk.counts.one(Count::Received);
        match self.users[slot as usize].inbox.receive(self.size, body) {
            Ok(due_ns) => desk.delays.delivered.observe(desk.now_ns.saturating_sub(due_ns)),
            Err(((count, word), number)) => {
                desk.counts.add(count, number);
                desk.counts.complain(|| format!("user {slot}: {word}"));
            }
        }
    }

    fn opened(&mut self, slot: u32, request: u64, body: &Body<'_>, desk: &mut Desk) {
        let Body::Conversation { id, head, whole } = *body else { return };
        let user = &mut self.users[slot as usize];
        match request {
            OPEN_OUT => user.outbox.conversation = id.to_vec(),
            OPEN_IN => {
                user.inbox.conversation = id.to_vec();
                desk.counts.one(Count::Opened);
            }
            _ => {
                let mark = protobuf::delivered_to(whole, user.reader.as_bytes());
                let written = user.outbox.written;
                desk.counts.one(Count::Verified);
                if (head, mark) != (written, Some(written)) {
                    desk.fault(Count::Skipped, || {
                        format!("user {slot} wrote {written}; the log has {head}, its reader's mark is {mark:?}")
                    });
                }
            }
        }
    }

    fn marked(&mut self, slot: u32, seq: u64, desk: &Desk) {
        let user = &mut self.users[slot as usize];
        desk.counts.one(Count::AcksAnswered);
        desk.counts.add(Count::Marked, seq.saturating_sub(user.confirmed));
        user.confirmed = seq.max(user.confirmed);
    }

    fn told(&mut self, slot: u32, seq: u64, desk: &Desk) {
        let user = &mut self.users[slot as usize];
        if seq <= user.told || seq > user.outbox.written {
            let (before, written) = (user.told, user.outbox.written);
            desk.fault(Count::Unexpected, || format!("user {slot}: Delivered {seq} after {before}, of {written}"));
        }
        user.told = seq;
    }

    fn open_conversations(&mut self, names: Vec<(String, String)>, desk: &mut Desk) {
        for ((slot, user), (reader, writer)) in (0..).zip(&mut self.users).zip(names) {
            (user.reader, user.writer) = (reader, writer);
            desk.send(slot, self.writer.open_direct(OPEN_OUT, &user.reader));
            desk.send(slot, self.writer.open_direct(OPEN_IN, &user.writer));
        }
    }

    fn everybody(&self) -> Vec<u32> {
        (0..).zip(&self.users).filter(|(_, user)| user.joined).map(|(slot, _)| slot).collect()
    }

    fn go_by_the_clock(&mut self, desk: &mut Desk) {
        let now = now_ns();
        while self.schedule.left > 0 && self.schedule.next_ns <= now && !self.users.is_empty() {
            let due_ns = self.schedule.next_ns;
            let slot = u32::try_from(self.schedule.turn % self.users.len()).unwrap_or(0);
            desk.delays.late.observe(now - due_ns);
            self.write(slot, due_ns, desk);
            self.schedule.next_ns += self.schedule.every_ns;
            self.schedule.left -= 1;
            self.schedule.turn += 1;
        }
        if self.schedule.left > 0 {
            desk.wake_at(self.schedule.next_ns);
        }
    }
}

impl Plan for Chat {
    fn open(&mut self, slot: u32, opening: &[u8], desk: &mut Desk) -> bool {
        while self.users.len() <= slot as usize {
            self.users.push(User::default());
        }
        present(slot, opening, desk)
    }

    fn admit(&mut self, slot: u32, payload: &[u8], _: &mut Desk) -> Result<(), String> {
        self.users[slot as usize].joined = true;
        connected(payload)
    }

    fn take(&mut self, slot: u32, payload: &[u8], desk: &mut Desk) {
        let Some((id, body)) = protobuf::read(payload) else {
            return desk.fault(Count::Unexpected, || format!("user {slot}: got what is no frame"));
        };
        match body {
            Body::Sent { seq, client_id, duplicate } => self.sent(slot, id, seq, client_id, duplicate, desk),
            Body::Message { .. } => self.receive(slot, &body, desk),
            Body::Acked { seq } => self.marked(slot, seq, desk),
            Body::Delivered { seq, .. } => self.told(slot, seq, desk),
            Body::Conversation { .. } => self.opened(slot, id, &body, desk),
            other => desk.fault(Count::Unexpected, || format!("user {slot}: {other:?}")),
        }
    }

    /// One cumulative acknowledgement for everything that this read brought.
    fn rest(&mut self, slot: u32, desk: &mut Desk) {
        let Some(user) = self.users.get_mut(slot as usize) else { return };
        if let Some(seq) = user.inbox.mark() {
            user.acks += 1;
            desk.counts.one(Count::Acks);
            desk.send(slot, self.writer.ack(ACKS + user.acks, &user.inbox.conversation, seq));
        }
    }

    fn leave(&mut self, slot: u32, _: &mut Desk) {
        self.users[slot as usize].joined = false;
    }

    fn due(&mut self, desk: &mut Desk) {
        self.go_by_the_clock(desk);
    }

    fn obey(&mut self, task: Task, desk: &mut Desk) {
        match task {
            Task::Talk if !self.looping => {
                self.looping = true;
                for slot in self.everybody() {
                    self.write(slot, now_ns(), desk);
                }
            }
            Task::Halt => (self.looping, self.schedule.left) = (false, 0),
            Task::Open(names) => self.open_conversations(names, desk),
            Task::Verify => {
                for slot in self.everybody() {
                    let user = &self.users[slot as usize];
                    desk.send(slot, self.writer.open_direct(VERIFY, &user.reader));
                }
            }
            Task::Follow { begin_ns, every_ns, count } => {
                self.schedule = Schedule { next_ns: begin_ns, every_ns, left: count, turn: 0 };
                self.go_by_the_clock(desk);
            }
            _ => {}
        }
    }
}
