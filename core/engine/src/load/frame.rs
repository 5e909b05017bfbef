//! WebSocket frames as a client sees them (RFC 6455 section 5): writes masked ones, reads unmasked ones.
//!
//! Takes whole frames only: what is incomplete is asked for again, and a fragmented message is a violation, because no
//! server that is measured here cuts messages. Read next: ../wire/websocket/frame.rs, the server's side.

use crate::wire::NO_CODE;
use crate::wire::websocket::{encode_header, unmask};

/// Not secret, as RFC 6455 section 5.3 wants it: there is no intermediary here that could be fooled.
const MASK: [u8; 4] = [0x5a, 0x1c, 0xe7, 0x39];
const MASKED: u8 = 0x80;
const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const PONG: u8 = 0xa;
const CLOSE: u8 = 0x8;
/// The longest message that a server may send: more is a violation, so that the buffer has a bound.
const MAX_MESSAGE: u64 = 16 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// Text or binary; never empty.
    Message(&'a [u8]),
    Heartbeat,
    Ping(&'a [u8]),
    Pong,
    Close(u16),
}

/// The first frame of the bytes and how long it is; None while it is incomplete.
#[inline]
pub(super) fn next(bytes: &[u8]) -> Result<Option<(Item<'_>, usize)>, &'static str> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("a frame with reserved bits");
    }
    let opcode = first & 0x0f;
    if first & FIN == 0 || opcode == CONTINUATION {
        return Err("a fragmented message");
    }
    if second & MASKED != 0 {
        return Err("a masked frame from a server");
    }
    let Some((length, begin)) = length(bytes, second)? else { return Ok(None) };
    let Some(payload) = bytes.get(begin..begin + length) else { return Ok(None) };
    Ok(Some((item(opcode, payload)?, begin + length)))
}

fn length(bytes: &[u8], short: u8) -> Result<Option<(usize, usize)>, &'static str> {
    let (length, begin) = match short {
        126 => match bytes[2..].first_chunk() {
            Some(two) => (u64::from(u16::from_be_bytes(*two)), 4),
            None => return Ok(None),
        },
        127 => match bytes[2..].first_chunk() {
            Some(eight) => (u64::from_be_bytes(*eight), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length > MAX_MESSAGE {
        return Err("a message of more than 16 MiB");
    }
    let length = usize::try_from(length).map_err(|_| "a message of more than 16 MiB")?;
    Ok(Some((length, begin)))
}

fn item(opcode: u8, payload: &[u8]) -> Result<Item<'_>, &'static str> {
    match opcode {
        0x1 | 0x2 if payload.is_empty() => Ok(Item::Heartbeat),
        0x1 | 0x2 => Ok(Item::Message(payload)),
        CLOSE => Ok(Item::Close(payload.first_chunk().map_or(NO_CODE, |code| u16::from_be_bytes(*code)))),
        0x9 => Ok(Item::Ping(payload)),
        PONG => Ok(Item::Pong),
        _ => Err("a reserved opcode"),
    }
}

/// Appends a binary message in one masked frame.
pub(super) fn encode(payload: &[u8], out: &mut Vec<u8>) {
    let (mut header, length) = encode_header(false, payload.len());
    header[1] |= MASKED;
    out.extend_from_slice(&header[..length]);
    finish(payload, out);
}

/// Appends a pong; a ping's payload is at most 125 bytes.
pub(super) fn encode_pong(payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(125)];
    out.push(FIN | PONG);
    out.push(MASKED | u8::try_from(payload.len()).unwrap_or(0));
    finish(payload, out);
}

fn finish(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MASK);
    let begin = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[begin..], MASK, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::websocket::{Decoder, encode_close, encode_ping};
    use crate::wire::{Flow, Item as Taken, Kind};

    fn by_the_server(bytes: &mut [u8]) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        let mut decoder = Decoder::new();
        let used = decoder.decode(bytes, Kind::Binary, 1 << 20, &mut |item| {
            match item {
                Taken::Binary(payload) => seen.push(payload.to_vec()),
                Taken::Heartbeat { .. } => seen.push(Vec::new()),
                other => panic!("{other:?}"),
            }
            Flow::Continue
        });
        assert_eq!(used, Ok(bytes.len()));
        seen
    }

    fn from_a_server(payload: &[u8]) -> Vec<u8> {
        let (header, length) = encode_header(false, payload.len());
        [&header[..length], payload].concat()
    }

    #[test]
    fn the_server_reads_what_a_client_writes() {
        let messages = [Vec::new(), vec![7; 125], vec![8; 126], vec![9; 70_000]];
        let mut bytes = Vec::new();
        for message in &messages {
            encode(message, &mut bytes);
        }
        assert_eq!(by_the_server(&mut bytes), messages);
    }

    #[test]
    fn a_client_reads_what_the_server_writes_and_waits_for_what_is_incomplete() {
        for size in [1, 125, 126, 65_535, 65_536] {
            let payload = vec![3; size];
            let bytes = from_a_server(&payload);
            assert_eq!(next(&bytes), Ok(Some((Item::Message(&payload), bytes.len()))));
            for end in [0, 1, 2, 3, 9, bytes.len() - 1] {
                assert_eq!(next(&bytes[..end.min(bytes.len() - 1)]), Ok(None));
            }
        }
        assert_eq!(next(&from_a_server(&[])), Ok(Some((Item::Heartbeat, 2))));
    }

    #[test]
    fn control_frames_are_told_apart() {
        let mut bytes = Vec::new();
        encode_close(4001, "slow", &mut bytes);
        assert_eq!(next(&bytes), Ok(Some((Item::Close(4001), 8))));
        bytes.clear();
        encode_close(NO_CODE, "", &mut bytes);
        assert_eq!(next(&bytes), Ok(Some((Item::Close(NO_CODE), 2))));
        bytes.clear();
        encode_ping(b"hi", &mut bytes);
        assert_eq!(next(&bytes), Ok(Some((Item::Ping(b"hi"), 4))));
    }

    #[test]
    fn violations_are_told() {
        for bytes in [[0xc2, 1, 0], [0x02, 1, 0], [0x80, 1, 0], [0x82, 0x81, 0], [0x83, 1, 0]] {
            assert!(next(&bytes).is_err(), "{bytes:?}");
        }
        assert!(next(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]).is_err());
    }
}
