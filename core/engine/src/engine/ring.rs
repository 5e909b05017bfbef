//! What the I/O threads tell the caller: batches of events, and an eventfd that is readable while some wait.
//!
//! A batch is filled by one thread without any lock and handed over whole. The lock is held to move a batch, never
//! during a system call. Messages lie behind one another in the batch's bytes: no allocation for each.
//! Read next: `../engine.rs` (the side that takes), `../thread/io.rs` (the side that fills).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::EventfdFlags;

use crate::engine::ident::ConnId;

/// A batch with more bytes than this is not kept for reuse.
const KEEP_BYTES: usize = 256 * 1024;
const KEEP_BATCHES: usize = 64;
/// So many events are work for some milliseconds: who is admitted should not wait behind more that can wait.
const BUSY_EVENTS: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Binary = 0,
    Text = 1,
    Closed = 2,
    Missed = 3,
}

/// An event; `start..end` lies in the bytes of its batch, `number` is for `Closed` and `Missed`.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub kind: EventKind,
    pub connection: ConnId,
    pub number: u32,
    start: u32,
    end: u32,
}

#[derive(Debug, Default)]
pub struct Batch {
    events: Vec<Event>,
    bytes: Vec<u8>,
}

impl Batch {
    pub(crate) fn message(&mut self, kind: EventKind, connection: ConnId, payload: &[u8]) {
        let start = offset(self.bytes.len());
        self.bytes.extend_from_slice(payload);
        self.events.push(Event { kind, connection, number: 0, start, end: offset(self.bytes.len()) });
    }

    pub(crate) fn notice(&mut self, kind: EventKind, connection: ConnId, number: u32) {
        self.events.push(Event { kind, connection, number, start: 0, end: 0 });
    }

    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    #[must_use]
    pub fn payload(&self, event: &Event) -> &[u8] {
        &self.bytes[event.start as usize..event.end as usize]
    }

    pub(crate) fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        self.events.clear();
        self.bytes.clear();
    }
}

/// A batch is published long before its bytes come near 4 GiB.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Rack {
    full: VecDeque<Batch>,
    empty: Vec<Batch>,
    /// The taker found nothing and waits for the eventfd.
    waits: bool,
}

pub(crate) struct Ring {
    rack: Mutex<Rack>,
    wake: OwnedFd,
    events: AtomicUsize,
    bytes: AtomicUsize,
    max_events: usize,
    max_bytes: usize,
    /// A thread stopped reading because the ring was full.
    blocked: AtomicBool,
    /// A thread keeps something back because the ring was busy.
    deferring: AtomicBool,
}

impl Ring {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            rack: Mutex::new(Rack { waits: true, ..Rack::default() }),
            wake,
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_events,
            max_bytes,
            blocked: AtomicBool::new(false),
            deferring: AtomicBool::new(false),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// Events and bytes that wait.
    pub(crate) fn level(&self) -> (usize, usize) {
        (self.events.load(SeqCst), self.bytes.load(SeqCst))
    }

    /// Is there no room for one more message beside a thread's own unpublished batch?
    pub(crate) fn is_full(&self, own: &Batch) -> bool {
        let (events, bytes) = self.level();
        events + own.events.len() >= self.max_events || bytes + own.bytes.len() >= self.max_bytes
    }

    /// A thread stops reading; false when room has come meanwhile and it should go on instead.
    pub(crate) fn block(&self) -> bool {
        self.blocked.store(true, SeqCst);
        !self.is_half_empty()
    }

    /// Does so much wait, with a thread's own batch, that what can wait should?
    pub(crate) fn is_busy(&self, own: &Batch) -> bool {
        self.level().0 + own.events.len() >= BUSY_EVENTS
    }

    /// A thread keeps back what can wait; false when it need not any more.
    pub(crate) fn defer(&self) -> bool {
        self.deferring.store(true, SeqCst);
        !self.is_calm()
    }

    fn is_calm(&self) -> bool {
        self.level().0 <= BUSY_EVENTS / 2
    }

    fn is_half_empty(&self) -> bool {
        let (events, bytes) = self.level();
        events <= self.max_events / 2 && bytes <= self.max_bytes / 2
    }

    /// Hand over a batch and leave an empty one in its place.
    pub(crate) fn publish(&self, batch: &mut Batch) {
        if batch.events.is_empty() {
            return;
        }
        self.events.fetch_add(batch.events.len(), SeqCst);
        self.bytes.fetch_add(batch.bytes.len(), SeqCst);
        let wake = {
            let mut rack = self.lock();
            let fresh = rack.empty.pop().unwrap_or_default();
            rack.full.push_back(std::mem::replace(batch, fresh));
            std::mem::take(&mut rack.waits)
        };
        if wake {
            // Fails only when the counter is near 2^64: then the descriptor is readable anyway.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }

    /// The oldest batch. None resets the eventfd: the next publish makes it readable again.
    pub(crate) fn take(&self) -> Option<Batch> {
        if let Some(batch) = self.lock().full.pop_front() {
            return Some(batch);
        }
        // Fails with EAGAIN when it was not readable, which is what we want it to be.
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        let batch = {
            let mut rack = self.lock();
            let batch = rack.full.pop_front();
            rack.waits = batch.is_none();
            batch
        };
        if batch.is_some() {
            // Published between the two looks, and nobody waited yet, so nobody will write: a taker that stops here, at
            // its limit, must find the descriptor readable.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
        batch
    }

    /// Give a batch back; true when threads that are blocked or keep something back should be woken.
    pub(crate) fn release(&self, mut batch: Batch) -> bool {
        self.events.fetch_sub(batch.events.len(), SeqCst);
        self.bytes.fetch_sub(batch.bytes.len(), SeqCst);
        batch.clear();
        if batch.bytes.capacity() <= KEEP_BYTES {
            let mut rack = self.lock();
            if rack.empty.len() < KEEP_BATCHES {
                rack.empty.push(batch);
            }
        }
        let room = self.is_half_empty() && self.blocked.swap(false, SeqCst);
        let calm = self.is_calm() && self.deferring.swap(false, SeqCst);
        room || calm
    }

    /// The data under the lock is whole at every moment, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Rack> {
        self.rack.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(ring: &Ring) -> bool {
        let fds = &mut [rustix::event::PollFd::new(&ring.wake, rustix::event::PollFlags::IN)];
        rustix::event::poll(fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll") == 1
    }

    fn publish(ring: &Ring, payload: &[u8]) {
        let mut batch = Batch::default();
        batch.message(EventKind::Binary, 1, payload);
        ring.publish(&mut batch);
    }

    #[test]
    fn the_eventfd_is_readable_from_the_first_batch_to_the_empty_take() {
        let ring = Ring::new(10, 1000).expect("eventfd");
        assert!(!readable(&ring));
        publish(&ring, b"one");
        publish(&ring, b"two");
        assert!(readable(&ring));
        for expected in [b"one", b"two"] {
            let batch = ring.take().expect("a batch");
            assert_eq!(batch.payload(&batch.events()[0]), expected);
            ring.release(batch);
        }
        assert!(readable(&ring));
        assert!(ring.take().is_none());
        assert!(!readable(&ring));
        publish(&ring, b"three");
        assert!(readable(&ring));
    }

    #[test]
    fn a_taker_that_takes_one_batch_at_a_time_never_waits_beside_one_that_was_published() {
        const BATCHES: usize = 20_000;
        let ring = Ring::new(BATCHES, BATCHES).expect("eventfd");
        let given_up = AtomicBool::new(false);
        let mut taken = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..BATCHES {
                    while ring.level().0 > 0 && !given_up.load(SeqCst) {
                        std::hint::spin_loop();
                    }
                    publish(&ring, b"x");
                }
            });
            let patience = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
            while taken < BATCHES && !given_up.load(SeqCst) {
                let fds = &mut [rustix::event::PollFd::new(&ring.wake, rustix::event::PollFlags::IN)];
                let woken = rustix::event::poll(fds, Some(&patience)).expect("poll") == 1;
                given_up.store(!woken, SeqCst);
                if let Some(batch) = ring.take() {
                    taken += 1;
                    ring.release(batch);
                }
            }
        });
        assert!(!given_up.load(SeqCst), "{taken} taken");
    }

    #[test]
    fn it_is_full_by_events_or_bytes_and_wakes_once_at_half() {
        let ring = Ring::new(4, 100).expect("eventfd");
        for _ in 0..4 {
            publish(&ring, b"x");
        }
        assert!(ring.is_full(&Batch::default()));
        assert!(ring.block());
        let mut woken = Vec::new();
        while let Some(batch) = ring.take() {
            woken.push(ring.release(batch));
        }
        assert_eq!(woken, [false, true, false, false]);
        publish(&ring, &[0; 100]);
        assert!(ring.is_full(&Batch::default()));
    }

    #[test]
    fn it_is_busy_long_before_it_is_full_and_wakes_once_when_it_is_calm() {
        let ring = Ring::new(10_000, 1 << 20).expect("eventfd");
        let mut batch = Batch::default();
        for _ in 0..BUSY_EVENTS / 2 {
            batch.notice(EventKind::Closed, 1, 1006);
        }
        assert!(!ring.is_busy(&batch));
        ring.publish(&mut batch);
        assert!(!ring.defer(), "what is half as much is calm");
        for _ in 0..BUSY_EVENTS / 2 {
            batch.notice(EventKind::Closed, 1, 1006);
        }
        assert!(ring.is_busy(&batch) && !ring.is_full(&batch));
        ring.publish(&mut batch);
        assert!(ring.defer());
        let woken: Vec<_> = std::iter::from_fn(|| ring.take()).map(|batch| ring.release(batch)).collect();
        assert_eq!(woken, [true, false]);
    }

    #[test]
    fn a_thread_that_blocks_too_late_is_told_to_go_on() {
        let ring = Ring::new(4, 100).expect("eventfd");
        assert!(!ring.block());
    }
}
