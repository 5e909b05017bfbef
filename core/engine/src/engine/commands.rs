//! What the caller tells the I/O threads: batches of commands, one mailbox a thread.
//!
//! Commands gather in the caller until a flush; a mailbox is locked only to move a batch. A thread is woken only when it
//! sleeps. Read next: `../engine.rs` (the side that fills), `../thread/orders.rs` (the side that obeys).

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
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
    Admit { connection: ConnId, lifetime_ms: u64, idle_ms: u64 },
    Close { connection: ConnId, code: u16, reason: Span },
    Pause { connection: ConnId, milliseconds: u32 },
}

const HEAVY_BYTES: usize = 64 << 20;

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

    /// Goes without waiting for the flush, long before a span could not tell where its piece lies.
    pub(crate) fn is_heavy(&self) -> bool {
        self.bytes.len() >= HEAVY_BYTES
    }

    /// Bytes that wait in here.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.list.len() * size_of::<Command>() + self.targets.len() * size_of::<ConnId>()
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
    /// Nobody takes anything any more.
    closed: bool,
}

/// Batches that a mailbox keeps for reuse, and the bytes, commands and targets above which it does not.
const KEEP_BATCHES: usize = 4;
const KEEP_BYTES: usize = 256 * 1024;
const KEEP_ENTRIES: usize = 64 * 1024;

pub(crate) struct Mailbox {
    inbox: Mutex<Inbox>,
    waker: Waker,
    asleep: AtomicBool,
    waiting: AtomicBool,
    /// Bytes of the batches that were posted and not given back.
    posted: AtomicUsize,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            inbox: Mutex::default(),
            waker,
            asleep: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            posted: AtomicUsize::new(0),
        }
    }

    /// Post a batch, and leave an empty one in its place.
    pub(crate) fn post(&self, batch: &mut Commands) -> io::Result<()> {
        self.with(|inbox| {
            if inbox.closed {
                return batch.clear();
            }
            self.posted.fetch_add(batch.size(), SeqCst);
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

    /// Bytes of commands that the thread has not obeyed.
    pub(crate) fn posted_bytes(&self) -> usize {
        self.posted.load(SeqCst)
    }

    /// The thread has obeyed a batch.
    pub(crate) fn give_back(&self, mut batch: Commands) {
        self.posted.fetch_sub(batch.size(), SeqCst);
        batch.clear();
        let entries = batch.list.capacity().max(batch.targets.capacity());
        if batch.bytes.capacity() > KEEP_BYTES || entries > KEEP_ENTRIES {
            return;
        }
        self.with(|inbox| {
            if inbox.empty.len() < KEEP_BATCHES {
                inbox.empty.push(batch);
            }
        });
    }

    /// The thread has ended; what is posted from now on is for nobody.
    pub(crate) fn close(&self) {
        self.with(|inbox| {
            *inbox = Inbox { closed: true, ..Inbox::default() };
            self.posted.store(0, SeqCst);
        });
    }

    /// The data under the lock is whole at every moment, so a panic elsewhere does not spoil it.
    fn with<R>(&self, act: impl FnOnce(&mut Inbox) -> R) -> R {
        act(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;

    fn mailbox() -> (Mailbox, Poll) {
        let poll = Poll::new().expect("epoll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("an eventfd");
        (Mailbox::new(waker), poll)
    }

    fn batch(commands: usize) -> Commands {
        let one = Command::Admit { connection: 1, lifetime_ms: 0, idle_ms: 0 };
        Commands { list: vec![one; commands], ..Commands::default() }
    }

    /// Room for commands in the batch that takes the place of one that is posted.
    fn next_room(mailbox: &Mailbox) -> usize {
        let mut posted = batch(1);
        mailbox.post(&mut posted).expect("a thread to wake");
        posted.list.capacity()
    }

    /// Post a batch, take it as the thread does, and give it back.
    fn pass(mailbox: &Mailbox, commands: usize) {
        mailbox.post(&mut batch(commands)).expect("a thread to wake");
        let mut mail = VecDeque::new();
        mailbox.take(&mut mail);
        let Some(Mail::Commands(batch)) = mail.pop_back() else { panic!("a batch") };
        mailbox.give_back(batch);
    }

    #[test]
    fn a_batch_is_used_again_unless_it_was_large() {
        let (mailbox, _poll) = mailbox();
        pass(&mailbox, 100);
        assert_eq!(next_room(&mailbox), 100);
        pass(&mailbox, KEEP_ENTRIES + 1);
        assert_eq!(next_room(&mailbox), 0);
    }

    #[test]
    fn a_batch_counts_from_the_post_until_the_thread_has_obeyed_it() {
        let (mailbox, _poll) = mailbox();
        let mut heavy = batch(2);
        heavy.keep(&[0; 1000]);
        heavy.targets.push(7);
        let size = 1000 + 2 * size_of::<Command>() + size_of::<ConnId>();
        mailbox.post(&mut heavy).expect("a thread to wake");
        let mut mail = VecDeque::new();
        mailbox.take(&mut mail);
        assert_eq!(mailbox.posted_bytes(), size);
        let Some(Mail::Commands(taken)) = mail.pop_front() else { panic!("a batch") };
        mailbox.give_back(taken);
        assert_eq!(mailbox.posted_bytes(), 0);
    }

    #[test]
    fn nothing_gathers_where_nobody_takes_it() {
        let (mailbox, _poll) = mailbox();
        mailbox.post(&mut batch(1)).expect("a thread to wake");
        mailbox.close();
        let mut late = batch(1);
        mailbox.post(&mut late).expect("a thread to wake");
        assert!(late.is_empty());
        let mut mail = VecDeque::new();
        mailbox.take(&mut mail);
        assert!(mail.is_empty());
    }
}
