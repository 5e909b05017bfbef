//! Holding back (`coalesce_ms`): what is not urgent waits in the connection's queue while its last write is recent, so
//! that several messages leave in one write. A lone message on a quiet link is never held, a reply flushes at once.
//!
//! Never holds more than every class may use of the queue and of what all may hold. Read next: `writing.rs`.

use crate::connection::queue::OutQueue;
use crate::connection::{Conn, Flags};
use crate::engine::bounds::Piece;
use crate::engine::ident::ConnId;
use crate::thread::io::{After, Io};
use crate::thread::turn::Bunch;

/// Bytes that are worth a write although their time has not come.
const ENOUGH_BYTES: usize = 16 * 1024;

impl Io {
    /// Let bytes wait for those that follow, if the connection was written to so recently.
    pub(crate) fn hold<P: Iterator<Item = Piece>>(
        &mut self,
        id: ConnId,
        conn: &mut Conn,
        bunch: &Bunch<'_, P>,
    ) -> bool {
        if bunch.urgent || !self.may_hold(0, bunch.bytes.len()) {
            return false;
        }
        let Some(wait) = wait(self.settings.coalesce_ms, self.moment(), conn.wrote) else { return false };
        let mut out = OutQueue::new(self.now);
        out.push(bunch.bytes);
        conn.out = Some(Box::new(out));
        conn.set(Flags::HELD);
        self.held.set(self.now_ms + wait, id);
        true
    }

    /// Add to what is held back, if it is not too much then.
    pub(crate) fn join_held<P: Iterator<Item = Piece>>(&self, conn: &mut Conn, bunch: &Bunch<'_, P>) -> bool {
        let fits = |out: &OutQueue| self.may_hold(out.waiting().len(), bunch.bytes.len());
        let Some(out) = conn.out.as_mut().filter(|out| fits(out)) else { return false };
        out.push(bunch.bytes);
        true
    }

    /// An alarm rang: the one of what is held now, or of something that has left since.
    pub(crate) fn release_if_due(&mut self, id: ConnId, conn: &mut Conn) -> After {
        let early = wait(self.settings.coalesce_ms, self.moment(), conn.wrote).is_some();
        if early { After::Keep } else { self.release(id, conn) }
    }

    /// The time has come, or something urgent.
    pub(crate) fn release(&mut self, id: ConnId, conn: &mut Conn) -> After {
        if !conn.is(Flags::HELD) {
            return After::Keep;
        }
        conn.unset(Flags::HELD);
        let after = self.writable(id, conn);
        if let Some(out) = &mut conn.out {
            out.progress = self.now;
            self.hasten(id, self.stall_at(self.now));
        }
        after
    }

    /// Now, as connections remember it: milliseconds that wrap after seven weeks.
    #[expect(clippy::cast_possible_truncation, reason = "only differences of a few milliseconds matter")]
    pub(crate) fn moment(&self) -> u32 {
        self.now_ms as u32
    }

    fn may_hold(&self, waiting: usize, length: usize) -> bool {
        waiting + length <= ENOUGH_BYTES && self.bounds.may_hold(waiting, length)
    }
}

/// Milliseconds until a connection may be written to again; None: at once.
fn wait(window: u64, now: u32, wrote: u32) -> Option<u64> {
    window.checked_sub(u64::from(now.wrapping_sub(wrote))).filter(|wait| *wait > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_was_quiet_for_the_window_waits_for_nothing() {
        for (now, wrote) in [(1000, 1000 - 20), (1000, 3), (5, u32::MAX - 100)] {
            assert_eq!(wait(20, now, wrote), None);
        }
        assert_eq!(wait(0, 1000, 1000), None);
    }

    #[test]
    fn a_link_that_was_written_to_waits_for_the_rest_of_the_window() {
        assert_eq!(wait(20, 1000, 1000), Some(20));
        assert_eq!(wait(20, 1000, 981), Some(1));
        assert_eq!(wait(20, 5, u32::MAX - 4), Some(10));
    }
}
