//! New connections: taken from the listeners in portions, measured by address, refused politely when full.
//!
//! Out of file descriptors: counted by the kernel's queue, tried again after a pause, never in a busy loop.
//! Read next: `../engine/addresses.rs`, `../connection/handshake.rs`.

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use rustix::io::Errno;

use crate::connection::{Conn, Trust, Young};
use crate::engine::addresses;
use crate::engine::stats::Count;
use crate::thread::IoThread;
use crate::time::bucket::Bucket;
use crate::tls::Acceptor;
use crate::wire::http;

/// Connections taken from one listener in one turn.
const PORTION: usize = 256;
/// Ticks to wait when the process has no file descriptor left.
const PAUSE_TICKS: u32 = 6;

pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// The kernel's queue may hold more.
    pub(crate) ready: bool,
}

impl IoThread {
    /// Take what waits at the listeners; true when more may wait.
    pub(crate) fn accept_portions(&mut self) -> bool {
        if self.io.now.since(self.paused_at) < self.pause {
            return false;
        }
        self.pause = 0;
        for index in 0..self.listeners.len() {
            if self.listeners[index].ready {
                self.accept_from(index);
            }
        }
        self.pause == 0 && self.listeners.iter().any(|listener| listener.ready)
    }

    fn accept_from(&mut self, index: usize) {
        for _ in 0..PORTION {
            let listener = &mut self.listeners[index];
            match listener.socket.accept() {
                Ok((stream, address)) => {
                    let tls = listener.tls.clone();
                    self.welcome(stream, address, tls);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    listener.ready = false;
                    return;
                }
                Err(error) if is_exhausted(&error) => {
                    self.io.stats.one(Count::RefusedFull);
                    self.paused_at = self.io.now;
                    self.pause = PAUSE_TICKS;
                    return;
                }
                // The peer has gone before we took it, or the like: the next one may be well.
                Err(_) => {}
            }
        }
    }

    fn welcome(&mut self, mut stream: TcpStream, address: SocketAddr, tls: Option<Arc<Acceptor>>) {
        let trust = self.trust(address.ip());
        // All clients of a trusted proxy come from its address, which says nothing about one of them.
        let key = (trust == Trust::Nobody).then(|| addresses::key(address.ip()));
        if key.is_some_and(|key| !self.io.enter_address(key)) {
            return;
        }
        if self.open.fetch_add(1, Relaxed) >= self.io.settings.max_connections {
            self.open.fetch_sub(1, Relaxed);
            self.io.leave_address(key);
            self.io.stats.one(Count::RefusedFull);
            if tls.is_none() && trust != Trust::Header {
                // One try: a peer that does not take a line of text has to do without it.
                let _ = stream.write(&http::refusal(503, "this server is full"));
            }
            return;
        }
        let young = Young {
            address: key,
            trust,
            proxied: false,
            since: self.io.now,
            accepted: Instant::now(),
            head: Vec::new(),
            body: None,
            told: 0,
            tls,
        };
        if self.keep(stream, address, young).is_none() {
            self.open.fetch_sub(1, Relaxed);
            self.io.leave_address(key);
        }
    }

    fn trust(&self, address: IpAddr) -> Trust {
        let settings = &self.io.settings;
        match settings.trusted_proxies.contain(address) {
            false => Trust::Nobody,
            true if settings.proxy_protocol => Trust::Header,
            true => Trust::Fields,
        }
    }

    fn keep(&mut self, mut stream: TcpStream, address: SocketAddr, young: Young) -> Option<()> {
        let id = self.table.reserve()?;
        let token = Token(usize::try_from(id).ok()?);
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).ok()?;
        let now = self.io.now;
        self.io.stats.one(Count::Accepted);
        self.io.stats.one(Count::HalfOpen);
        if young.tls.is_some() {
            self.io.stats.one(Count::AcceptedTls);
        }
        let conn = Conn::new(stream, young, Bucket::full(self.io.limits.messages, now), self.io.moment());
        self.books.held += conn.held_bytes();
        self.table.insert(id, conn);
        self.io.peers.enter(id, address);
        self.io.hasten(id, now.after(self.io.limits.header));
        Some(())
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}
