//! A token bucket in eight bytes, filled by the coarse clock.
//!
//! Read next: `../connection/reading.rs` (messages), `../engine/addresses.rs` (new connections).

use crate::time::clock::{TICK_MS, Tick};

const THOUSANDTHS: u64 = 1000;

/// Tokens per second and the most that can be saved; rate 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    thousandths: u32,
    /// Up to when it has gained; while this lies ahead it is shut.
    filled: Tick,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Tick) -> Self {
        Self { thousandths: capacity(rate), filled: now }
    }

    /// Take one token; false when there is none.
    pub(crate) fn take(&mut self, rate: Rate, now: Tick) -> bool {
        if rate.per_second == 0 {
            return true;
        }
        if self.wait(rate, now) > 0 {
            return false;
        }
        let Some(rest) = self.thousandths.checked_sub(1000) else { return false };
        self.thousandths = rest;
        true
    }

    /// Take tokens, also such as it will only have later; ticks until there is another one, 0 when there is.
    pub(crate) fn charge(&mut self, rate: Rate, now: Tick, tokens: u32) -> u32 {
        if rate.per_second == 0 {
            return 0;
        }
        self.fill(rate, now);
        let cost = u64::from(tokens) * THOUSANDTHS;
        let have = u64::from(self.thousandths);
        let mut rest = have.saturating_sub(cost);
        if have < cost {
            // A debt is time: it is shut until it has gained what was taken too much.
            let (debt, gain) = (cost - have, TICK_MS * u64::from(rate.per_second));
            let ticks = debt.div_ceil(gain);
            rest = ticks * gain - debt;
            self.filled = self.filled.after(u32::try_from(ticks).unwrap_or(u32::MAX / 2));
        }
        self.thousandths = u32::try_from(rest).unwrap_or(u32::MAX).min(capacity(rate));
        self.wait(rate, now)
    }

    /// Give no token before this moment, and gain none; a later one counts.
    pub(crate) fn shut_until(&mut self, rate: Rate, now: Tick, when: Tick) {
        self.fill(rate, now);
        if !self.filled.reached(when) {
            self.filled = when;
        }
    }

    /// Ticks until there is a token, 0 when there is one.
    pub(crate) fn wait(&mut self, rate: Rate, now: Tick) -> u32 {
        self.fill(rate, now);
        let shut = self.filled.since(now);
        if rate.per_second == 0 {
            return shut;
        }
        let missing = 1000u64.saturating_sub(u64::from(self.thousandths));
        let ticks = missing.div_ceil(u64::from(rate.per_second)).div_ceil(TICK_MS);
        shut.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    pub(crate) fn is_full(&mut self, rate: Rate, now: Tick) -> bool {
        self.fill(rate, now);
        self.thousandths >= capacity(rate)
    }

    /// A rate of one per second is one thousandth per millisecond.
    fn fill(&mut self, rate: Rate, now: Tick) {
        let elapsed = now.since(self.filled);
        if elapsed == 0 {
            return;
        }
        let gained = u64::from(elapsed) * TICK_MS * u64::from(rate.per_second);
        let total = (u64::from(self.thousandths) + gained).min(u64::from(capacity(rate)));
        self.thousandths = u32::try_from(total).unwrap_or(u32::MAX);
        self.filled = now;
    }
}

fn capacity(rate: Rate) -> u32 {
    u32::try_from(u64::from(rate.burst.max(1)) * THOUSANDTHS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::full(RATE, Tick(0));
        assert!((0..3).all(|_| bucket.take(RATE, Tick(0))));
        assert!(!bucket.take(RATE, Tick(0)));
        let wait = bucket.wait(RATE, Tick(0));
        assert_eq!(wait, 7);
        assert!(!bucket.take(RATE, Tick(wait - 1)));
        assert!(bucket.take(RATE, Tick(wait)));
    }

    #[test]
    fn a_long_rest_saves_no_more_than_the_burst() {
        let mut bucket = Bucket::full(RATE, Tick(0));
        while bucket.take(RATE, Tick(0)) {}
        assert!(bucket.is_full(RATE, Tick(1_000_000)));
        assert_eq!((0..10).filter(|_| bucket.take(RATE, Tick(1_000_000))).count(), 3);
    }

    #[test]
    fn what_is_taken_too_much_is_waited_for_so_that_the_rate_holds_whatever_the_pieces() {
        for tokens in [1, 2, 7, 50] {
            let mut bucket = Bucket::full(RATE, Tick(0));
            let (mut now, mut taken) = (Tick(0), 0);
            while now.0 < 10_000 {
                taken += tokens;
                now = now.after(bucket.charge(RATE, now, tokens));
            }
            let gained = u64::from(now.0) * TICK_MS / 100 + u64::from(RATE.burst);
            assert!(
                u64::from(taken).abs_diff(gained) <= u64::from(tokens),
                "{taken} of {gained} in pieces of {tokens}"
            );
        }
    }

    #[test]
    fn a_charge_within_what_it_has_waits_for_nothing() {
        let mut bucket = Bucket::full(RATE, Tick(0));
        assert_eq!(bucket.charge(RATE, Tick(0), 2), 0);
        assert_eq!(bucket.charge(RATE, Tick(0), 1), 7);
        assert_eq!(bucket.charge(Rate { per_second: 0, burst: 1 }, Tick(0), 1_000_000), 0);
    }

    #[test]
    fn a_bucket_that_is_shut_gives_nothing_keeps_what_it_has_and_is_only_shut_longer() {
        for rate in [RATE, Rate { per_second: 0, burst: 1 }] {
            let mut bucket = Bucket::full(rate, Tick(0));
            bucket.shut_until(rate, Tick(5), Tick(105));
            assert_eq!(bucket.wait(rate, Tick(5)), 100);
            bucket.shut_until(rate, Tick(5), Tick(50));
            assert_eq!(bucket.wait(rate, Tick(6)), 99);
            assert_eq!(bucket.wait(rate, Tick(104)), 1);
            assert_eq!(bucket.wait(rate, Tick(105)), 0);
            assert!(bucket.take(rate, Tick(105)));
        }
    }

    #[test]
    fn rate_zero_is_no_limit() {
        let rate = Rate { per_second: 0, burst: 1 };
        let mut bucket = Bucket::full(rate, Tick(0));
        assert!((0..1000).all(|_| bucket.take(rate, Tick(0))));
    }
}
