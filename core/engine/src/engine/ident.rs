//! Connection numbers: thread (8 bits) | generation (20) | slot (24), 52 bits in all.
//!
//! Only arithmetic; the table hands them out. Read next: `../thread/table.rs`.

const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 20;

/// Slots of one thread; what fits in 24 bits.
pub(crate) const MAX_SLOTS: u32 = 1 << SLOT_BITS;
const MAX_GENERATION: u32 = (1 << GENERATION_BITS) - 1;

/// The number that Python and a token of epoll carry.
pub type ConnId = u64;

pub(crate) fn pack(thread: u8, generation: u32, slot: u32) -> ConnId {
    (u64::from(thread) << (SLOT_BITS + GENERATION_BITS)) | (u64::from(generation) << SLOT_BITS) | u64::from(slot)
}

/// The thread that owns a connection; numbers beyond 52 bits belong to none.
pub(crate) fn thread_of(id: ConnId) -> usize {
    usize::try_from(id >> (SLOT_BITS + GENERATION_BITS)).unwrap_or(usize::MAX)
}

pub(crate) fn slot_of(id: ConnId) -> u32 {
    low_bits(id, SLOT_BITS)
}

pub(crate) fn generation_of(id: ConnId) -> u32 {
    low_bits(id >> SLOT_BITS, GENERATION_BITS)
}

/// The generation after this one. It is never 0, so that no connection has the number 0.
pub(crate) fn next_generation(generation: u32) -> u32 {
    if generation >= MAX_GENERATION { 1 } else { generation + 1 }
}

fn low_bits(value: u64, bits: u32) -> u32 {
    u32::try_from(value & ((1 << bits) - 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gives_back_its_parts_and_fits_in_52_bits() {
        let id = pack(255, MAX_GENERATION, MAX_SLOTS - 1);
        assert_eq!((thread_of(id), generation_of(id), slot_of(id)), (255, MAX_GENERATION, MAX_SLOTS - 1));
        assert_eq!(id, (1 << 52) - 1);
    }

    #[test]
    fn generations_wrap_past_zero() {
        assert_eq!(next_generation(MAX_GENERATION), 1);
        assert_ne!(pack(0, 1, 0), 0);
    }
}
