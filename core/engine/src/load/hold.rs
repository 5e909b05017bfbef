//! The plan that only is there: connects, proves who it is, and keeps quiet but for heartbeats.
//!
//! Read next: `comeback.rs`.

use super::counts::Count;
use super::desk::Desk;
use super::plan::Plan;
use super::protobuf::{self, Body};

pub(super) struct Hold;

impl Plan for Hold {
    fn open(&mut self, slot: u32, opening: &[u8], desk: &mut Desk) -> bool {
        present(slot, opening, desk)
    }

    fn admit(&mut self, _: u32, payload: &[u8], _: &mut Desk) -> Result<(), String> {
        connected(payload)
    }

    /// Events of the server, such as a broadcast to all.
    fn take(&mut self, _: u32, _: &[u8], desk: &mut Desk) {
        desk.counts.one(Count::Received);
    }
}

/// Send the opening, and wait for an answer if there is one.
pub(super) fn present(slot: u32, opening: &[u8], desk: &mut Desk) -> bool {
    if !opening.is_empty() {
        desk.send(slot, opening);
    }
    opening.is_empty()
}

/// Is it Connected?
pub(super) fn connected(payload: &[u8]) -> Result<(), String> {
    match protobuf::read(payload) {
        Some((_, Body::Connected)) => Ok(()),
        Some((_, body)) => Err(format!("expected Connected, got {body:?}")),
        None => Err("the first answer is no frame".to_owned()),
    }
}
