//! What a topic says in one round: messages that gather, then their frames, made once for each way of reading them.
//!
//! Never looks at a connection beyond how it reads. Read next: `rounds.rs`.

use crate::connection::{Conn, Flags};
use crate::engine::bounds::{Delivery, Piece};
use crate::thread::turn::Bunch;
use crate::wire::{Framing, Kind};

/// A message to all members of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) delivery: Delivery,
    pub(crate) text: bool,
    pub(crate) window_ms: u32,
}

/// The ways in which a connection reads messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Any,
    Binary,
    Text,
    BinaryRecord,
    TextRecord,
    Stream,
    PlainStream,
}

const READERS: usize = 7;

impl Reader {
    /// None: the connection takes no messages, because it has no framing yet or is about to close.
    pub(crate) fn of(conn: &Conn) -> Option<Self> {
        let framing = conn.framing()?;
        if conn.is(Flags::CLOSING) {
            return None;
        }
        Some(match (framing, conn.kind()) {
            (Framing::Stream, _) => Self::Stream,
            (Framing::PlainStream, _) => Self::PlainStream,
            (Framing::Record, Kind::Text) => Self::TextRecord,
            (Framing::Record, _) => Self::BinaryRecord,
            (Framing::WebSocket, Kind::Text) => Self::Text,
            (Framing::WebSocket, Kind::Binary) => Self::Binary,
            (Framing::WebSocket, Kind::Any) => Self::Any,
        })
    }

    pub(crate) fn takes(self, text: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Text | Self::TextRecord | Self::Stream | Self::PlainStream => text,
            Self::Binary | Self::BinaryRecord => !text,
        }
    }

    fn framing(self) -> Framing {
        match self {
            Self::Any | Self::Binary | Self::Text => Framing::WebSocket,
            Self::BinaryRecord | Self::TextRecord => Framing::Record,
            Self::Stream => Framing::Stream,
            Self::PlainStream => Framing::PlainStream,
        }
    }
}

#[derive(Clone, Copy)]
struct Message {
    length: usize,
    delivery: Delivery,
    text: bool,
}

/// The frames of a block for one reader.
#[derive(Default)]
pub(crate) struct Framed {
    made: bool,
    pub(crate) bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// Messages of the other kind, which this reader does not get.
    pub(crate) skipped: usize,
}

impl Framed {
    pub(crate) fn messages(&self) -> usize {
        self.pieces.len()
    }

    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.pieces.capacity() * size_of::<Piece>()
    }

    pub(crate) fn bunch(&self) -> Bunch<'_, impl Iterator<Item = Piece>> {
        let pieces = self.pieces.iter().copied();
        Bunch { bytes: &self.bytes, pieces, messages: self.pieces.len(), urgent: false }
    }
}

#[derive(Default)]
pub(crate) struct Block {
    payloads: Vec<u8>,
    messages: Vec<Message>,
    /// Events that had no room: binary ones, and texts.
    missed: [u32; 2],
    framed: [Framed; READERS],
}

impl Block {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.missed == [0; 2]
    }

    /// What it counts for, in bytes: its messages with what they need beside their payloads.
    pub(crate) fn weight(&self) -> usize {
        self.payloads.len() + self.messages.len() * size_of::<Message>()
    }

    pub(crate) fn push(&mut self, what: &Publication<'_>) {
        self.payloads.extend_from_slice(what.payload);
        self.messages.push(Message { length: what.payload.len(), delivery: what.delivery, text: what.text });
    }

    /// An event had no room; its readers are told when the block goes out.
    pub(crate) fn miss(&mut self, text: bool) {
        let count = &mut self.missed[usize::from(text)];
        *count = count.saturating_add(1);
    }

    /// Events that a reader has to be told of instead.
    pub(crate) fn missed(&self, reader: Reader) -> u32 {
        let of = |text: bool| if reader.takes(text) { self.missed[usize::from(text)] } else { 0 };
        of(false).saturating_add(of(true))
    }

    /// The frames for a reader; empty before `frame`.
    pub(crate) fn framed(&self, reader: Reader) -> &Framed {
        &self.framed[reader as usize]
    }

    /// Make the frames for a reader; how many bytes of memory that took.
    pub(crate) fn frame(&mut self, reader: Reader) -> usize {
        let framed = &mut self.framed[reader as usize];
        if framed.made {
            return 0;
        }
        framed.made = true;
        let before = framed.held_bytes();
        let mut start = 0;
        for message in &self.messages {
            let payload = &self.payloads[start..start + message.length];
            start += message.length;
            if reader.takes(message.text) {
                let begin = framed.bytes.len();
                reader.framing().write(message.text, payload, &mut framed.bytes);
                let length = framed.bytes.len() - begin;
                framed.pieces.push(Piece { length, delivery: Some(message.delivery) });
            } else {
                framed.skipped += 1;
            }
        }
        framed.held_bytes() - before
    }

    /// Empty again, with the memory that it has.
    pub(crate) fn clear(&mut self) {
        self.payloads.clear();
        self.messages.clear();
        self.missed = [0; 2];
        for framed in &mut self.framed {
            framed.made = false;
            framed.bytes.clear();
            framed.pieces.clear();
            framed.skipped = 0;
        }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.payloads.capacity()
            + self.messages.capacity() * size_of::<Message>()
            + self.framed.iter().map(Framed::held_bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(messages: &[(&[u8], bool)]) -> Block {
        let mut block = Block::default();
        for (payload, text) in messages {
            block.push(&Publication { payload, delivery: Delivery::Event, text: *text, window_ms: 0 });
        }
        block
    }

    #[test]
    fn every_reader_gets_the_messages_it_can_read_in_its_own_frames() {
        let mut block = block(&[(b"one", false), (b"two", true)]);
        for (reader, bytes, skipped) in [
            (Reader::Any, &b"\x82\x03one\x81\x03two"[..], 0),
            (Reader::Binary, b"\x82\x03one", 1),
            (Reader::Text, b"\x81\x03two", 1),
            (Reader::BinaryRecord, b"\0\0\0\x03one", 1),
            (Reader::TextRecord, b"\0\0\0\x03two", 1),
            (Reader::Stream, b"b\r\ndata: two\n\n\r\n", 1),
            (Reader::PlainStream, b"data: two\n\n", 1),
        ] {
            block.frame(reader);
            let framed = block.framed(reader);
            assert_eq!((framed.bytes.as_slice(), framed.skipped), (bytes, skipped), "{reader:?}");
            assert_eq!(framed.bunch().pieces.map(|piece| piece.length).sum::<usize>(), bytes.len());
        }
    }

    #[test]
    fn a_reader_is_told_of_missed_events_that_it_could_have_read() {
        let mut block = Block::default();
        assert!(block.is_empty());
        block.miss(false);
        block.miss(false);
        block.miss(true);
        assert!(!block.is_empty());
        let told = [Reader::Any, Reader::Binary, Reader::TextRecord].map(|reader| block.missed(reader));
        assert_eq!(told, [3, 2, 1]);
    }

    #[test]
    fn a_cleared_block_says_nothing_of_what_it_held() {
        let mut block = block(&[(b"secret", false)]);
        block.frame(Reader::Any);
        block.miss(false);
        block.clear();
        block.frame(Reader::Any);
        assert!(block.is_empty());
        assert_eq!((block.weight(), block.framed(Reader::Any).bytes.len(), block.missed(Reader::Any)), (0, 0, 0));
    }
}
