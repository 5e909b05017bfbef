//! The core's face to its one caller: commands in, events out, listeners, counters.
//!
//! Never blocks on an I/O thread, except in `stop`, which joins them. Read next: BOUNDARY.md, `thread.rs`.

pub(crate) mod addresses;
pub(crate) mod bounds;
pub(crate) mod commands;
pub(crate) mod ident;
mod listening;
pub(crate) mod peers;
pub(crate) mod ring;
pub(crate) mod settings;
pub(crate) mod stats;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use mio::{Poll, Waker};
use rustls::time_provider::DefaultTimeProvider;

use crate::thread::io::{BUFFER_BYTES, Io, Limits};
use crate::thread::orders::Desk;
use crate::thread::table::Table;
use crate::thread::turn::Turn;
use crate::thread::{Books, IoThread, WAKER};
use crate::time::alarms::Alarms;
use crate::time::bucket::Rate;
use crate::time::clock::{self, Clock};
use crate::time::wheel::Wheel;
use crate::tls::{Acceptor, Tickets};
use crate::topics::Topics;
use addresses::Addresses;
use bounds::{Bounds, Delivery};
use commands::{Command, Commands, Control, Mailbox, Span};
use ident::ConnId;
use peers::Peers;
use ring::{Batch, Ring};
use settings::Settings;
use stats::{Histogram, Shape, Stats};

/// The caller's side of one I/O thread.
struct Lane {
    mailbox: Arc<Mailbox>,
    peers: Arc<Peers>,
    stats: Arc<Stats>,
    pending: Commands,
}

impl Lane {
    fn add(&mut self, make: impl FnOnce(&mut Commands) -> Command) {
        let command = make(&mut self.pending);
        self.pending.list.push(command);
        if self.pending.is_heavy() {
            // Fails only when the thread is gone, and then the commands are for nobody.
            let _ = self.mailbox.post(&mut self.pending);
        }
    }

    fn command_bytes(&self) -> usize {
        self.pending.size() + self.mailbox.posted_bytes()
    }
}

/// Why a port cannot be listened on.
#[derive(Debug)]
pub enum ListenError {
    Address(io::Error),
    Certificate(String),
}

#[derive(Default)]
struct State {
    lanes: Vec<Lane>,
    threads: Vec<JoinHandle<()>>,
    acceptors: Vec<Arc<Acceptor>>,
    stopped: bool,
    published: u64,
}

pub struct Engine {
    settings: Arc<Settings>,
    ring: Arc<Ring>,
    addresses: Arc<Addresses>,
    bounds: Bounds,
    open: Arc<AtomicUsize>,
    batches: Histogram,
    /// One for all ports and threads: a client may come back anywhere.
    tickets: Arc<Tickets>,
    /// One for all threads, because they share the addresses.
    clock: Clock,
    state: Mutex<State>,
}

impl Engine {
    /// Check the settings; threads start at the first `listen`.
    ///
    /// Processes that share `ticket_secret` (32 bytes) resume each other's TLS sessions; empty stands for a random one.
    ///
    /// # Errors
    /// A sentence that names the setting out of range, or why there is no eventfd.
    pub fn new(settings: Settings, ticket_secret: &[u8]) -> Result<Self, String> {
        settings.check()?;
        let tickets = Tickets::new(ticket_secret, Arc::new(DefaultTimeProvider))?;
        let ring = Ring::new(settings.ring_events, settings.ring_bytes).map_err(|error| error.to_string())?;
        let rate = Rate { per_second: settings.accept_rate, burst: settings.accept_burst };
        Ok(Self {
            addresses: Arc::new(Addresses::new(rate, settings.half_open_per_address)),
            bounds: Bounds::new(settings.queue_bytes, settings.total_queue_bytes),
            settings: Arc::new(settings),
            ring: Arc::new(ring),
            open: Arc::default(),
            batches: Histogram::batch_events(),
            tickets: Arc::new(tickets),
            clock: Clock::new(),
            state: Mutex::default(),
        })
    }

    /// Listen on all addresses of the host; the port, useful with 0.
    ///
    /// # Errors
    /// The address cannot be had, or the certificate is no good.
    pub fn listen(&self, host: &str, port: u16, tls: Option<(&Path, &Path)>, shared: bool) -> Result<u16, ListenError> {
        let acceptor = tls
            .map(|(certificate, key)| Acceptor::load(certificate, key, Arc::clone(&self.tickets)).map(Arc::new))
            .transpose()
            .map_err(ListenError::Certificate)?;
        let mut state = self.state();
        if state.stopped {
            return Err(ListenError::Address(io::Error::other("the core has been stopped")));
        }
        let (sockets, port) =
            listening::bind(host, port, self.settings.threads, shared).map_err(ListenError::Address)?;
        self.start(&mut state).map_err(ListenError::Address)?;
        for (lane, sockets) in state.lanes.iter().zip(sockets) {
            for socket in sockets {
                let control = Control::Listen { socket, tls: acceptor.clone() };
                lane.mailbox.control(control).map_err(ListenError::Address)?;
            }
        }
        state.acceptors.extend(acceptor);
        Ok(port)
    }

    /// New handshakes on all TLS ports use these files.
    ///
    /// # Errors
    /// A sentence about the files; the old ones stay in use.
    pub fn reload_tls(&self, certificate: &Path, key: &Path) -> Result<(), String> {
        let state = self.state();
        if state.acceptors.is_empty() {
            return Err("no port listens with TLS".to_owned());
        }
        state.acceptors.iter().try_for_each(|acceptor| acceptor.reload(certificate, key))
    }

    fn start(&self, state: &mut State) -> io::Result<()> {
        while state.lanes.len() < self.settings.threads {
            let number = u8::try_from(state.lanes.len()).map_err(io::Error::other)?;
            let (lane, handle) = self.start_thread(number)?;
            state.lanes.push(lane);
            state.threads.push(handle);
        }
        Ok(())
    }

    fn start_thread(&self, number: u8) -> io::Result<(Lane, JoinHandle<()>)> {
        let poll = Poll::new()?;
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), WAKER)?));
        let peers = Arc::<Peers>::default();
        let stats = Arc::new(Stats::new());
        let clock = self.clock;
        let now_ms = clock.milliseconds();
        let now = clock::tick(now_ms);
        let mut thread = IoThread {
            io: self.io(Arc::clone(&stats), Arc::clone(&peers), now_ms),
            table: Table::new(number),
            poll,
            mailbox: Arc::clone(&mailbox),
            listeners: Vec::new(),
            open: Arc::clone(&self.open),
            topics: Topics::new(),
            desk: Desk::default(),
            books: Books::default(),
            paused_at: now,
            pause: 0,
            drain: None,
            served: now,
            stopping: false,
        };
        let body = move || run_or_abort(&mut thread, &clock);
        let handle = Builder::new().name(format!("longlink-io-{number}")).spawn(body)?;
        Ok((Lane { mailbox, peers, stats, pending: Commands::default() }, handle))
    }

    fn io(&self, stats: Arc<Stats>, peers: Arc<Peers>, now_ms: u64) -> Io {
        let now = clock::tick(now_ms);
        Io {
            limits: Limits::new(&self.settings),
            settings: Arc::clone(&self.settings),
            addresses: Arc::clone(&self.addresses),
            peers,
            bounds: self.bounds.clone(),
            stats,
            ring: Arc::clone(&self.ring),
            now,
            now_ms,
            wheel: Wheel::new(now),
            turn: Turn::default(),
            batch: Batch::default(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            left: 0,
            replies: Vec::new(),
            held: Alarms::default(),
            parked: Vec::new(),
            deferred: VecDeque::new(),
            passing: 0,
            again: Vec::new(),
        }
    }

    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.ring.fd()
    }

    /// The oldest batch of events; None resets the eventfd.
    #[must_use]
    pub fn take(&self) -> Option<Batch> {
        self.ring.take()
    }

    /// Give a batch back whose events have all been taken.
    pub fn release(&self, batch: Batch) {
        if self.ring.release(batch) {
            for lane in &self.state().lanes {
                // Fails only when the thread is gone, and then nothing waits for room.
                let _ = lane.mailbox.wake();
            }
        }
    }

    /// Note how many events one poll took.
    pub fn observe_batch(&self, events: usize) {
        self.batches.observe(events as u64);
    }

    pub fn send(&self, connection: ConnId, payload: &[u8], delivery: Delivery, text: bool) {
        self.command(connection, |pending| {
            let payload = pending.keep(payload);
            Command::Send { connection, payload, delivery, text }
        });
    }

    pub fn send_many(&self, connections: &[ConnId], payload: &[u8], delivery: Delivery, text: bool) {
        let mut state = self.state();
        for (number, lane) in state.lanes.iter_mut().enumerate() {
            let pending = &mut lane.pending;
            let start = pending.targets.len();
            pending.targets.extend(connections.iter().copied().filter(|id| ident::thread_of(*id) == number));
            let targets = Span::new(start, pending.targets.len());
            if targets.len() > 0 {
                lane.add(|pending| Command::SendMany { targets, payload: pending.keep(payload), delivery, text });
            }
        }
    }

    pub fn subscribe(&self, connection: ConnId, topic: u64) {
        self.command(connection, |_| Command::Subscribe { connection, topic });
    }

    pub fn unsubscribe(&self, connection: ConnId, topic: u64) {
        self.command(connection, |_| Command::Unsubscribe { connection, topic });
    }

    /// One message for all members of a topic, which every thread knows for itself.
    pub fn publish(&self, topic: u64, payload: &[u8], delivery: Delivery, text: bool, window_ms: u32) {
        let mut state = self.state();
        state.published += 1;
        for lane in &mut state.lanes {
            lane.add(|pending| {
                let payload = pending.keep(payload);
                Command::Publish { topic, payload, delivery, text, window_ms }
            });
        }
    }

    /// Also for a connection that is admitted already: see BOUNDARY.md.
    pub fn admit(&self, connection: ConnId, lifetime_ms: u64, idle_ms: u64) {
        self.command(connection, |_| Command::Admit { connection, lifetime_ms, idle_ms });
    }

    pub fn close(&self, connection: ConnId, code: u16, reason: &str) {
        self.command(connection, |pending| {
            let reason = pending.keep(reason.as_bytes());
            Command::Close { connection, code, reason }
        });
    }

    /// Read nothing from a connection for so long; a later pause extends it and never shortens it.
    pub fn pause(&self, connection: ConnId, milliseconds: u32) {
        self.command(connection, |_| Command::Pause { connection, milliseconds });
    }

    /// A command for a thread that does not exist is for a connection that never was.
    fn command(&self, connection: ConnId, make: impl FnOnce(&mut Commands) -> Command) {
        let mut state = self.state();
        if let Some(lane) = state.lanes.get_mut(ident::thread_of(connection)) {
            lane.add(make);
        }
    }

    /// Let queued commands take effect.
    ///
    /// # Errors
    /// A thread could not be woken.
    pub fn flush(&self) -> io::Result<()> {
        for lane in &mut self.state().lanes {
            if !lane.pending.is_empty() {
                lane.mailbox.post(&mut lane.pending)?;
            }
        }
        Ok(())
    }

    /// Bytes of commands that the threads have not obeyed, flushed or not.
    #[must_use]
    pub fn command_bytes(&self) -> usize {
        self.state().lanes.iter().map(Lane::command_bytes).sum()
    }

    #[must_use]
    pub fn peer(&self, connection: ConnId) -> Option<SocketAddr> {
        self.state().lanes.get(ident::thread_of(connection))?.peers.find(connection)
    }

    /// Stop listening and close all connections, evenly over the duration.
    ///
    /// # Errors
    /// A thread could not be woken.
    pub fn drain(&self, duration_ms: u64, code: u16, reason: &str) -> io::Result<()> {
        for lane in &self.state().lanes {
            lane.mailbox.control(Control::Drain { duration_ms, code, reason: reason.to_owned() })?;
        }
        Ok(())
    }

    /// Drop all connections and join the threads.
    pub fn stop(&self) {
        let threads = {
            let mut state = self.state();
            state.stopped = true;
            for lane in &state.lanes {
                // Fails only when the thread is gone already.
                let _ = lane.mailbox.control(Control::Stop);
            }
            mem::take(&mut state.threads)
        };
        for thread in threads {
            // A thread that panicked has aborted the process.
            let _ = thread.join();
        }
        for lane in &self.state().lanes {
            lane.mailbox.close();
        }
    }

    /// Counters and gauges by name.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let state = self.state();
        let total = |index: usize| state.lanes.iter().map(|lane| lane.stats.read(index)).fold(0, u64::wrapping_add);
        let mut all: Vec<_> = stats::NAMES.iter().enumerate().map(|(index, name)| (*name, total(index))).collect();
        let (events, bytes) = self.ring.level();
        let commands: usize = state.lanes.iter().map(Lane::command_bytes).sum();
        all.push(("command_bytes", commands as u64));
        all.push(("published", state.published));
        all.push(("ring_events", events as u64));
        all.push(("ring_bytes", bytes as u64));
        all
    }

    #[must_use]
    pub fn histograms(&self) -> Vec<(&'static str, Shape)> {
        let state = self.state();
        let handshakes: Vec<_> = state.lanes.iter().map(|lane| &lane.stats.handshake).collect();
        let messages: Vec<_> = state.lanes.iter().map(|lane| &lane.stats.message_bytes).collect();
        let all = [
            ("handshake_seconds", Histogram::merge(&handshakes)),
            ("message_bytes", Histogram::merge(&messages)),
            ("batch_events", Histogram::merge(&[&self.batches])),
        ];
        all.into_iter().filter_map(|(name, shape)| Some((name, shape?))).collect()
    }

    /// The data under the lock is whole at every moment, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A thread that panics would leave its connections hanging in silence, so the process ends with a word instead.
fn run_or_abort(thread: &mut IoThread, clock: &Clock) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread.run(clock)));
    match outcome {
        Ok(Ok(())) => return,
        Ok(Err(error)) => eprintln!("longlink: an I/O thread cannot wait for sockets: {error}"),
        Err(_) => eprintln!("longlink: an I/O thread panicked (see above); the process cannot go on"),
    }
    std::process::abort();
}
