//! What one turn of a thread wants to write: frames in an arena, chained by connection, so that each connection gets
//! one write, and a payload for many connections lies in memory once.
//!
//! Never writes by itself. Read next: `writing.rs`.

use crate::commands::Span;
use crate::ident::ConnId;

/// A connection that has nothing in this turn.
pub(crate) const NONE: u32 = u32::MAX;
/// Beyond so much the turn is written out before more is taken in.
const LARGE_ARENA: usize = 1 << 20;
const LARGE_ENTRIES: usize = 1 << 16;

struct Frame {
    span: Span,
    next: u32,
}

struct Entry {
    id: ConnId,
    head: u32,
    tail: u32,
    bytes: usize,
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
    pub(crate) fn add(&mut self, id: ConnId, mark: &mut u32, span: Span) {
        let frame = index(self.frames.len());
        self.frames.push(Frame { span, next: NONE });
        if *mark == NONE {
            *mark = index(self.entries.len());
            self.entries.push(Entry { id, head: frame, tail: frame, bytes: span.len() });
            return;
        }
        let entry = &mut self.entries[*mark as usize];
        self.frames[entry.tail as usize].next = frame;
        entry.tail = frame;
        entry.bytes += span.len();
    }

    /// Bytes that a connection has in this turn.
    pub(crate) fn waiting(&self, mark: u32) -> usize {
        self.entries.get(mark as usize).map_or(0, |entry| entry.bytes)
    }

    pub(crate) fn id(&self, entry: usize) -> Option<ConnId> {
        self.entries.get(entry).map(|entry| entry.id)
    }

    /// All bytes of a connection in one piece; without a copy when they lie together already.
    pub(crate) fn gather(&mut self, mark: u32) -> &[u8] {
        let Some(entry) = self.entries.get(mark as usize) else { return &[] };
        let first = self.frames[entry.head as usize].span.range().start;
        if self.lies_together(entry) {
            return &self.arena[first..first + entry.bytes];
        }
        self.scratch.clear();
        let mut frame = entry.head;
        while let Some(Frame { span, next }) = self.frames.get(frame as usize) {
            self.scratch.extend_from_slice(&self.arena[span.range()]);
            frame = *next;
        }
        &self.scratch
    }

    fn lies_together(&self, entry: &Entry) -> bool {
        let mut frame = &self.frames[entry.head as usize];
        while let Some(next) = self.frames.get(frame.next as usize) {
            if next.span.range().start != frame.span.range().end {
                return false;
            }
            frame = next;
        }
        true
    }

    pub(crate) fn has_many_entries(&self) -> bool {
        self.frames.len() >= LARGE_ENTRIES
    }

    pub(crate) fn is_large(&self) -> bool {
        self.arena.len() >= LARGE_ARENA || self.has_many_entries()
    }

    /// Everything is written; the arena stays, for spans that are still to be added.
    pub(crate) fn forget_entries(&mut self) {
        self.entries.clear();
        self.frames.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.forget_entries();
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
        turn.add(1, &mut one, shared);
        turn.add(2, &mut two, shared);
        let own = turn.lay(|arena| arena.extend(b"you "));
        turn.add(1, &mut one, own);
        let other = turn.lay(|arena| arena.extend(b"him "));
        turn.add(2, &mut two, other);
        turn.add(2, &mut two, shared);
        assert_eq!((turn.waiting(one), turn.waiting(two)), (8, 12));
        assert_eq!(turn.gather(one), b"all you ");
        assert_eq!(turn.gather(two), b"all him all ");
        assert_eq!((turn.id(0), turn.id(1), turn.id(2)), (Some(1), Some(2), None));
    }
}
