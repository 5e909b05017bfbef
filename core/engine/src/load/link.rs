//! One connection of the load, as small as it can be: a socket, a stage, and boxes that an idle link does not have.
//!
//! Reads into the loop's buffer; keeps only what the socket did not take and what is not a whole frame. Read next:
//! `thread.rs`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::tls;

/// Bytes that may wait for a socket: a plan has little under way, so more says that the server has stopped reading.
const MOST_WAITING: usize = 4 << 20;
/// Links that come from one address: the kernel looks for a free port one by one once half of about 28,000 are taken.
const LINKS_OF_AN_ADDRESS: u32 = 8192;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Connecting,
    Upgrading,
    /// The opening was sent, the first answer has not come.
    Joining,
    Joined,
}

/// What a link needs until it has joined; in a box only while it is under way.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) message: Box<[u8]>,
    pub(super) tries: u32,
}

pub(super) struct Link {
    stream: TcpStream,
    pub(super) stage: Stage,
    /// Its socket is left unread.
    pub(super) stalled: bool,
    /// The peer has ended, so a short read is not the end of what there is.
    pub(super) peer_ended: bool,
    tls: Option<Box<tls::Session>>,
    #[expect(clippy::box_collection, reason = "one word instead of three in every idle link")]
    waiting: Option<Box<Vec<u8>>>,
    /// The front of a frame.
    #[expect(clippy::box_collection, reason = "one word instead of three in every idle link")]
    pub(super) rest: Option<Box<Vec<u8>>>,
    pub(super) opening: Option<Box<Opening>>,
}

/// Where links go to and come from. A receive buffer of 0 is the kernel's choice.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) to: SocketAddr,
    /// The first of the addresses.
    pub(super) from: Option<Ipv4Addr>,
    pub(super) receive_buffer: usize,
}

impl Way {
    fn connect(&self, slot: u32) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if self.receive_buffer > 0 {
            socket.set_recv_buffer_size(self.receive_buffer)?;
        }
        if let Some(from) = self.from {
            let from = Ipv4Addr::from_bits(from.to_bits() + slot / LINKS_OF_AN_ADDRESS);
            socket.bind(&SocketAddr::new(from.into(), 0).into())?;
        }
        match socket.connect(&self.to.into()) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Ok(TcpStream::from_std(socket.into()))
    }
}

impl Link {
    pub(super) fn begin(way: &Way, slot: u32, tls: Option<&tls::Connector>) -> io::Result<Self> {
        Ok(Self {
            stream: way.connect(slot)?,
            stage: Stage::Connecting,
            stalled: false,
            peer_ended: false,
            tls: tls.map(tls::Connector::session).transpose()?.map(Box::new),
            waiting: None,
            rest: None,
            opening: None,
        })
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Has TCP come up? Err: it has failed.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Plain bytes; 0 at the end, `WouldBlock` when there are none now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let outcome = match &mut self.tls {
                Some(tls) => tls.read(&mut self.stream, buffer),
                None => self.stream.read(buffer),
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// A short read has emptied a plain socket; TLS and an end show only in another read.
    pub(super) fn is_emptied_by_a_short_read(&self) -> bool {
        self.tls.is_none() && !self.peer_ended
    }

    /// Write, and keep what the socket does not take; returns the number of system calls, about.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<u64> {
        if let Some(waiting) = &mut self.waiting {
            if waiting.len() + bytes.len() > MOST_WAITING {
                return Err(io::Error::other("the server does not read what it is sent"));
            }
            waiting.extend_from_slice(bytes);
            return Ok(0);
        }
        let (taken, calls) = self.push(bytes)?;
        if taken < bytes.len() {
            self.waiting = Some(Box::new(bytes[taken..].to_vec()));
        }
        Ok(calls)
    }

    /// The socket takes bytes again.
    pub(super) fn go_on_writing(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.flush(&mut self.stream)?;
        }
        let Some(mut waiting) = self.waiting.take() else { return Ok(()) };
        let (taken, _) = self.push(&waiting)?;
        if taken < waiting.len() {
            waiting.drain(..taken);
            self.waiting = Some(waiting);
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<(usize, u64)> {
        let (mut taken, mut calls) = (0, 0);
        while taken < bytes.len() {
            calls += 1;
            let outcome = match &mut self.tls {
                Some(tls) => tls.write(&mut self.stream, &bytes[taken..]),
                None => self.stream.write(&bytes[taken..]),
            };
            match outcome {
                Ok(0) => break,
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((taken, calls))
    }

    /// None: there is no TLS. Some: whether the handshake was spared by a ticket.
    pub(super) fn is_resumed(&self) -> Option<bool> {
        self.tls.as_ref().and_then(|tls| tls.is_resumed())
    }

    /// End without a trace: the port is free at once, and the server sees a reset.
    pub(super) fn cut(self) {
        let socket = socket2::SockRef::from(&self.stream);
        // Fails when the peer has gone, and then nothing lingers.
        let _ = socket.set_linger(Some(std::time::Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_link_is_small() {
        // mio adds 16 bytes to a socket where debug assertions are on.
        assert!(size_of::<Option<Link>>() <= 40 + 16, "{}", size_of::<Option<Link>>());
    }
}
