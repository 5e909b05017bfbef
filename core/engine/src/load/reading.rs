//! From a link's socket to its plan: whole frames, in one piece, without a copy where they came whole.
//!
//! What is not a whole frame stays with the link and goes before what the next read brings. Read next: `frame.rs`.

use std::io::ErrorKind;

use super::counts::Count;
use super::frame::{self, Item};
use super::link::Stage;
use super::thread::{LoadThread, NO_CLOSE};
use super::timer::now_ns;

/// Reads of one link in one turn.
const READS: usize = 16;
/// Room for reading behind what a link kept, at least.
const ROOM: usize = 64 * 1024;

/// What a link may do after it was read.
enum Read {
    /// The socket is empty.
    Empty,
    More,
    Gone(u16),
}

impl LoadThread {
    pub(super) fn read(&mut self, slot: u32) {
        for _ in 0..READS {
            match self.read_once(slot) {
                Read::Empty => return,
                Read::More => {}
                Read::Gone(code) => return self.part(slot, code),
            }
        }
        self.unread.push(slot);
    }

    fn read_once(&mut self, slot: u32) -> Read {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.read_into(slot, &mut buffer);
        self.buffer = buffer;
        outcome
    }

    /// What the link kept goes to the front of the buffer, so that frames always lie in one piece.
    fn read_into(&mut self, slot: u32, buffer: &mut Vec<u8>) -> Read {
        let Some(link) = self.link(slot).filter(|link| !link.stalled) else { return Read::Empty };
        let rest = link.rest.take().map_or_else(Vec::new, |rest| *rest);
        if buffer.len() < rest.len() + ROOM {
            buffer.resize((rest.len() + ROOM).next_power_of_two(), 0);
        }
        buffer[..rest.len()].copy_from_slice(&rest);
        let count = match link.read(&mut buffer[rest.len()..]) {
            Ok(0) => return Read::Gone(NO_CLOSE),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                link.rest = (!rest.is_empty()).then(|| Box::new(rest));
                return Read::Empty;
            }
            Err(_) => return Read::Gone(NO_CLOSE),
        };
        let emptied = count < buffer.len() - rest.len() && link.is_emptied_by_a_short_read();
        self.desk.counts.one(Count::Reads);
        self.desk.counts.add(Count::BytesReceived, count as u64);
        let end = rest.len() + count;
        match self.eat(slot, &buffer[..end]) {
            Ok(used) => {
                if let Some(link) = self.link(slot).filter(|_| used < end) {
                    link.rest = Some(Box::new(buffer[used..end].to_vec()));
                }
                if emptied { Read::Empty } else { Read::More }
            }
            Err(code) => Read::Gone(code),
        }
    }

    /// Returns how many bytes were used; Err: the link is over, with this code.
    fn eat(&mut self, slot: u32, bytes: &[u8]) -> Result<usize, u16> {
        self.desk.now_ns = now_ns();
        let mut used = 0;
        if self.link(slot).is_some_and(|link| link.stage == Stage::Upgrading) {
            match self.upgraded(slot, bytes)? {
                Some(head) => used = head,
                None => return Ok(0),
            }
        }
        loop {
            match frame::next(&bytes[used..]) {
                Ok(Some((item, size))) => {
                    used += size;
                    self.take(slot, &item)?;
                }
                Ok(None) => break,
                Err(word) => {
                    self.desk.fault(Count::Unexpected, || format!("link {slot}: {word}"));
                    return Err(NO_CLOSE);
                }
            }
        }
        self.plan.rest(slot, &mut self.desk);
        self.write_out();
        Ok(used)
    }

    fn take(&mut self, slot: u32, item: &Item<'_>) -> Result<(), u16> {
        match *item {
            Item::Heartbeat => self.desk.counts.one(Count::HeartbeatsAnswered),
            Item::Message(payload) => {
                self.desk.counts.one(Count::MessagesReceived);
                if self.link(slot).is_some_and(|link| link.stage == Stage::Joining) {
                    return self.admit(slot, payload);
                }
                self.plan.take(slot, payload, &mut self.desk);
            }
            Item::Ping(payload) => self.desk.pong(slot, payload),
            Item::Pong => {}
            Item::Close(code) => return Err(code),
        }
        Ok(())
    }
}
