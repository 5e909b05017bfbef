//! Bytes to and from a socket, with TLS or without.
//!
//! Plain ones by the bare system calls: those of the C library look for a cancelled thread before and after each.
//! Read next: `reading.rs`, `writing.rs`.

use std::io::{self, ErrorKind};

use rustix::net::{RecvFlags, SendFlags};

use crate::connection::Conn;

/// Plain bytes from the peer; 0 at the end, `WouldBlock` when there are none now.
pub(crate) fn read(conn: &mut Conn, buffer: &mut [u8]) -> io::Result<usize> {
    retry(|| match &mut conn.tls {
        Some(tls) => tls.read(&mut conn.stream, buffer),
        None => Ok(rustix::net::recv(&conn.stream, &mut *buffer, RecvFlags::empty())?.1),
    })
}

/// Has the read that left so much room in its buffer emptied the socket?
pub(crate) fn is_drained(conn: &Conn, room: usize) -> bool {
    conn.tls.as_ref().map_or(room > 0, |tls| tls.is_drained())
}

/// How many of the bytes were taken, 0 when the socket takes no more.
pub(crate) fn write(conn: &mut Conn, bytes: &[u8]) -> io::Result<usize> {
    let outcome = retry(|| match &mut conn.tls {
        Some(tls) => tls.write(&mut conn.stream, bytes),
        None => Ok(rustix::net::send(&conn.stream, bytes, SendFlags::NOSIGNAL)?),
    });
    match outcome {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        done => done,
    }
}

/// Does something wait inside TLS for the socket?
pub(crate) fn is_dirty(conn: &Conn) -> bool {
    conn.tls.as_ref().is_some_and(|tls| tls.is_dirty())
}

fn retry<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match act() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
