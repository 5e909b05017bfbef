//! The server side of RFC 6455 framing.
use crate::wire::{Flow, Item, Kind, Violation};

#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<()>>,
}

#[allow(clippy::all, clippy::pedantic, unused_variables)]
impl Decoder {
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: None }
    }
    pub fn decode(
        &mut self,
        input: &mut [u8],
        kind: Kind,
        max_message: usize,
        sink: &mut impl FnMut(Item<'_>) -> Flow,
    ) -> Result<usize, Violation> {
        unimplemented!()
    }
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        unimplemented!()
    }
}
#[must_use]
pub fn encode_header(_text: bool, _len: usize) -> ([u8; 10], usize) {
    unimplemented!()
}
pub fn encode_ping(_payload: &[u8], _out: &mut Vec<u8>) {
    unimplemented!()
}
pub fn encode_pong(_payload: &[u8], _out: &mut Vec<u8>) {
    unimplemented!()
}
pub fn encode_close(_code: u16, _reason: &str, _out: &mut Vec<u8>) {
    unimplemented!()
}
