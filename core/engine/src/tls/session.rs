//! One TLS session between a socket and plain bytes. All buffers belong to the caller or to the thread: a session keeps
//! bytes only while a record has not come whole, or while the socket does not take what was encrypted.
//!
//! Read next: ../tls.rs, ../connection/transport.rs.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, ReadTraffic, UnbufferedStatus, WriteTraffic,
};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::thread::io::BUFFER_BYTES;

/// What rustls keeps on the heap for a session that is open and quiet: two keys with their tables, the secrets of the next
/// keys, room for handshake messages. By the growth of Pss, with what the allocator adds; rustls does not tell it.
const SESSION_BYTES: usize = 2_350;
/// The longest plain text of a record (RFC 8446 section 5.1).
const LONGEST_PLAIN: usize = 1 << 14;
/// The longest record, in TLS 1.2. What is not whole may have so much, be it a record or the handshake message in several.
const LONGEST_RECORD: usize = 5 + LONGEST_PLAIN + 2048;
/// Plain bytes that are encrypted before the socket is tried.
const PIECE: usize = BUFFER_BYTES;

const _: () = assert!(BUFFER_BYTES > LONGEST_PLAIN + 2 * LONGEST_RECORD);

thread_local! {
    /// Where a thread encrypts for all its connections.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Memory of this thread's scratch, in bytes.
pub(crate) fn scratch_bytes() -> usize {
    SCRATCH.with_borrow(Vec::capacity)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// The peer has said that nothing more will come.
    Ended,
    /// The peer broke the protocol, or said that we did.
    Failed,
}

/// The TLS of one connection.
pub(crate) struct Session {
    conn: UnbufferedServerConnection,
    /// Bytes of the peer that are not whole.
    input: Vec<u8>,
    /// Encrypted bytes on their way out.
    output: Vec<u8>,
    /// The output goes as soon as the socket takes it; otherwise it may wait for the next write.
    due: bool,
    /// The last read of the socket has emptied it.
    drained: bool,
    life: Life,
}

impl Session {
    pub(super) fn new(conn: UnbufferedServerConnection) -> Self {
        Self { conn, input: Vec::new(), output: Vec::new(), due: false, drained: false, life: Life::Open }
    }

    /// Take in the bytes with which the connection began; `flush` sends the answer.
    pub(crate) fn feed(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.take_in(bytes, 0);
        if self.life == Life::Failed { Err(ErrorKind::InvalidData.into()) } else { Ok(()) }
    }

    /// Plain bytes into a buffer of `BUFFER_BYTES`; 0 at the end, `WouldBlock` when the socket has no more.
    pub(crate) fn read(&mut self, socket: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.life {
                Life::Open => {}
                Life::Ended => return Ok(0),
                Life::Failed => return Err(ErrorKind::InvalidData.into()),
            }
            let start = LONGEST_PLAIN + self.input.len();
            let count = socket.read(&mut buffer[start..])?;
            if count == 0 {
                return Ok(0);
            }
            self.drained = start + count < buffer.len();
            buffer[LONGEST_PLAIN..start].copy_from_slice(&self.input);
            let plain = self.take_in(&mut buffer[..start + count], LONGEST_PLAIN);
            // Answers of the handshake and alerts leave at once; what the socket does not take waits for it.
            self.flush(socket)?;
            if plain > 0 {
                return Ok(plain);
            }
        }
    }

    /// Has the last read left nothing, neither in the socket nor in here?
    pub(crate) fn is_drained(&self) -> bool {
        self.drained && self.life == Life::Open
    }

    /// Decrypt what begins at `at` to the front of the buffer; how many plain bytes lie there. The plain text of a record
    /// goes where records before it were, or into the `at` bytes that were free.
    fn take_in(&mut self, buffer: &mut [u8], mut at: usize) -> usize {
        let mut plain = 0;
        loop {
            let (free, records) = buffer.split_at_mut(at);
            let UnbufferedStatus { discard, state } = self.conn.process_tls_records(records);
            let more = match state {
                Ok(ConnectionState::ReadTraffic(traffic)) => take_records(traffic, free, &mut plain, &mut at),
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.output),
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.life = Life::Ended;
                    true
                }
                Ok(_) => {
                    self.hold(&buffer[at + discard..]);
                    break;
                }
                Err(_) => false,
            };
            if !more {
                self.fail();
                break;
            }
            at += discard;
        }
        self.due |= !self.output.is_empty() && !self.may_wait();
        plain
    }

    fn hold(&mut self, rest: &[u8]) {
        if rest.len() > LONGEST_RECORD {
            return self.fail();
        }
        self.input = if self.life == Life::Open { rest.to_vec() } else { Vec::new() };
    }

    /// Nothing more is read; the alert that says why still goes out.
    fn fail(&mut self) {
        self.life = Life::Failed;
        self.input = Vec::new();
        while self.conn.wants_write() {
            // Without input there is nothing but the alert.
            let Ok(ConnectionState::EncodeTlsData(data)) = self.conn.process_tls_records(&mut []).state else { break };
            encode(data, &mut self.output);
        }
    }

    /// Tickets of TLS 1.3 come after the handshake, and nobody waits for them: they spare a write by going with the first
    /// answer. All else that TLS says by itself is awaited.
    fn may_wait(&self) -> bool {
        self.life == Life::Open
            && !self.conn.is_handshaking()
            && self.conn.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// How many of the bytes were taken; `is_dirty` says whether some still wait in here.
    pub(crate) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.flush(socket)? && taken < bytes.len() {
            let piece = &bytes[taken..bytes.len().min(taken + PIECE)];
            SCRATCH.with_borrow_mut(|scratch| {
                let length = self.encrypt(piece, scratch)?;
                let sent = push(socket, &scratch[..length])?;
                self.output.extend_from_slice(&scratch[sent..length]);
                self.due = !self.output.is_empty();
                io::Result::Ok(())
            })?;
            taken += piece.len();
        }
        Ok(taken)
    }

    /// What waited for this write, and the piece behind it; how many bytes of the scratch that is.
    fn encrypt(&mut self, piece: &[u8], scratch: &mut Vec<u8>) -> io::Result<usize> {
        let before = mem::take(&mut self.output);
        let Some(mut traffic) = self.writer() else { return Err(ErrorKind::NotConnected.into()) };
        let mut room = before.len() + piece.len();
        loop {
            if scratch.len() < room {
                scratch.resize(room, 0);
            }
            match traffic.encrypt(piece, &mut scratch[before.len()..]) {
                Ok(length) => {
                    scratch[..before.len()].copy_from_slice(&before);
                    return Ok(before.len() + length);
                }
                Err(EncryptError::InsufficientSize(size)) => room = before.len() + size.required_size,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// None before the end of the handshake, and after a failure.
    fn writer(&mut self) -> Option<WriteTraffic<'_, ServerConnectionData>> {
        if self.life == Life::Failed {
            return None;
        }
        // What can be taken in has been, so this only asks. The input has to be there, because rustls may be in its middle.
        match self.conn.process_tls_records(&mut self.input).state {
            Ok(ConnectionState::WriteTraffic(traffic)) => Some(traffic),
            _ => None,
        }
    }

    /// Push out what is due; false when the socket takes no more.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        if self.due {
            let sent = push(socket, &self.output)?;
            self.output.drain(..sent);
            if self.output.is_empty() {
                self.output = Vec::new();
                self.due = false;
            }
        }
        Ok(!self.due)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.due
    }

    /// Say that nothing more will come; `flush` sends it.
    pub(crate) fn send_close_notify(&mut self) {
        // Room for the alert and for an update of keys that has waited for a write.
        let mut note = [0; 128];
        if let Some(mut traffic) = self.writer() {
            let length = traffic.queue_close_notify(&mut note).unwrap_or(0);
            self.output.extend_from_slice(&note[..length]);
            self.due = true;
        }
    }

    /// Did the handshake go on with the secrets of an earlier session?
    pub(crate) fn is_resumed(&self) -> bool {
        self.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Memory in bytes, with this.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + SESSION_BYTES + self.input.capacity() + self.output.capacity()
    }
}

/// Copy plain text behind the `plain` bytes that are there, and pass over what its records add to what is done with.
/// False when there is no room, and only `feed` gives none.
fn take_records(
    mut traffic: ReadTraffic<'_, '_, ServerConnectionData>,
    free: &mut [u8],
    plain: &mut usize,
    at: &mut usize,
) -> bool {
    while let Some(Ok(record)) = traffic.next_record() {
        *at += record.discard;
        let Some(space) = free.get_mut(*plain..*plain + record.payload.len()) else { return false };
        space.copy_from_slice(record.payload);
        *plain += record.payload.len();
    }
    true
}

/// Append what rustls has to say. False never happens: rustls asks for its room and gets it.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, output: &mut Vec<u8>) -> bool {
    let start = output.len();
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else { return false };
    output.resize(start + size.required_size, 0);
    data.encode(&mut output[start..]).is_ok()
}

/// How many bytes the socket took.
fn push(socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // Whoever began again with the same bytes would encrypt them twice.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
