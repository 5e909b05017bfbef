//! What the caller tells the I/O threads: batches of commands, one mailbox a thread.
//!
//! Commands gather in the caller until a flush; a mailbox is locked only to move a batch. A thread is woken only when it
//! sleeps. Read next: `../engine.rs` (the side that fills), `../thread/orders.rs` (the side that obeys).

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use mio::Waker;
use mio::net::TcpListener;

use crate::engine::bounds::Delivery;
use crate::engine::ident::ConnId;
use crate::tls::Acceptor;

/// A piece of the batch's bytes or targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Send { connection: ConnId, payload: Span, delivery: Delivery, text: bool },
    SendMany { targets: Span, payload: Span, delivery: Delivery, text: bool },
    Subscribe { connection: ConnId, topic: u64 },
    Unsubscribe { connection: ConnId, topic: u64 },
    Publish { topic: u64, payload: Span, delivery: Delivery, text: bool, window_ms: u32 },
    Admit { connection: ConnId, lifetime_ms: u64 },
    Close { connection: ConnId, code: u16, reason: Span },
}

/// Commands of one flush for one thread.
#[derive(Default)]
pub(crate) struct Commands {
    pub(crate) list: Vec<Command>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) targets: Vec<ConnId>,
}

impl Commands {
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
        self.targets.clear();
    }
}

/// What concerns a thread and not one connection.
pub(crate) enum Control {
    Listen { socket: TcpListener, tls: Option<Arc<Acceptor>> },
    Drain { duration_ms: u64, code: u16, reason: String },
    Stop,
}

pub(crate) enum Mail {
    Commands(Commands),
    Control(Control),
}

#[derive(Default)]
struct Inbox {
    mail: Vec<Mail>,
    empty: Vec<Commands>,
}

/// Batches that a mailbox keeps for reuse, and the bytes above which it does not.
const KEEP_BATCHES: usize = 4;
const KEEP_BYTES: usize = 256 * 1024;

pub(crate) struct Mailbox {
    inbox: Mutex<Inbox>,
    waker: Waker,
    asleep: AtomicBool,
    waiting: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { inbox: Mutex::default(), waker, asleep: AtomicBool::new(false), waiting: AtomicBool::new(false) }
    }

    /// Post a batch, and leave an empty one in its place.
    pub(crate) fn post(&self, batch: &mut Commands) -> io::Result<()> {
        self.with(|inbox| {
            let fresh = inbox.empty.pop().unwrap_or_default();
            inbox.mail.push(Mail::Commands(mem::replace(batch, fresh)));
        });
        self.wake()
    }

    pub(crate) fn control(&self, control: Control) -> io::Result<()> {
        self.with(|inbox| inbox.mail.push(Mail::Control(control)));
        self.wake()
    }

    /// Make the thread take a turn.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.waiting.store(true, SeqCst);
        if self.asleep.swap(false, SeqCst) { self.waker.wake() } else { Ok(()) }
    }

    /// The thread is about to wait for sockets; false when something has come and it must not.
    pub(crate) fn may_sleep(&self) -> bool {
        self.asleep.store(true, SeqCst);
        !self.waiting.load(SeqCst)
    }

    pub(crate) fn awake(&self) {
        self.asleep.store(false, SeqCst);
    }

    /// Everything posted so far, oldest first.
    pub(crate) fn take(&self, mail: &mut VecDeque<Mail>) {
        if self.waiting.swap(false, SeqCst) {
            self.with(|inbox| mail.extend(inbox.mail.drain(..)));
        }
    }

    pub(crate) fn give_back(&self, mut batch: Commands) {
        batch.clear();
        if batch.bytes.capacity() > KEEP_BYTES || batch.targets.capacity() > KEEP_BYTES {
            return;
        }
        self.with(|inbox| {
            if inbox.empty.len() < KEEP_BATCHES {
                inbox.empty.push(batch);
            }
        });
    }

    /// The data under the lock is whole at every moment, so a panic elsewhere does not spoil it.
    fn with<R>(&self, act: impl FnOnce(&mut Inbox) -> R) -> R {
        act(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
