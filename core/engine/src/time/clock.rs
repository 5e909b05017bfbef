//! Time in ticks of 16 ms, as 32 bits that wrap after two years; comparing stays right across the wrap.
//!
//! Read next: `wheel.rs`.

use std::time::{Duration, Instant};

pub(crate) const TICK_MS: u64 = 16;
/// The longest wait that is told apart from the past: half the range, less a margin.
const MAX_TICKS: u64 = (1 << 31) - (1 << 20);

/// A moment on the coarse clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tick(pub(crate) u32);

impl Tick {
    pub(crate) fn after(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to this, 0 when it lies ahead.
    pub(crate) fn since(self, earlier: Self) -> u32 {
        let gap = self.0.wrapping_sub(earlier.0);
        if gap > u32::MAX / 2 { 0 } else { gap }
    }

    pub(crate) fn reached(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) <= u32::MAX / 2
    }

    pub(crate) fn earlier(self, other: Self) -> Self {
        if other.reached(self) { self } else { other }
    }
}

/// Milliseconds as ticks, rounded up; longer than a year becomes a year.
pub(crate) fn ticks(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds.div_ceil(TICK_MS).min(MAX_TICKS)).unwrap_or(u32::MAX / 2)
}

/// The monotonic clock; each thread reads it once a turn.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Since the start, which is 1, so that 0 can stand for never.
    pub(crate) fn milliseconds(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).map_or(u64::MAX, |elapsed| elapsed.saturating_add(1))
    }
}

/// The tick that a moment belongs to.
pub(crate) fn tick(milliseconds: u64) -> Tick {
    Tick(u32::try_from((milliseconds / TICK_MS) & u64::from(u32::MAX)).unwrap_or(0))
}

pub(crate) fn duration(ticks: u32) -> Duration {
    Duration::from_millis(u64::from(ticks) * TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        let before = Tick(u32::MAX - 1);
        let after = before.after(5);
        assert!(after.reached(before) && !before.reached(after));
        assert_eq!((after.since(before), before.since(after)), (5, 0));
        assert_eq!(before.earlier(after), before);
        assert_eq!(after.earlier(before), before);
    }

    #[test]
    fn milliseconds_round_up() {
        assert_eq!((ticks(0), ticks(1), ticks(16), ticks(17)), (0, 1, 1, 2));
        assert!(Tick(7).after(ticks(u64::MAX)).reached(Tick(7)));
    }
}
