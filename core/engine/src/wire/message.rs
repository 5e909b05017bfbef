//! A message that arrives in pieces: gathers the bytes, and judges UTF-8 as they come.
//!
//! Never reserves memory by an announced length: a peer that promises a megabyte and sends ten bytes costs ten bytes
//! (and the growth of a Vec, at most twice what came). Read next: websocket.rs, tcp.rs.
use crate::wire::{Item, Violation};

#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    /// So many bytes at the front are whole, valid characters. Stays 0 in a binary message.
    checked: usize,
    text: bool,
}

impl Message {
    pub(crate) const fn new(text: bool) -> Self {
        Self { bytes: Vec::new(), checked: 0, text }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Not a text after all; only while it is empty.
    pub(crate) fn make_binary(&mut self) {
        self.text = false;
    }

    /// Memory held, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a piece; fails at the first byte that no continuation could make valid UTF-8.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Violation> {
        self.bytes.extend_from_slice(piece);
        if !self.text {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::utf8("a text message must be UTF-8")),
        }
        Ok(())
    }

    /// The message is complete.
    pub(crate) fn item(&self) -> Result<Item<'_>, Violation> {
        match (self.text, self.bytes.as_slice()) {
            (text, []) => Ok(Item::Heartbeat { text }),
            (false, bytes) => Ok(Item::Binary(bytes)),
            (true, bytes) if self.checked == bytes.len() => Ok(Item::Text(bytes)),
            (true, _) => Err(Violation::utf8("a text message must be UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Index of the first byte at which pushing byte by byte fails, or the length if only the end fails, or None.
    fn fails_at(bytes: &[u8]) -> Option<usize> {
        let mut message = Message::new(true);
        for (index, byte) in bytes.iter().enumerate() {
            if message.push(&[*byte]).is_err() {
                return Some(index);
            }
        }
        message.item().err().map(|_| bytes.len())
    }

    #[test]
    fn bad_utf8_fails_at_the_first_impossible_byte() {
        let cases: &[(&[u8], Option<usize>)] = &[
            (b"plain", None),
            ("\u{3ba}\u{1f79}\u{fffd}\u{10ffff}".as_bytes(), None),
            (b"a\x80", Some(1)),
            (b"\xc0\xaf", Some(0)),
            (b"\xe0\x80\x80", Some(1)),
            (b"\xed\xa0\x80", Some(1)),
            (b"\xf4\x90\x80\x80", Some(1)),
            (b"\xf5", Some(0)),
            (b"\xf0\x9f\x98x", Some(3)),
            (b"\xce", Some(1)),
            (b"ab\xf0\x9f\x98", Some(5)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(fails_at(bytes), *expected, "{bytes:x?}");
        }
    }

    #[test]
    fn memory_follows_what_came() {
        let mut message = Message::new(false);
        message.push(&[0; 1000]).unwrap();
        assert!(message.held_bytes() <= 2000);
    }
}
