//! The loop of one load: wait for sockets, read, let the plan answer, write, obey, beat, connect more; again.
//!
//! Everything that belongs to links is in here alone and unlocked; what others see are counts. Read next: `link.rs`,
//! `joining.rs` (until a link has joined), `plan.rs` (from then on).

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};

use super::counts::Count;
use super::desk::Desk;
use super::link::{Link, Opening, Stage, Way};
use super::plan::{Kind, Plan, Task};
use super::timer::Timer;
use super::tls::Connector;
use super::{Outline, upgrade};
use crate::time::clock::{self, Clock, Tick};
use crate::time::wheel::Wheel;

const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);
const EVENTS: usize = 1024;
/// The close code of a connection that ended without one (RFC 6455 section 7.1.5).
pub(super) const NO_CLOSE: u16 = 1006;

/// What the face asks for.
pub(super) enum Order {
    Connect(Vec<Box<[u8]>>),
    Close,
    ComeBack,
    Do(Task),
    Stop,
}

pub(super) struct LoadThread {
    poll: Poll,
    orders: Receiver<Order>,
    timer: Timer,
    clock: Clock,
    pub(super) now: Tick,
    pub(super) wheel: Wheel,
    pub(super) way: Way,
    pub(super) tls: Option<Connector>,
    pub(super) request: Vec<u8>,
    pub(super) at_once: usize,
    /// In ticks; 0: no heartbeats.
    pub(super) heartbeat: u32,
    pub(super) plan: Box<dyn Plan>,
    pub(super) desk: Desk,
    pub(super) links: Vec<Option<Link>>,
    /// Slots whose links were closed on order.
    pub(super) free: Vec<u32>,
    /// Slots that have no link yet, with what they need for one.
    pub(super) queue: VecDeque<(u32, Opening)>,
    /// The same after a failure, with when they may try again; all wait equally long, so they are in order.
    pub(super) again: VecDeque<(Tick, u32, Opening)>,
    pub(super) under_way: usize,
    /// Links that had more to read than a turn allows.
    pub(super) unread: Vec<u32>,
    pub(super) buffer: Vec<u8>,
}

impl LoadThread {
    /// A loop without links, and what wakes it.
    pub(super) fn new(
        outline: &Outline,
        kind: Kind,
        way: Way,
        tls: Option<Connector>,
        orders: Receiver<Order>,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let clock = Clock::new();
        let now = clock::tick(clock.milliseconds());
        let thread = Self {
            timer: Timer::new(poll.registry(), TIMER)?,
            poll,
            orders,
            clock,
            now,
            wheel: Wheel::new(now),
            request: upgrade::request(&way.to.to_string(), &outline.subprotocol),
            way,
            tls,
            at_once: outline.at_once,
            heartbeat: clock::ticks(outline.heartbeat_ms),
            plan: kind.plan(outline.size, outline.stall),
            desk: Desk::default(),
            links: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            again: VecDeque::new(),
            under_way: 0,
            unread: Vec::new(),
            buffer: Vec::new(),
        };
        Ok((thread, waker))
    }

    /// Until `Stop`, or until nobody can give orders.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => outcome?,
            }
            self.now = clock::tick(self.clock.milliseconds());
            for event in &events {
                self.meet(event)?;
            }
            if !self.obey_all()? {
                self.cut_all();
                return Ok(());
            }
            for slot in std::mem::take(&mut self.unread) {
                self.read(slot);
            }
            self.look_at_clock();
            self.connect_more();
            self.settle()?;
        }
    }

    fn patience(&self) -> Option<Duration> {
        if !self.unread.is_empty() {
            return Some(Duration::ZERO);
        }
        let again = self.again.front().map(|(when, ..)| when.since(self.now));
        let wait = self.wheel.next_in(self.now).into_iter().chain(again).min();
        wait.map(|ticks| clock::duration(ticks.max(1)))
    }

    fn meet(&mut self, event: &Event) -> io::Result<()> {
        match event.token() {
            WAKER => Ok(()),
            TIMER => {
                self.plan.due(&mut self.desk);
                self.settle()
            }
            Token(token) => {
                if let Ok(slot) = u32::try_from(token) {
                    self.meet_link(slot, event);
                }
                self.settle()
            }
        }
    }

    fn meet_link(&mut self, slot: u32, event: &Event) {
        let Some(link) = self.link(slot) else { return };
        if link.stage == Stage::Connecting {
            return self.go_on_connecting(slot);
        }
        if event.is_read_closed() || event.is_error() {
            link.peer_ended = true;
        }
        if event.is_writable() && link.go_on_writing().is_err() {
            return self.part(slot, NO_CLOSE);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(slot);
        }
    }

    pub(super) fn link(&mut self, slot: u32) -> Option<&mut Link> {
        self.links.get_mut(slot as usize)?.as_mut()
    }

    // Writing ----------------------------------------------------------------------------------------------------------

    /// What the plan has laid on the desk leaves.
    pub(super) fn write_out(&mut self) {
        if self.desk.is_clear() {
            return;
        }
        let mut broken = Vec::new();
        let (links, counts) = (&mut self.links, std::sync::Arc::clone(&self.desk.counts));
        self.desk.clear(|slot, frames| {
            let Some(link) = links.get_mut(slot as usize).and_then(Option::as_mut) else { return };
            match link.write(frames) {
                Ok(calls) => counts.add(Count::Writes, calls),
                Err(_) => broken.push(slot),
            }
        });
        for slot in broken {
            // What the server said last may still be read: a close, with its code.
            if let Some(link) = self.link(slot) {
                link.peer_ended = true;
                self.unread.push(slot);
            }
        }
    }

    /// Everything that the plan wanted is done.
    fn settle(&mut self) -> io::Result<()> {
        self.write_out();
        for (slot, stalled) in self.desk.take_stalls() {
            let Some(link) = self.link(slot) else { continue };
            link.stalled = stalled;
            if !stalled {
                self.unread.push(slot);
            }
        }
        match self.desk.take_alarm() {
            Some(at_ns) => self.timer.set(at_ns),
            None => Ok(()),
        }
    }

    // Orders and the clock ---------------------------------------------------------------------------------------------

    /// False: stop.
    fn obey_all(&mut self) -> io::Result<bool> {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Connect(openings)) => self.enlist(openings),
                Ok(Order::Close) => self.close_all(),
                Ok(Order::ComeBack) => self.come_back(),
                Ok(Order::Do(task)) => {
                    self.plan.obey(task, &mut self.desk);
                    self.settle()?;
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return Ok(true),
                Ok(Order::Stop) | Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(false),
            }
        }
    }

    /// Cut all links that have joined. Nobody misses them: they do not count as lost.
    fn close_all(&mut self) {
        for slot in 0..u32::try_from(self.links.len()).unwrap_or(0) {
            if self.link(slot).is_some_and(|link| link.stage == Stage::Joined) {
                self.forget(slot);
                self.plan.leave(slot, &mut self.desk);
                self.free.push(slot);
            }
        }
    }

    /// Cut all links that have joined, and let each come back in its slot.
    fn come_back(&mut self) {
        for slot in 0..u32::try_from(self.links.len()).unwrap_or(0) {
            if self.link(slot).is_none_or(|link| link.stage != Stage::Joined) {
                continue;
            }
            let Some(message) = self.plan.come_back(slot) else { continue };
            self.forget(slot);
            self.plan.leave(slot, &mut self.desk);
            self.desk.counts.one(Count::Asked);
            self.queue.push_back((slot, Opening { message, tries: 0 }));
        }
    }

    fn cut_all(&mut self) {
        for link in self.links.drain(..).flatten() {
            link.cut();
        }
    }

    /// A link is over, by the server or by an error.
    pub(super) fn part(&mut self, slot: u32, code: u16) {
        let Some(link) = self.link(slot) else { return };
        if link.stage != Stage::Joined {
            return self.fail(slot, &format!("closed with {code} before it had joined"));
        }
        self.forget(slot);
        self.desk.counts.one(Count::Lost);
        self.desk.counts.closed(code);
        self.desk.counts.complain(|| format!("link {slot}: closed with {code}"));
        self.plan.leave(slot, &mut self.desk);
    }

    fn forget(&mut self, slot: u32) {
        self.wheel.clear(slot);
        if let Some(link) = self.links.get_mut(slot as usize).and_then(Option::take) {
            link.cut();
            self.desk.counts.less(Count::Open);
        }
    }

    fn look_at_clock(&mut self) {
        let mut due = Vec::new();
        self.wheel.advance(self.now, &mut due);
        for slot in due {
            match self.link(slot).map(|link| link.stage) {
                Some(Stage::Joined) => {
                    self.desk.heartbeat(slot);
                    self.wheel.set(slot, self.now.after(self.heartbeat));
                }
                Some(_) => self.fail(slot, "it had not joined in time"),
                None => {}
            }
        }
    }

    /// The first heartbeat of a link: phases fill the interval evenly, however many links there are.
    pub(super) fn begin_heartbeats(&mut self, slot: u32) {
        if self.heartbeat == 0 {
            return self.wheel.clear(slot);
        }
        // Multiples of the golden ratio modulo 1, in 32 bits.
        let fraction = u64::from(slot.wrapping_mul(0x9e37_79b9));
        let phase = u32::try_from((fraction * u64::from(self.heartbeat)) >> 32).unwrap_or(0);
        self.wheel.set(slot, self.now.after(phase + 1));
    }

    pub(super) fn register(&mut self, slot: u32) -> io::Result<()> {
        let Some(Some(link)) = self.links.get_mut(slot as usize) else { return Ok(()) };
        self.poll.registry().register(link.stream(), Token(slot as usize), Interest::READABLE | Interest::WRITABLE)
    }
}
