//! A timing wheel: one deadline per slot, moved in constant time, and no look at connections that are not due.
//!
//! It knows slots and ticks only. Deadlines further than one lap stay in their bucket and are met again a lap later.
//! Read next: `../connection/timers.rs`, which decides what a deadline means.

use crate::time::clock::Tick;

const BUCKETS: u32 = 4096;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
    when: Tick,
    armed: bool,
}

const IDLE: Link = Link { previous: NONE, next: NONE, when: Tick(0), armed: false };

pub(crate) struct Wheel {
    heads: Vec<u32>,
    /// One bit for each bucket that holds something.
    occupied: Vec<u64>,
    links: Vec<Link>,
    done: Tick,
    armed: usize,
}

impl Wheel {
    pub(crate) fn new(now: Tick) -> Self {
        Self {
            heads: vec![NONE; BUCKETS as usize],
            occupied: vec![0; (BUCKETS / 64) as usize],
            links: Vec::new(),
            done: now,
            armed: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>() + self.heads.capacity() * size_of::<u32>()
    }

    /// Set the deadline of a slot, in place of the one it had.
    pub(crate) fn set(&mut self, slot: u32, when: Tick) {
        self.clear(slot);
        let index = slot as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, IDLE);
        }
        // A deadline in the past belongs to the next bucket, the first that will be looked at.
        let when = if self.done.reached(when) { self.done.after(1) } else { when };
        let bucket = (when.0 % BUCKETS) as usize;
        let head = self.heads[bucket];
        self.links[index] = Link { previous: NONE, next: head, when, armed: true };
        if head != NONE {
            self.links[head as usize].previous = slot;
        }
        self.heads[bucket] = slot;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        self.armed += 1;
    }

    /// Set the deadline of a slot unless it has an earlier one.
    pub(crate) fn hasten(&mut self, slot: u32, when: Tick) {
        let kept = self.links.get(slot as usize).is_some_and(|link| link.armed && when.reached(link.when));
        if !kept {
            self.set(slot, when);
        }
    }

    pub(crate) fn clear(&mut self, slot: u32) {
        let Some(link) = self.links.get(slot as usize).copied().filter(|link| link.armed) else { return };
        if link.previous == NONE {
            let bucket = (link.when.0 % BUCKETS) as usize;
            self.heads[bucket] = link.next;
            if link.next == NONE {
                self.occupied[bucket / 64] &= !(1 << (bucket % 64));
            }
        } else {
            self.links[link.previous as usize].next = link.next;
        }
        if link.next != NONE {
            self.links[link.next as usize].previous = link.previous;
        }
        self.links[slot as usize] = IDLE;
        self.armed -= 1;
    }

    /// Take the slots whose deadline is reached, into `due`.
    pub(crate) fn advance(&mut self, now: Tick, due: &mut Vec<u32>) {
        let steps = now.since(self.done).min(BUCKETS);
        let first = now.after(0u32.wrapping_sub(steps)).after(1);
        for step in 0..steps {
            let mut slot = self.heads[(first.after(step).0 % BUCKETS) as usize];
            while slot != NONE {
                let link = self.links[slot as usize];
                if now.reached(link.when) {
                    self.clear(slot);
                    due.push(slot);
                }
                slot = link.next;
            }
        }
        if steps > 0 {
            self.done = now;
        }
    }

    /// Ticks until a bucket that holds something, None when no deadline is set.
    pub(crate) fn next_in(&self, now: Tick) -> Option<u32> {
        if self.armed == 0 {
            return None;
        }
        let first = self.done.after(1).0 % BUCKETS;
        let ahead = self.distance(first)?;
        Some(self.done.after(1 + ahead).since(now))
    }

    /// Buckets from `first` to one that holds something, around the wheel.
    fn distance(&self, first: u32) -> Option<u32> {
        let words = BUCKETS / 64;
        (0..=words).find_map(|step| {
            let word = (first / 64 + step) % words;
            let skipped = if step == 0 { first % 64 } else { 0 };
            let bits = self.occupied[word as usize] >> skipped;
            (bits != 0).then(|| (word * 64 + skipped + bits.trailing_zeros()).wrapping_sub(first) % BUCKETS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now: u32) -> Vec<u32> {
        let mut slots = Vec::new();
        wheel.advance(Tick(now), &mut slots);
        slots.sort_unstable();
        slots
    }

    #[test]
    fn a_deadline_comes_due_once_and_not_before() {
        let mut wheel = Wheel::new(Tick(0));
        wheel.set(7, Tick(10));
        assert_eq!(wheel.next_in(Tick(0)), Some(10));
        assert_eq!(due(&mut wheel, 9), Vec::<u32>::new());
        assert_eq!(due(&mut wheel, 10), vec![7]);
        assert_eq!(due(&mut wheel, 20), Vec::<u32>::new());
        assert_eq!(wheel.next_in(Tick(20)), None);
    }

    #[test]
    fn a_deadline_further_than_a_lap_waits_for_its_lap() {
        let mut wheel = Wheel::new(Tick(0));
        wheel.set(1, Tick(BUCKETS * 3 + 5));
        assert!(due(&mut wheel, BUCKETS + 5).is_empty());
        assert!(due(&mut wheel, BUCKETS * 3 + 4).is_empty());
        assert_eq!(due(&mut wheel, BUCKETS * 3 + 5), vec![1]);
    }

    #[test]
    fn a_long_sleep_misses_nothing() {
        let mut wheel = Wheel::new(Tick(u32::MAX - 3));
        for slot in 0..100 {
            wheel.set(slot, Tick(u32::MAX - 3).after(slot * 100));
        }
        assert_eq!(due(&mut wheel, BUCKETS * 5).len(), 100);
    }

    #[test]
    fn moving_and_clearing_keep_the_neighbours() {
        let mut wheel = Wheel::new(Tick(0));
        for slot in 0..5 {
            wheel.set(slot, Tick(3));
        }
        wheel.clear(2);
        wheel.set(0, Tick(8));
        wheel.hasten(4, Tick(9));
        assert_eq!(due(&mut wheel, 3), vec![1, 3, 4]);
        assert_eq!(due(&mut wheel, 8), vec![0]);
    }

    #[test]
    fn hasten_takes_the_earlier_and_the_past_is_due_at_the_next_tick() {
        let mut wheel = Wheel::new(Tick(100));
        wheel.set(0, Tick(200));
        wheel.hasten(0, Tick(150));
        wheel.set(1, Tick(50));
        assert_eq!(due(&mut wheel, 101), vec![1]);
        assert_eq!(due(&mut wheel, 150), vec![0]);
    }
}
