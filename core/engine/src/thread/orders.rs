//! Obeying the caller's commands: framing once for each way of framing, and handing frames to connections.
//!
//! A turn obeys a portion; the rest goes on in the next turn, before newer mail, so that order holds and sockets do not
//! wait for a message to a hundred thousand. Read next: `../engine/commands.rs`, `../connection/writing.rs`,
//! `../topics/fanout.rs`.

use std::collections::VecDeque;

use crate::connection::{Conn, Flags};
use crate::engine::bounds::Delivery;
use crate::engine::commands::{Command, Commands, Control, Mail, Span};
use crate::engine::ident::ConnId;
use crate::engine::stats::Count;
use crate::thread::IoThread;
use crate::thread::accepting::Listener;
use crate::thread::io::{After, Io};
use crate::topics::blocks::Publication;
use crate::wire::{FRAMINGS, Framing};

/// Connections that one turn writes to because of commands.
const PORTION: usize = 512;
/// Commands and targets of one turn, also those that lead to no write.
const STEPS: usize = 8192;
/// Bytes of a published message that count for a step more; those of others are bounded by the turn.
const STEP_BYTES: usize = 128;
/// Subscriptions of a connection that count for a step more when one of them is looked for.
const STEP_LINKS: usize = 16;

/// Mail that is being worked off, and how far the first batch of it has been obeyed.
#[derive(Default)]
pub(crate) struct Desk {
    mail: VecDeque<Mail>,
    command: usize,
    target: usize,
}

/// What a turn may still do for commands.
struct Portion {
    steps: usize,
    entries: usize,
}

impl Portion {
    fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
    }
}

/// One message, framed when the first connection of a kind needs it.
struct Message<'a> {
    payload: &'a [u8],
    delivery: Delivery,
    text: bool,
    framed: [Option<Span>; FRAMINGS],
}

impl IoThread {
    /// Obey a portion of the mail, oldest first; true when more waits.
    pub(crate) fn read_mail(&mut self) -> bool {
        if self.desk.mail.is_empty() {
            self.mailbox.take(&mut self.desk.mail);
        }
        let mut portion = Portion { steps: STEPS, entries: self.io.turn.entries() + PORTION };
        while let Some(mail) = self.desk.mail.pop_front() {
            match mail {
                Mail::Control(control) => self.control(control),
                Mail::Commands(batch) => {
                    if !self.obey(&batch, &mut portion) {
                        self.desk.mail.push_front(Mail::Commands(batch));
                        return true;
                    }
                    self.mailbox.give_back(batch);
                }
            }
        }
        false
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Listen { socket, tls } => self.listen(Listener { socket, tls, ready: true }),
            Control::Drain { duration_ms, code, reason } => self.begin_drain(duration_ms, code, reason),
            Control::Stop => self.stopping = true,
        }
    }

    /// Go on with a batch; false when the portion is used up before its end.
    fn obey(&mut self, batch: &Commands, portion: &mut Portion) -> bool {
        while let Some(command) = batch.list.get(self.desk.command) {
            let done = self.obey_one(batch, *command, portion);
            self.desk.command += usize::from(done);
            if !done || self.is_used_up(portion) {
                return false;
            }
        }
        self.desk.command = 0;
        true
    }

    fn obey_one(&mut self, batch: &Commands, command: Command, portion: &mut Portion) -> bool {
        match command {
            Command::Send { connection, payload, delivery, text } => {
                self.deliver(connection, &mut Message::new(&batch.bytes[payload.range()], delivery, text));
            }
            Command::SendMany { targets, payload, delivery, text } => {
                let message = Message::new(&batch.bytes[payload.range()], delivery, text);
                return self.deliver_to_many(&batch.targets[targets.range()], message, portion);
            }
            Command::Subscribe { connection, topic } => {
                portion.spend(self.subscribe(connection, topic) / STEP_LINKS);
            }
            Command::Unsubscribe { connection, topic } => {
                portion.spend(self.unsubscribe(connection, topic) / STEP_LINKS);
            }
            Command::Publish { topic, payload, delivery, text, window_ms } => {
                let payload = &batch.bytes[payload.range()];
                portion.spend(payload.len() / STEP_BYTES);
                self.publish(topic, &Publication { payload, delivery, text, window_ms });
            }
            Command::Admit { connection, lifetime_ms, idle_ms } => {
                self.order(connection, |io, conn| io.admit_for(connection, conn, lifetime_ms, idle_ms));
            }
            Command::Pause { connection, milliseconds } => {
                self.order(connection, |io, conn| io.pause_for(connection, conn, milliseconds));
            }
            Command::Close { connection, code, reason } => {
                let reason = String::from_utf8_lossy(&batch.bytes[reason.range()]);
                self.order(connection, |io, conn| io.begin_close(connection, conn, code, &reason));
            }
        }
        true
    }

    fn deliver_to_many(&mut self, targets: &[ConnId], mut message: Message<'_>, portion: &mut Portion) -> bool {
        while let Some(target) = targets.get(self.desk.target) {
            self.deliver(*target, &mut message);
            self.desk.target += 1;
            if self.is_used_up(portion) && self.desk.target < targets.len() {
                return false;
            }
        }
        self.desk.target = 0;
        true
    }

    /// Count a step; true when this turn has done enough for commands.
    fn is_used_up(&self, portion: &mut Portion) -> bool {
        portion.spend(1);
        portion.steps == 0 || self.io.turn.entries() >= portion.entries || self.io.turn.is_large()
    }

    fn deliver(&mut self, id: ConnId, message: &mut Message<'_>) {
        self.order(id, |io, conn| {
            let Some(frame) = io.frame(conn, message) else { return After::Keep };
            io.enqueue(id, conn, frame, message.delivery)
        });
    }

    /// Do something with a connection that is there and not closing; count it otherwise.
    fn order(&mut self, id: ConnId, act: impl FnOnce(&mut Io, &mut Conn) -> After) {
        let done = self.with(id, |io, conn| {
            if conn.is(Flags::CLOSING) || conn.is_new() {
                io.stats.one(Count::StaleCommands);
                return After::Keep;
            }
            act(io, conn)
        });
        if !done {
            self.io.stats.one(Count::StaleCommands);
        }
    }
}

impl<'a> Message<'a> {
    fn new(payload: &'a [u8], delivery: Delivery, text: bool) -> Self {
        Self { payload, delivery, text, framed: [None; FRAMINGS] }
    }
}

impl Io {
    /// None, and counted: a stream cannot carry it.
    fn frame(&mut self, conn: &Conn, message: &mut Message<'_>) -> Option<Span> {
        let framing = conn.framing()?;
        if matches!(framing, Framing::Stream | Framing::PlainStream) && !message.text {
            self.stats.one(Count::OtherKind);
            return None;
        }
        let kept = &mut message.framed[framing as usize];
        if kept.is_none() {
            *kept = Some(self.turn.lay(|arena| framing.write(message.text, message.payload, arena)));
        }
        *kept
    }
}
