//! How fast an address may connect, and how many unadmitted connections it may have. Shared by the threads.
//!
//! An address is an IPv4 address or an IPv6 /64. Bounded: when a shard is full, addresses without a claim are forgotten;
//! if all have one, a new address goes unmeasured, because `max_connections` and the header timeout still hold, and
//! refusing would let a large attacker lock everyone else out. Read next: `../thread/accepting.rs`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::time::bucket::{Bucket, Rate};
use crate::time::clock::Tick;

const SHARDS: usize = 16;
const PER_SHARD: usize = 8192;
/// A full shard is searched for forgettable addresses at most once in so many ticks (about a second).
const SWEEP_TICKS: u32 = 64;

/// Why a connection was refused, or that it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Welcome,
    TooFast,
    TooMany,
}

struct Known {
    bucket: Bucket,
    half_open: u32,
}

#[derive(Default)]
struct Shard {
    known: HashMap<u128, Known>,
    swept: Option<Tick>,
}

pub(crate) struct Addresses {
    shards: Vec<Mutex<Shard>>,
    rate: Rate,
    most_half_open: u32,
}

/// IPv4 as it is mapped into IPv6; IPv6 without its lower half.
pub(crate) fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

impl Addresses {
    pub(crate) fn new(rate: Rate, most_half_open: u32) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), rate, most_half_open }
    }

    /// A connection came; unless it is refused, `leave` must follow.
    pub(crate) fn enter(&self, key: u128, now: Tick) -> Answer {
        let mut shard = self.shard(key);
        if !shard.known.contains_key(&key) && shard.known.len() >= PER_SHARD && !self.sweep(&mut shard, now) {
            return Answer::Welcome;
        }
        let fresh = || Known { bucket: Bucket::full(self.rate, now), half_open: 0 };
        let known = shard.known.entry(key).or_insert_with(fresh);
        if known.half_open >= self.most_half_open {
            return Answer::TooMany;
        }
        if !known.bucket.take(self.rate, now) {
            return Answer::TooFast;
        }
        known.half_open += 1;
        Answer::Welcome
    }

    /// A connection was admitted or has gone before that.
    pub(crate) fn leave(&self, key: u128) {
        let mut shard = self.shard(key);
        let Some(known) = shard.known.get_mut(&key) else { return };
        known.half_open = known.half_open.saturating_sub(1);
        if known.half_open == 0 && self.rate.per_second == 0 {
            shard.known.remove(&key);
        }
    }

    fn sweep(&self, shard: &mut Shard, now: Tick) -> bool {
        if shard.swept.is_some_and(|last| now.since(last) < SWEEP_TICKS) {
            return false;
        }
        shard.swept = Some(now);
        shard.known.retain(|_, known| known.half_open > 0 || !known.bucket.is_full(self.rate, now));
        shard.known.len() < PER_SHARD
    }

    /// The data under the lock is whole at every moment, so a panic elsewhere does not spoil it.
    fn shard(&self, key: u128) -> MutexGuard<'_, Shard> {
        let mixed = (key ^ (key >> 64)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let index = usize::try_from(mixed % SHARDS as u128).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Rate = Rate { per_second: 1, burst: 2 };

    fn ip(text: &str) -> u128 {
        key(text.parse().expect("an address"))
    }

    #[test]
    fn a_burst_is_welcome_and_the_rest_too_fast() {
        let addresses = Addresses::new(FAST, 100);
        let answers: Vec<_> = (0..3).map(|_| addresses.enter(ip("10.0.0.1"), Tick(0))).collect();
        assert_eq!(answers, [Answer::Welcome, Answer::Welcome, Answer::TooFast]);
        assert_eq!(addresses.enter(ip("10.0.0.2"), Tick(0)), Answer::Welcome);
        assert_eq!(addresses.enter(ip("10.0.0.1"), Tick(63)), Answer::Welcome);
    }

    #[test]
    fn half_open_connections_are_counted_until_they_leave() {
        let addresses = Addresses::new(Rate { per_second: 0, burst: 1 }, 2);
        let home = ip("2001:db8:1:2::1");
        assert_eq!(addresses.enter(home, Tick(0)), Answer::Welcome);
        assert_eq!(addresses.enter(ip("2001:db8:1:2:ffff::9"), Tick(0)), Answer::Welcome);
        assert_eq!(addresses.enter(home, Tick(0)), Answer::TooMany);
        assert_eq!(addresses.enter(ip("2001:db8:1:3::1"), Tick(0)), Answer::Welcome);
        addresses.leave(home);
        assert_eq!(addresses.enter(home, Tick(0)), Answer::Welcome);
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_ones() {
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let addresses = Addresses::new(FAST, 10);
        for number in 0..400_000u128 {
            assert_eq!(addresses.enter(number << 64, Tick(0)), Answer::Welcome);
        }
        let held: usize = addresses.shards.iter().map(|shard| shard.lock().expect("lock").known.len()).sum();
        assert!(held <= SHARDS * PER_SHARD, "{held}");
    }
}
