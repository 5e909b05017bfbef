//! What the framings, WebSocket, TCP records and streams, have in common: the items they yield and the ways they fail.
//!
//! Never does I/O, and never knows what a payload means. Read next: wire/websocket.rs, wire/tcp.rs, wire/stream.rs,
//! wire/message.rs.

pub mod forwarded;
pub mod http;
mod message;
pub mod networks;
pub mod proxy;
pub mod stream;
pub mod tcp;
pub mod websocket;

use stream::Coding;

/// What a sink answers to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on with the next item.
    Continue,
    /// Stop after this item; the bytes behind it stay with the caller, untouched.
    Pause,
}

/// One thing that a peer said. The bytes are only borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole binary message, never empty.
    Binary(&'a [u8]),
    /// A whole text message, never empty, valid UTF-8.
    Text(&'a [u8]),
    /// An empty message.
    Heartbeat {
        text: bool,
    },
    /// At most 125 bytes, to be sent back.
    Ping(&'a [u8]),
    Pong,
    /// A frame that leaves its message unfinished. It says nothing, but it cost a header.
    Fragment,
    /// The peer closes; code 1005 if it gave none. The reason is valid UTF-8. Nothing is decoded behind it.
    Close {
        code: u16,
        reason: &'a [u8],
    },
}

/// The peer broke the protocol: the code to close with (1002, 1003, 1007 or 1009) and a sentence for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub code: u16,
    pub reason: &'static str,
}

impl Violation {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }

    pub(crate) const fn kind(reason: &'static str) -> Self {
        Self { code: 1003, reason }
    }

    pub(crate) const fn utf8(reason: &'static str) -> Self {
        Self { code: 1007, reason }
    }

    pub(crate) const fn too_big() -> Self {
        Self { code: 1009, reason: "the message is longer than this server takes" }
    }
}

/// What kind of message the subprotocol or the preface allows; the other kind is a violation with code 1003.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Any,
    Binary,
    Text,
}

/// How a connection's messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    WebSocket,
    Record,
    Stream,
    /// A stream without chunks, for HTTP/1.0.
    PlainStream,
}

pub(crate) const FRAMINGS: usize = 4;

impl Framing {
    /// Append a message. A stream has texts only.
    pub(crate) fn write(self, text: bool, payload: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Stream => return stream::encode_message(payload, Coding::Chunked, out),
            Self::PlainStream => return stream::encode_message(payload, Coding::Plain, out),
            Self::Record => out.extend_from_slice(&tcp::encode_header(payload.len())),
            Self::WebSocket => {
                let (header, length) = websocket::encode_header(text, payload.len());
                out.extend_from_slice(&header[..length]);
            }
        }
        out.extend_from_slice(payload);
    }
}

/// The longest payload of a close, ping or pong, in bytes (RFC 6455 section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;

/// No code was sent (RFC 6455 section 7.4.1); never on the wire.
pub(crate) const NO_CODE: u16 = 1005;

/// The item for a whole message whose bytes lie together.
pub(crate) fn message_item(text: bool, payload: &[u8]) -> Result<Item<'_>, Violation> {
    if payload.is_empty() {
        return Ok(Item::Heartbeat { text });
    }
    if !text {
        return Ok(Item::Binary(payload));
    }
    match simdutf8::basic::from_utf8(payload) {
        Ok(_) => Ok(Item::Text(payload)),
        Err(_) => Err(Violation::utf8("a text message must be UTF-8")),
    }
}

/// The item for the payload of a close: nothing, or two bytes of code and a reason (RFC 6455 section 5.5.1).
pub(crate) fn close_item(payload: &[u8]) -> Result<Item<'_>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(Item::Close { code: NO_CODE, reason: &[] }),
            _ => Err(Violation::protocol("a close needs a code of two bytes")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Violation::protocol("this close code must not be sent"));
    }
    match simdutf8::basic::from_utf8(reason) {
        Ok(_) => Ok(Item::Close { code, reason }),
        Err(_) => Err(Violation::utf8("a close reason must be UTF-8")),
    }
}

/// Nothing is decoded behind a close (RFC 6455 section 5.5.1).
pub(crate) fn deliver(item: Item<'_>, sink: &mut impl FnMut(Item<'_>) -> Flow) -> Flow {
    match (item, sink(item)) {
        (Item::Close { .. }, _) => Flow::Pause,
        (_, flow) => flow,
    }
}

/// RFC 6455 section 7.4 and the IANA registry: 1004 to 1006 and 1015 never stand in a frame, 1016 to 2999 are free.
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// How many bytes of the reason fit beside the code, cut between characters.
pub(crate) fn reason_that_fits(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_judged_by_the_registry() {
        let valid: Vec<u16> = (0..=u16::MAX).filter(|&code| may_be_sent(code)).collect();
        assert_eq!(valid.len(), 4 + 8 + 2000);
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            let payload = u16::to_be_bytes(code);
            assert_eq!(close_item(&payload).unwrap_err().code, 1002, "{code}");
        }
    }

    #[test]
    fn a_close_payload_has_no_code_or_a_whole_one() {
        let none = Item::Close { code: 1005, reason: b"" };
        assert_eq!(close_item(b""), Ok(none));
        assert_eq!(close_item(b"\x03").unwrap_err().code, 1002);
        assert_eq!(close_item(b"\x03\xe8\xff").unwrap_err().code, 1007);
        let spoken = Item::Close { code: 1000, reason: b"bye" };
        assert_eq!(close_item(b"\x03\xe8bye"), Ok(spoken));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(reason_that_fits("short"), "short");
        assert_eq!(reason_that_fits(&"x".repeat(200)).len(), 123);
        let cut = reason_that_fits("\u{20ac}\u{20ac}");
        assert_eq!(cut.len(), 6);
        assert_eq!(reason_that_fits(&"\u{20ac}".repeat(60)).len(), 123);
        assert_eq!(reason_that_fits(&format!("x{}", "\u{20ac}".repeat(60))).len(), 121);
    }
}
