//! Counters, gauges and histograms. Each thread writes its own, without locked instructions; a reader adds them up.
//!
//! Never resets anything. The names are those of BOUNDARY.md. Read next: `../engine.rs`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counts {
    ($($name:ident => $text:literal,)+) => {
        /// One number of BOUNDARY.md's list, kept by the I/O threads.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Count { $($name,)+ }

        pub(crate) const NAMES: &[&str] = &[$($text,)+];
    };
}

counts! {
    Connections => "connections",
    Admitted => "admitted",
    HalfOpen => "half_open",
    QueuedBytes => "queued_bytes",
    CoreBytes => "core_bytes",
    Topics => "topics",
    Subscriptions => "subscriptions",
    Accepted => "accepted",
    AcceptedTls => "accepted_tls",
    TlsResumed => "tls_resumed",
    RefusedRate => "refused_rate",
    RefusedHalfOpen => "refused_half_open",
    Proxied => "proxied",
    ProxyFailures => "proxy_failures",
    RefusedFull => "refused_full",
    Handshakes => "handshakes",
    Streams => "streams",
    HandshakeFailures => "handshake_failures",
    HeaderTimeouts => "header_timeouts",
    HelloTimeouts => "hello_timeouts",
    HelloTooLong => "hello_too_long",
    HelloHeld => "hello_held",
    IdleClosed => "idle_closed",
    LifetimeClosed => "lifetime_closed",
    Stalled => "stalled",
    SlowClosed => "slow_closed",
    DroppedEvents => "dropped_events",
    DroppedTransient => "dropped_transient",
    DroppedLow => "dropped_low",
    CrowdedOut => "crowded_out",
    Throttled => "throttled",
    Paused => "paused",
    RingFull => "ring_full",
    Deferred => "deferred",
    MessagesIn => "messages_in",
    MessagesOut => "messages_out",
    BytesIn => "bytes_in",
    BytesOut => "bytes_out",
    Heartbeats => "heartbeats",
    Pings => "pings",
    PingsSent => "pings_sent",
    Writes => "writes",
    ProtocolErrors => "protocol_errors",
    StaleCommands => "stale_commands",
    Closed => "closed",
    Rounds => "rounds",
    Deliveries => "deliveries",
    OtherKind => "other_kind",
}

/// Upper bounds of `handshake_seconds`, in microseconds.
const HANDSHAKE_MICROS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];
const MESSAGE_BYTES: &[u64] = &[16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];
const BATCH_EVENTS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096];

/// Counts of whole numbers under upper bounds. One writer.
pub(crate) struct Histogram {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// What a bound is divided by when it is read (micros to seconds).
    scale: f64,
}

/// Upper bounds, cumulative counts (one more than bounds) and sum.
pub type Shape = (Vec<f64>, Vec<u64>, f64);

impl Histogram {
    fn new(bounds: &'static [u64], scale: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0), scale }
    }

    pub(crate) fn batch_events() -> Self {
        Self::new(BATCH_EVENTS, 1.0)
    }

    pub(crate) fn observe(&self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        bump(&self.counts[index], 1);
        bump(&self.sum, value);
    }

    /// The histograms of all threads as one; None when there is none.
    #[allow(clippy::cast_precision_loss)] // a sum beyond 2^53 may lose its last digits
    pub(crate) fn merge(all: &[&Self]) -> Option<Shape> {
        let first = all.first()?;
        let mut total = 0;
        let cumulative = |index: usize| {
            total += all.iter().map(|one| one.counts[index].load(Relaxed)).sum::<u64>();
            total
        };
        let counts = (0..first.counts.len()).map(cumulative).collect();
        let bounds = first.bounds.iter().map(|bound| *bound as f64 / first.scale).collect();
        let sum = all.iter().map(|one| one.sum.load(Relaxed)).sum::<u64>() as f64 / first.scale;
        Some((bounds, counts, sum))
    }
}

pub(crate) struct Stats {
    counts: Box<[AtomicU64]>,
    pub(crate) handshake: Histogram,
    pub(crate) message_bytes: Histogram,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            counts: NAMES.iter().map(|_| AtomicU64::new(0)).collect(),
            handshake: Histogram::new(HANDSHAKE_MICROS, 1e6),
            message_bytes: Histogram::new(MESSAGE_BYTES, 1.0),
        }
    }

    pub(crate) fn add(&self, count: Count, value: usize) {
        bump(&self.counts[count as usize], value as u64);
    }

    pub(crate) fn one(&self, count: Count) {
        self.add(count, 1);
    }

    pub(crate) fn less(&self, count: Count, value: usize) {
        bump(&self.counts[count as usize], (value as u64).wrapping_neg());
    }

    pub(crate) fn set(&self, count: Count, value: usize) {
        self.counts[count as usize].store(value as u64, Relaxed);
    }

    pub(crate) fn read(&self, index: usize) -> u64 {
        self.counts[index].load(Relaxed)
    }
}

/// Each number has one writer, so a load and a store do what a locked addition would.
fn bump(number: &AtomicU64, value: u64) {
    number.store(number.load(Relaxed).wrapping_add(value), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_cumulative_and_add_up() {
        let (one, two) = (Histogram::batch_events(), Histogram::batch_events());
        one.observe(1);
        two.observe(3);
        two.observe(1_000_000);
        let (bounds, counts, sum) = Histogram::merge(&[&one, &two]).expect("two histograms");
        assert_eq!(counts.len(), bounds.len() + 1);
        assert_eq!((counts[0], counts[1], counts[2], counts[bounds.len()]), (1, 1, 2, 3));
        assert!((sum - 1_000_004.0).abs() < f64::EPSILON);
    }
}
