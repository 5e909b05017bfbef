//! The slot table of one thread: connection number to connection, in constant time and without moving anything.
//!
//! Grows by chunks, so that a million connections never meet a reallocation; freed slots are reused oldest first, which
//! keeps numbers unique for as long as possible. Read next: `../engine/ident.rs`.

use crate::engine::ident::{self, ConnId};

const CHUNK: usize = 256;
const NONE: u32 = u32::MAX;

struct Slot<T> {
    generation: u32,
    next_free: u32,
    value: Option<T>,
}

pub(crate) struct Table<T> {
    thread: u8,
    chunks: Vec<Box<[Slot<T>]>>,
    first_free: u32,
    last_free: u32,
    len: usize,
}

impl<T> Table<T> {
    pub(crate) fn new(thread: u8) -> Self {
        Self { thread, chunks: Vec::new(), first_free: NONE, last_free: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest slot ever used.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.chunks.len() * CHUNK).unwrap_or(ident::MAX_SLOTS)
    }

    /// Bytes of the table itself, empty slots included.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * (CHUNK * size_of::<Slot<T>>() + size_of::<Box<[Slot<T>]>>())
    }

    /// The number that the next `insert` will give, None when all 2^24 slots are taken.
    pub(crate) fn reserve(&mut self) -> Option<ConnId> {
        if self.first_free == NONE {
            self.grow()?;
        }
        let slot = self.first_free;
        let generation = ident::next_generation(self.slot(slot)?.generation);
        Some(ident::pack(self.thread, generation, slot))
    }

    /// Put a value under the number that `reserve` has just given.
    pub(crate) fn insert(&mut self, id: ConnId, value: T) {
        let index = ident::slot_of(id);
        debug_assert_eq!(index, self.first_free);
        let Some(slot) = self.slot(index) else { return };
        slot.generation = ident::generation_of(id);
        slot.value = Some(value);
        let next = slot.next_free;
        self.first_free = next;
        if next == NONE {
            self.last_free = NONE;
        }
        self.len += 1;
    }

    pub(crate) fn get(&mut self, id: ConnId) -> Option<&mut T> {
        if ident::thread_of(id) != usize::from(self.thread) {
            return None;
        }
        let slot = self.slot(ident::slot_of(id))?;
        if slot.generation == ident::generation_of(id) { slot.value.as_mut() } else { None }
    }

    /// The number of the connection that lives in a slot now.
    pub(crate) fn at(&mut self, index: u32) -> Option<ConnId> {
        let thread = self.thread;
        let slot = self.slot(index)?;
        slot.value.as_ref()?;
        Some(ident::pack(thread, slot.generation, index))
    }

    /// The value that lives in a slot now, with its number.
    pub(crate) fn living(&mut self, index: u32) -> Option<(ConnId, &mut T)> {
        let thread = self.thread;
        let slot = self.slot(index)?;
        let id = ident::pack(thread, slot.generation, index);
        Some((id, slot.value.as_mut()?))
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        let index = ident::slot_of(id);
        let slot = self.slot(index)?;
        slot.next_free = NONE;
        let value = slot.value.take();
        let last = self.last_free;
        match self.slot(last) {
            Some(previous) => previous.next_free = index,
            None => self.first_free = index,
        }
        self.last_free = index;
        self.len -= 1;
        value
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let index = index as usize;
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    fn grow(&mut self) -> Option<()> {
        let start = self.slots();
        if start >= ident::MAX_SLOTS {
            return None;
        }
        let end = start + u32::try_from(CHUNK).ok()?;
        let link = |index: u32| if index + 1 == end { NONE } else { index + 1 };
        let chunk = (start..end).map(|index| Slot { generation: 0, next_free: link(index), value: None }).collect();
        self.chunks.push(chunk);
        self.first_free = start;
        self.last_free = end - 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &mut Table<&'static str>, value: &'static str) -> ConnId {
        let id = table.reserve().expect("a slot");
        table.insert(id, value);
        id
    }

    #[test]
    fn a_number_of_a_gone_connection_finds_nothing_although_its_slot_is_taken_again() {
        let mut table = Table::new(3);
        let old = put(&mut table, "old");
        assert_eq!(table.remove(old), Some("old"));
        let mut fresh = put(&mut table, "new");
        while ident::slot_of(fresh) != ident::slot_of(old) {
            fresh = put(&mut table, "new");
        }
        assert_ne!(fresh, old);
        assert_eq!(table.get(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get(fresh), Some(&mut "new"));
    }

    #[test]
    fn numbers_of_other_threads_are_unknown() {
        let mut table = Table::new(1);
        let id = put(&mut table, "x");
        assert_eq!(table.get(ident::pack(2, ident::generation_of(id), ident::slot_of(id))), None);
        assert_eq!(table.get(0), None);
    }

    #[test]
    fn it_grows_by_chunks_and_reuses_every_slot() {
        let mut table = Table::new(0);
        let ids: Vec<_> = (0..CHUNK * 2).map(|_| put(&mut table, "x")).collect();
        let bytes = table.bytes();
        for id in &ids {
            table.remove(*id);
        }
        assert_eq!(table.len(), 0);
        for _ in 0..CHUNK * 2 {
            put(&mut table, "y");
        }
        assert_eq!((table.len(), table.bytes()), (CHUNK * 2, bytes));
    }

    #[test]
    fn living_finds_by_slot_what_get_finds_by_number() {
        let mut table = Table::new(2);
        let id = put(&mut table, "x");
        assert_eq!(table.living(ident::slot_of(id)), Some((id, &mut "x")));
        table.remove(id);
        assert_eq!(table.living(ident::slot_of(id)), None);
    }

    #[test]
    fn at_names_only_living_connections() {
        let mut table = Table::new(0);
        let id = put(&mut table, "x");
        assert_eq!(table.at(ident::slot_of(id)), Some(id));
        table.remove(id);
        assert_eq!(table.at(ident::slot_of(id)), None);
    }
}
