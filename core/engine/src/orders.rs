//! Obeying the caller's commands: framing once for each way of framing, and handing frames to connections.
//!
//! Read next: `commands.rs`, `writing.rs`.

use crate::commands::{Command, Commands, Span};
use crate::connection::{Conn, Flags, Wire};
use crate::ident::ConnId;
use crate::io::{After, Io};
use crate::queue::Delivery;
use crate::stats::Count;
use crate::thread::IoThread;
use crate::{tcp, websocket};

/// One message, framed when the first connection of a kind needs it.
struct Message<'a> {
    payload: &'a [u8],
    delivery: Delivery,
    text: bool,
    websocket: Option<Span>,
    record: Option<Span>,
}

impl IoThread {
    pub(crate) fn obey(&mut self, batch: &Commands) {
        for command in &batch.list {
            self.obey_one(batch, *command);
            if self.io.turn.is_large() {
                self.write_all();
                self.io.turn.clear();
            }
        }
    }

    fn obey_one(&mut self, batch: &Commands, command: Command) {
        match command {
            Command::Send { connection, payload, delivery, text } => {
                let payload = &batch.bytes[payload.range()];
                self.deliver(connection, &mut Message { payload, delivery, text, websocket: None, record: None });
            }
            Command::SendMany { targets, payload, delivery, text } => {
                let payload = &batch.bytes[payload.range()];
                let mut message = Message { payload, delivery, text, websocket: None, record: None };
                for target in &batch.targets[targets.range()] {
                    self.deliver(*target, &mut message);
                    if self.io.turn.has_many_entries() {
                        self.write_all();
                    }
                }
            }
            Command::Admit { connection, lifetime_ms } => {
                self.order(connection, |io, conn| io.admit_for(connection, conn, lifetime_ms));
            }
            Command::Close { connection, code, reason } => {
                let reason = String::from_utf8_lossy(&batch.bytes[reason.range()]);
                self.order(connection, |io, conn| io.begin_close(connection, conn, code, &reason));
            }
        }
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

impl Io {
    fn frame(&mut self, conn: &Conn, message: &mut Message<'_>) -> Option<Span> {
        let Message { payload, text, .. } = *message;
        let kept = match conn.wire {
            Wire::New => return None,
            Wire::WebSocket(_) => &mut message.websocket,
            Wire::Tcp(_) => &mut message.record,
        };
        if kept.is_none() {
            *kept = Some(self.turn.lay(|arena| {
                if matches!(conn.wire, Wire::Tcp(_)) {
                    arena.extend_from_slice(&tcp::encode_header(payload.len()));
                } else {
                    let (header, length) = websocket::encode_header(text, payload.len());
                    arena.extend_from_slice(&header[..length]);
                }
                arena.extend_from_slice(payload);
            }));
        }
        *kept
    }
}
