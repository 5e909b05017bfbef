//! The plan of those who lose their connection and come back to their session with the key that it gave them.
//!
//! Counts how many were resumed, and how many of these had missed something. Read next: `hold.rs`, which it otherwise is.

use super::counts::Count;
use super::desk::Desk;
use super::hold::{connected, present};
use super::plan::Plan;
use super::protobuf::{self, Body, Writer};

/// What a slot needs to come back.
#[derive(Default)]
struct Visit {
    device: Box<[u8]>,
    key: Box<[u8]>,
    /// Events that came on the link that gave the key.
    received: u64,
    returning: bool,
}

#[derive(Default)]
pub(super) struct ComeBack {
    visits: Vec<Visit>,
    writer: Writer,
}

impl Plan for ComeBack {
    fn open(&mut self, slot: u32, opening: &[u8], desk: &mut Desk) -> bool {
        while self.visits.len() <= slot as usize {
            self.visits.push(Visit::default());
        }
        self.visits[slot as usize].device = protobuf::device(opening).into();
        present(slot, opening, desk)
    }

    fn admit(&mut self, slot: u32, payload: &[u8], desk: &mut Desk) -> Result<(), String> {
        connected(payload)?;
        let visit = &mut self.visits[slot as usize];
        let welcome = protobuf::welcome(payload).ok_or("Connected breaks off")?;
        if visit.returning && !welcome.resumed {
            return Err("its session was not resumed".to_owned());
        }
        if visit.returning {
            desk.counts.one(Count::Resumed);
            desk.counts.add(Count::Missed, u64::from(welcome.missed));
        }
        (visit.key, visit.received, visit.returning) = (welcome.key.into(), 0, false);
        Ok(())
    }

    fn take(&mut self, slot: u32, payload: &[u8], desk: &mut Desk) {
        desk.counts.one(Count::Received);
        let counted = matches!(protobuf::read(payload), Some((_, Body::Message { .. } | Body::Delivered { .. })));
        self.visits[slot as usize].received += u64::from(counted);
    }

    fn come_back(&mut self, slot: u32) -> Option<Box<[u8]>> {
        let visit = self.visits.get_mut(slot as usize)?;
        visit.returning = true;
        Some(self.writer.resume(1, &visit.device, &visit.key, visit.received).into())
    }
}
