//! What the two framings, WebSocket and TCP records, have in common: the items they yield and the ways they fail.
//!
//! Never does I/O and never looks into a payload. Read next: websocket.rs, tcp.rs.

/// What a sink answers to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on with the next item.
    Continue,
    /// Stop after this item; the bytes behind it stay with the caller.
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
    Heartbeat { text: bool },
    /// At most 125 bytes, to be sent back.
    Ping(&'a [u8]),
    Pong,
    /// The peer closes; code 1005 if it gave none. The reason is valid UTF-8.
    Close { code: u16, reason: &'a [u8] },
}

/// The peer broke the protocol: the code to close with and a sentence for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub code: u16,
    pub reason: &'static str,
}

/// What kind of message the subprotocol or the preface allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Any,
    Binary,
    Text,
}
