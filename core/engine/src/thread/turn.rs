//! What one turn of a thread wants to write: frames in an arena, chained by connection, so that each connection gets
//! one write, and a payload for many connections lies in memory once.
//!
//! Never writes by itself. Read next: `../connection/writing.rs`.

use crate::engine::bounds::{Delivery, Piece};
use crate::engine::commands::Span;
use crate::engine::ident::ConnId;

/// A connection that has nothing in this turn.
pub(crate) const NONE: u32 = u32::MAX;
/// Beyond so much the turn is written out before more is taken in.
const LARGE_ARENA: usize = 1 << 20;
const LARGE_FRAMES: usize = 1 << 16;

struct Frame {
    span: Span,
    next: u32,
    delivery: Option<Delivery>,
}

#[derive(Clone, Copy)]
struct Entry {
    id: ConnId,
    head: u32,
    tail: u32,
    bytes: usize,
    /// Frames that are messages.
    messages: u32,
    /// One of them must not be held back.
    urgent: bool,
}

/// What goes to one connection in one write, and the messages that it consists of.
pub(crate) struct Bunch<'a, P> {
    pub(crate) bytes: &'a [u8],
    pub(crate) pieces: P,
    pub(crate) messages: usize,
    pub(crate) urgent: bool,
}

#[derive(Default)]
pub(crate) struct Turn {
    arena: Vec<u8>,
    frames: Vec<Frame>,
    entries: Vec<Entry>,
    scratch: Vec<u8>,
}

impl Turn {
    /// Lay bytes into the arena.
    pub(crate) fn lay(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.arena.len();
        encode(&mut self.arena);
        Span::new(start, self.arena.len())
    }

    /// Chain a frame to a connection; `mark` is the connection's place in this turn.
    pub(crate) fn add(&mut self, id: ConnId, mark: &mut u32, span: Span, delivery: Option<Delivery>) {
        let frame = index(self.frames.len());
        self.frames.push(Frame { span, next: NONE, delivery });
        if *mark == NONE {
            *mark = index(self.entries.len());
            self.entries.push(Entry { id, head: frame, tail: frame, bytes: 0, messages: 0, urgent: false });
        }
        let entry = &mut self.entries[*mark as usize];
        if entry.tail != frame {
            self.frames[entry.tail as usize].next = frame;
            entry.tail = frame;
        }
        entry.bytes += span.len();
        entry.messages += u32::from(delivery.is_some());
        entry.urgent |= matches!(delivery, None | Some(Delivery::Reply));
    }

    /// Bytes that a connection has in this turn.
    pub(crate) fn waiting(&self, mark: u32) -> usize {
        self.entries.get(mark as usize).map_or(0, |entry| entry.bytes)
    }

    pub(crate) fn id(&self, entry: usize) -> Option<ConnId> {
        self.entries.get(entry).map(|entry| entry.id)
    }

    /// All that a connection has, in one piece; without a copy when it lies together already.
    pub(crate) fn gather(&mut self, mark: u32) -> Bunch<'_, impl Iterator<Item = Piece>> {
        let entry = self.entries[mark as usize];
        let first = self.frames[entry.head as usize].span.range().start;
        let together = self.lies_together(entry);
        if !together {
            self.scratch.clear();
            for frame in chain(&self.frames, entry.head) {
                self.scratch.extend_from_slice(&self.arena[frame.span.range()]);
            }
        }
        let bytes = if together { &self.arena[first..first + entry.bytes] } else { &self.scratch };
        let piece = |frame: &Frame| Piece { length: frame.span.len(), delivery: frame.delivery };
        let pieces = chain(&self.frames, entry.head).map(piece);
        Bunch { bytes, pieces, messages: entry.messages as usize, urgent: entry.urgent }
    }

    fn lies_together(&self, entry: Entry) -> bool {
        let mut end = self.frames[entry.head as usize].span.range().start;
        chain(&self.frames, entry.head)
            .all(|frame| frame.span.range().start == std::mem::replace(&mut end, frame.span.range().end))
    }

    /// Connections that something was gathered for.
    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Holds so much that it should be written out before more is taken in.
    pub(crate) fn is_large(&self) -> bool {
        self.arena.len() >= LARGE_ARENA || self.frames.len() >= LARGE_FRAMES
    }

    /// Everything is written.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.frames.clear();
        self.arena.clear();
        self.arena.shrink_to(2 * LARGE_ARENA);
        self.scratch.shrink_to(LARGE_ARENA);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.arena.capacity()
            + self.scratch.capacity()
            + self.frames.capacity() * size_of::<Frame>()
            + self.entries.capacity() * size_of::<Entry>()
    }
}

/// The frames from this one on.
fn chain(frames: &[Frame], head: u32) -> impl Iterator<Item = &Frame> {
    std::iter::successors(frames.get(head as usize), |frame| frames.get(frame.next as usize))
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_gets_its_frames_in_order_and_shared_ones_too() {
        let mut turn = Turn::default();
        let (mut one, mut two) = (NONE, NONE);
        let shared = turn.lay(|arena| arena.extend(b"all "));
        turn.add(1, &mut one, shared, Some(Delivery::Event));
        turn.add(2, &mut two, shared, Some(Delivery::Event));
        let own = turn.lay(|arena| arena.extend(b"you "));
        turn.add(1, &mut one, own, Some(Delivery::Event));
        let other = turn.lay(|arena| arena.extend(b"him "));
        turn.add(2, &mut two, other, Some(Delivery::Event));
        turn.add(2, &mut two, shared, Some(Delivery::Event));
        assert_eq!((turn.waiting(one), turn.waiting(two)), (8, 12));
        assert_eq!(turn.gather(one).bytes, b"all you ");
        assert_eq!(turn.gather(two).bytes, b"all him all ");
        assert_eq!((turn.id(0), turn.id(1), turn.id(2)), (Some(1), Some(2), None));
    }
    #[test]
    fn a_bunch_knows_its_messages_and_whether_one_of_them_is_urgent() {
        let mut turn = Turn::default();
        let mut mark = NONE;
        for (bytes, delivery) in [(&b"low"[..], Some(Delivery::Low)), (b"event", Some(Delivery::Event))] {
            let span = turn.lay(|arena| arena.extend(bytes));
            turn.add(1, &mut mark, span, delivery);
        }
        assert!(!turn.gather(mark).urgent);
        let span = turn.lay(|arena| arena.extend(b"close"));
        turn.add(1, &mut mark, span, None);
        let bunch = turn.gather(mark);
        assert_eq!((bunch.messages, bunch.urgent), (2, true));
        assert_eq!(bunch.pieces.map(|piece| piece.length).collect::<Vec<_>>(), [3, 5, 5]);
    }
}
