//! Delays in nanoseconds, counted in buckets that are at most 0.8 % wide: a percentile is good to half of that.
//!
//! Each power of two is cut into 128 parts, as HDR histograms do. One writer, any readers; nothing is ever reset, so a
//! reader takes two pictures and subtracts. Read next: `counts.rs`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const PART_BITS: u32 = 7;
const PARTS: usize = 1 << PART_BITS;
/// Longer delays count as this one: 18 minutes.
const MOST: u64 = (1 << 40) - 1;
const BUCKETS: usize = (40 - PART_BITS as usize + 1) * PARTS;

pub(super) struct Histogram {
    buckets: Box<[AtomicU64]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Histogram {
    pub(super) fn observe(&self, value: u64) {
        let bucket = &self.buckets[index(value)];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// The middle of each bucket that holds something, with how many it holds, in ascending order.
    pub(super) fn picture(&self) -> Vec<(u64, u64)> {
        let counted = self.buckets.iter().enumerate().map(|(at, bucket)| (middle(at), bucket.load(Relaxed)));
        counted.filter(|(_, count)| *count > 0).collect()
    }
}

fn index(value: u64) -> usize {
    let value = value.min(MOST);
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PART_BITS + 1);
    let part = usize::try_from(value >> shift).unwrap_or(PARTS);
    shift as usize * PARTS + part
}

fn middle(index: usize) -> u64 {
    let shift = (index / PARTS).saturating_sub(1);
    let low = ((index - shift * PARTS) as u64) << shift;
    low + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_bucket_is_within_half_a_percent_of_what_is_in_it() {
        let mut value = 1_u64;
        while value < MOST {
            for near in [value - 1, value, value + 1, value + value / 3].map(|near| near.min(MOST)) {
                let told = middle(index(near));
                assert!(told.abs_diff(near) * 200 <= near, "{near} is told as {told}");
            }
            value = value * 3 / 2 + 1;
        }
    }

    #[test]
    fn buckets_ascend_and_the_longest_delay_has_the_last_one() {
        assert!((1..BUCKETS).all(|at| middle(at - 1) < middle(at)));
        assert_eq!((index(0), index(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn a_picture_shows_what_was_observed() {
        let histogram = Histogram::default();
        for value in [5, 5, 1_000_000] {
            histogram.observe(value);
        }
        assert_eq!(histogram.picture(), vec![(5, 2), (middle(index(1_000_000)), 1)]);
    }
}
