//! A timer to the nanosecond on the clock that all processes of a machine share, because epoll waits for whole milliseconds.
//!
//! Read next: `thread.rs`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};

const SECOND: u64 = 1_000_000_000;

/// `CLOCK_MONOTONIC` in nanoseconds: Python's `time.monotonic_ns`.
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let whole = u64::try_from(now.tv_sec).unwrap_or(0);
    whole * SECOND + u64::try_from(now.tv_nsec).unwrap_or(0)
}

pub(super) struct Timer {
    file: OwnedFd,
}

impl Timer {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let file = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&file.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { file })
    }

    /// Ring once at this time. Setting it also ends an old ring, so nobody has to read it.
    pub(super) fn set(&self, at_ns: u64) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would switch it off; a time in the past rings at once.
        let at_ns = at_ns.max(1);
        let value = Timespec {
            tv_sec: i64::try_from(at_ns / SECOND).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_ns % SECOND).unwrap_or(0),
        };
        timerfd_settime(&self.file, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: zero, it_value: value })?;
        Ok(())
    }
}
