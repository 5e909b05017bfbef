//! The load generator: one thread that is thousands of WebSocket clients, for `longlink bench`.
//!
//! The face checks what it is asked for and hands it to the loop; it never waits for the loop, except in `stop`. What the
//! links do is a plan. Read next: `load/thread.rs` (the loop), `load/plan.rs` (the plans), `load/counts.rs` (what is told).

mod books;
mod chat;
mod comeback;
mod counts;
mod desk;
mod echo;
mod fanout;
mod frame;
mod histogram;
mod hold;
mod joining;
mod link;
mod plan;
mod protobuf;
mod reading;
mod slow;
mod thread;
mod timer;
mod tls;
mod upgrade;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use mio::Waker;

use counts::Counts;
use desk::Delays;
use link::Way;
use plan::{Kind, Task};
use thread::{LoadThread, Order};
use tls::Connector;

pub use plan::Stall;

/// What a load is. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Outline {
    /// One of hold, comeback, echo, fanout, slow, chat.
    pub plan: String,
    pub host: String,
    pub port: u16,
    /// The IPv4 address that links come from, the first 8,192 of them; the next ones from the next address, and so on.
    /// Empty: the kernel's choice.
    pub source: String,
    /// Offered in the upgrade; empty: none.
    pub subprotocol: String,
    /// PEM file with the certificates that are trusted, and whether tickets are used.
    pub tls: Option<(PathBuf, bool)>,
    /// 0: no heartbeats.
    pub heartbeat_ms: u64,
    /// Links that may be under way at once.
    pub at_once: usize,
    /// Of a message.
    pub size: usize,
    pub stall: Stall,
    /// Of each socket; 0: the kernel's choice.
    pub receive_buffer: usize,
}

/// Whom the certificates of measured servers are for.
const SERVER_NAME: &str = "localhost";
/// Longest message of a plan.
const MOST_SIZE: usize = 60_000;
const LEAST_SIZE: usize = 40;

/// Delays by name: the middle of each bucket in ns, and how many are in it.
pub type Pictures = [(&'static str, Vec<(u64, u64)>); 3];

pub struct Load {
    kind: Kind,
    counts: Arc<Counts>,
    delays: Arc<Delays>,
    orders: Mutex<Sender<Order>>,
    waker: Waker,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Load {
    /// Start the loop; it connects to nothing before it is told to.
    ///
    /// # Errors
    /// A sentence that names what is wrong with the outline, or why there is no loop.
    pub fn new(outline: &Outline) -> Result<Self, String> {
        let kind = check(outline)?;
        let tls = outline.tls.as_ref();
        let tls = tls.map(|(file, resume)| Connector::load(file, SERVER_NAME, *resume)).transpose()?;
        let (orders, inbox) = mpsc::channel();
        let made = LoadThread::new(outline, kind, way(outline)?, tls, inbox);
        let (mut thread, waker) = made.map_err(|error| error.to_string())?;
        let (counts, delays) = (Arc::clone(&thread.desk.counts), Arc::clone(&thread.desk.delays));
        let complaints = Arc::clone(&counts);
        let body = move || {
            if let Err(error) = thread.run() {
                complaints.complain(|| format!("the loop ended: {error}"));
            }
        };
        let handle = Builder::new().name("longlink-load".to_owned()).spawn(body).map_err(|error| error.to_string())?;
        Ok(Self { kind, counts, delays, orders: Mutex::new(orders), waker, thread: Mutex::new(Some(handle)) })
    }

    /// So many more links, each with the message that it sends first; an empty one sends nothing.
    ///
    /// # Errors
    /// The loop has ended.
    pub fn connect(&self, openings: Vec<Box<[u8]>>) -> Result<(), String> {
        self.order(Order::Connect(openings))
    }

    /// Cut all links that have joined.
    ///
    /// # Errors
    /// The loop has ended.
    pub fn close(&self) -> Result<(), String> {
        self.order(Order::Close)
    }

    /// Cut all links that have joined, and connect each again with the key that it was given.
    ///
    /// # Errors
    /// The plan keeps no keys, or the loop has ended.
    pub fn come_back(&self) -> Result<(), String> {
        if self.kind != Kind::ComeBack {
            return Err(format!("come_back: the plan {:?} does not do that", self.kind));
        }
        self.order(Order::ComeBack)
    }

    /// Begin the closed loop of echo or chat.
    ///
    /// # Errors
    /// The plan has none, or the loop has ended.
    pub fn talk(&self) -> Result<(), String> {
        self.task(Task::Talk, "talk")
    }

    /// End what was begun; what is under way still arrives.
    ///
    /// # Errors
    /// The plan begins nothing, or the loop has ended.
    pub fn halt(&self) -> Result<(), String> {
        self.task(Task::Halt, "halt")
    }

    /// Publish bursts of so many messages; gather: the server shall put a burst into one write.
    ///
    /// # Errors
    /// The plan does not publish, or the loop has ended.
    pub fn publish(&self, bursts: u64, messages: u64, gather: bool) -> Result<(), String> {
        self.task(Task::Publish { bursts, messages: messages.max(1), gather }, "publish")
    }

    /// Read the stalled sockets again.
    ///
    /// # Errors
    /// The plan stalls nobody, or the loop has ended.
    pub fn resume(&self) -> Result<(), String> {
        self.task(Task::Resume, "resume")
    }

    /// Open the conversations of each link: the user it writes to, and the user it reads.
    ///
    /// # Errors
    /// The plan has no conversations, or the loop has ended.
    pub fn open(&self, names: Vec<(String, String)>) -> Result<(), String> {
        self.task(Task::Open(names), "open")
    }

    /// Send `count` messages, the k-th at `begin_ns + k * every_ns` of `CLOCK_MONOTONIC`, the links in turn.
    ///
    /// # Errors
    /// The plan has no schedule, or the loop has ended.
    pub fn follow(&self, begin_ns: u64, every_ns: u64, count: u64) -> Result<(), String> {
        self.task(Task::Follow { begin_ns, every_ns: every_ns.max(1), count }, "follow")
    }

    /// Compare the server's log and marks with what was written.
    ///
    /// # Errors
    /// The plan writes no log, or the loop has ended.
    pub fn verify(&self) -> Result<(), String> {
        self.task(Task::Verify, "verify")
    }

    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.counts.numbers()
    }

    /// Links that were lost, by close code; 1006 when there was none.
    #[must_use]
    pub fn closes(&self) -> BTreeMap<u16, u64> {
        self.counts.closes()
    }

    #[must_use]
    pub fn delays(&self) -> Pictures {
        let Delays { acked, delivered, late } = &*self.delays;
        [("acked", acked.picture()), ("delivered", delivered.picture()), ("late", late.picture())]
    }

    /// The first complaints.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.counts.words()
    }

    /// Drop all links and join the thread. Idempotent.
    pub fn stop(&self) {
        // Fails when the loop has ended by itself.
        let _ = self.order(Order::Stop);
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            let _ = handle.join();
        }
    }

    fn task(&self, task: Task, name: &str) -> Result<(), String> {
        if self.kind.takes(&task) {
            return self.order(Order::Do(task));
        }
        Err(format!("{name}: the plan {:?} does not do that", self.kind))
    }

    fn order(&self, order: Order) -> Result<(), String> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.send(order).map_err(|_| "the load has ended".to_owned())?;
        self.waker.wake().map_err(|error| error.to_string())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

fn check(outline: &Outline) -> Result<Kind, String> {
    let Outline { plan, size, at_once, .. } = outline;
    if !(LEAST_SIZE..=MOST_SIZE).contains(size) {
        return Err(format!("size: expected {LEAST_SIZE} to {MOST_SIZE}, got {size}"));
    }
    if *at_once == 0 {
        return Err("at_once: expected at least 1, got 0".to_owned());
    }
    Kind::from_name(plan)
        .ok_or_else(|| format!("plan: expected hold, comeback, echo, fanout, slow or chat, got {plan:?}"))
}

fn way(outline: &Outline) -> Result<Way, String> {
    let shown = format!("{}:{}", outline.host, outline.port);
    let found = (outline.host.as_str(), outline.port).to_socket_addrs();
    let to = found.and_then(|mut all| all.next().ok_or_else(|| io::Error::other("no address")));
    let from = match outline.source.as_str() {
        "" => None,
        source => Some(source.parse::<Ipv4Addr>().map_err(|error| format!("source: {source:?}: {error}"))?),
    };
    let to = to.map_err(|error| format!("{shown}: {error}"))?;
    Ok(Way { to, from, receive_buffer: outline.receive_buffer })
}
