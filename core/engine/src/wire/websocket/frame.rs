//! WebSocket frame headers, masking, and the frames that a server writes (RFC 6455 section 5.2).
//!
//! Never holds state: a header is judged from the bytes that are there. Read next: ../websocket.rs.
use crate::wire::{Kind, MAX_CONTROL, NO_CODE, Violation, reason_that_fits};

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK_SIZE: usize = 4;

/// Longest header of a client's frame, in bytes.
pub(super) const MAX_HEADER: usize = 14;

/// What decides about a header beside its own bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) kind: Kind,
    pub(super) max_message: usize,
    /// Bytes of the fragmented message that is under way, if one is.
    pub(super) gathered: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: u8,
    pub(super) mask: [u8; MASK_SIZE],
    /// Bytes of payload.
    pub(super) length: usize,
    /// Bytes of the header itself.
    pub(super) size: usize,
}

pub(super) const fn is_control(opcode: u8) -> bool {
    opcode & 0x8 != 0
}

/// Reads a header from the front of the bytes; None while it is incomplete. Fails as early as the bytes allow.
#[inline]
pub(super) fn parse(bytes: &[u8], rules: &Rules) -> Result<Option<Header>, Violation> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    check_first(first, rules)?;
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    let opcode = first & 0x0f;
    check_second(second, opcode)?;
    let Some((length, length_end)) = parse_length(bytes, second & !MASKED)? else {
        return Ok(None);
    };
    let length = check_size(length, opcode, rules)?;
    let mask = bytes.get(length_end..).and_then(<[u8]>::first_chunk);
    Ok(mask.map(|mask| Header { fin: first & FIN != 0, opcode, mask: *mask, length, size: length_end + MASK_SIZE }))
}

fn check_first(first: u8, rules: &Rules) -> Result<(), Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::protocol("the reserved bits must be 0"));
    }
    match (first & 0x0f, rules.gathered) {
        (CONTINUATION, None) => Err(Violation::protocol("there is no message to continue")),
        (TEXT | BINARY, Some(_)) => Err(Violation::protocol("the message before is not complete")),
        (TEXT, None) if rules.kind == Kind::Binary => Err(Violation::kind("only binary messages are taken here")),
        (BINARY, None) if rules.kind == Kind::Text => Err(Violation::kind("only text messages are taken here")),
        (CONTINUATION, Some(_)) | (TEXT | BINARY, None) => Ok(()),
        (CLOSE | PING | PONG, _) if first & FIN != 0 => Ok(()),
        (CLOSE | PING | PONG, _) => Err(Violation::protocol("a control frame must not be fragmented")),
        _ => Err(Violation::protocol("the opcode is reserved")),
    }
}

fn check_second(second: u8, opcode: u8) -> Result<(), Violation> {
    if second & MASKED == 0 {
        return Err(Violation::protocol("a client must mask its frames"));
    }
    if is_control(opcode) && usize::from(second & !MASKED) > MAX_CONTROL {
        return Err(Violation::protocol("a control frame takes at most 125 bytes"));
    }
    Ok(())
}

/// The payload length and where in the header it ends.
fn parse_length(bytes: &[u8], short: u8) -> Result<Option<(u64, usize)>, Violation> {
    let rest = &bytes[2..];
    let (length, end, least) = match short {
        126 => match rest.first_chunk() {
            Some(two) => (u64::from(u16::from_be_bytes(*two)), 4, 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(eight) => (u64::from_be_bytes(*eight), 10, 1 << 16),
            None => return Ok(None),
        },
        short => (u64::from(short), 2, 0),
    };
    if length < least {
        return Err(Violation::protocol("a length must be written in its shortest form"));
    }
    if length > u64::MAX >> 1 {
        return Err(Violation::protocol("the highest bit of a length must be 0"));
    }
    Ok(Some((length, end)))
}

fn check_size(length: u64, opcode: u8, rules: &Rules) -> Result<usize, Violation> {
    let length = usize::try_from(length).map_err(|_| Violation::too_big())?;
    let whole = length.saturating_add(rules.gathered.unwrap_or(0));
    if !is_control(opcode) && whole > rules.max_message {
        return Err(Violation::too_big());
    }
    Ok(length)
}

/// Removes (or applies) the mask; offset: how many bytes of this payload came before (RFC 6455 section 5.3).
#[inline]
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; MASK_SIZE], offset: usize) {
    let mask: [u8; MASK_SIZE] = std::array::from_fn(|i| mask[(i + offset) % MASK_SIZE]);
    let word = u64::from_ne_bytes(std::array::from_fn(|i| mask[i % MASK_SIZE]));
    let mut words = payload.chunks_exact_mut(8);
    for chunk in &mut words {
        let masked = u64::from_ne_bytes(std::array::from_fn(|i| chunk[i]));
        chunk.copy_from_slice(&(masked ^ word).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The header of a server's message frame: bytes, and how many of them are used.
#[must_use]
pub fn encode_header(text: bool, len: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = FIN | if text { TEXT } else { BINARY };
    let long = (len as u64).to_be_bytes();
    match len {
        0..=125 => {
            header[1] = long[7];
            (header, 2)
        }
        126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&long[6..]);
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&long);
            (header, 10)
        }
    }
}

/// Appends a ping; a payload beyond 125 bytes is cut.
pub fn encode_ping(payload: &[u8], out: &mut Vec<u8>) {
    encode_control(PING, payload, out);
}

/// Appends a pong; a payload beyond 125 bytes is cut.
pub fn encode_pong(payload: &[u8], out: &mut Vec<u8>) {
    encode_control(PONG, payload, out);
}

/// Appends a close. Code 1005 writes a close without code and reason; a reason beyond 123 bytes is cut between characters.
pub fn encode_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    if code == NO_CODE {
        return encode_control(CLOSE, &[], out);
    }
    let reason = reason_that_fits(reason).as_bytes();
    encode_control(CLOSE, &[&code.to_be_bytes(), reason].concat(), out);
}

fn encode_control(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(MAX_CONTROL)];
    out.push(FIN | opcode);
    out.push(payload.len().to_be_bytes()[size_of::<usize>() - 1]);
    out.extend_from_slice(payload);
}
