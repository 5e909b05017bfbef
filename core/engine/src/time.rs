//! Time: a coarse clock with a wheel for deadlines, alarms to the millisecond, and buckets of tokens.
//!
//! Knows nothing of connections. Read next: `time/clock.rs`, `time/wheel.rs`.

pub(crate) mod alarms;
pub(crate) mod bucket;
pub(crate) mod clock;
pub(crate) mod wheel;
