//! What the links of one load do: a plan is a small state machine that sees messages and writes to the desk.
//!
//! A plan knows slots, never sockets. Read next: `hold.rs`, the shortest; `chat.rs`, the longest.

use super::chat::Chat;
use super::comeback::ComeBack;
use super::desk::Desk;
use super::echo::Echo;
use super::fanout::Fanout;
use super::hold::Hold;
use super::slow::Slow;

/// What a plan is told by its user, beside connecting.
#[derive(Debug)]
pub(super) enum Task {
    /// Begin the closed loop.
    Talk,
    /// End it; what is under way still arrives.
    Halt,
    /// Publish so many bursts, each of so many messages.
    Publish { bursts: u64, messages: u64, gather: bool },
    /// Read the stalled sockets again.
    Resume,
    /// Open the conversations of each link: with whom it writes to, and with whom it reads.
    Open(Vec<(String, String)>),
    /// Send by a schedule, each message at its time, the links in turn.
    Follow { begin_ns: u64, every_ns: u64, count: u64 },
    /// Ask the server what it has kept of each conversation.
    Verify,
}

pub(super) trait Plan: Send {
    /// A link is upgraded. True: it has joined; false: it joins when `admit` says so.
    fn open(&mut self, slot: u32, opening: &[u8], desk: &mut Desk) -> bool;

    /// The first message that a link got. Err: why it has not joined.
    fn admit(&mut self, _slot: u32, _payload: &[u8], _desk: &mut Desk) -> Result<(), String> {
        Ok(())
    }

    /// A message for a link that has joined.
    fn take(&mut self, slot: u32, payload: &[u8], desk: &mut Desk);

    /// All that one read brought has been taken.
    fn rest(&mut self, _slot: u32, _desk: &mut Desk) {}

    /// A link that had joined has gone.
    fn leave(&mut self, _slot: u32, _desk: &mut Desk) {}

    /// The opening with which a link that is about to be cut comes back; None: it stays away.
    fn come_back(&mut self, _slot: u32) -> Option<Box<[u8]>> {
        None
    }

    /// The alarm rang.
    fn due(&mut self, _desk: &mut Desk) {}

    fn obey(&mut self, _task: Task, _desk: &mut Desk) {}
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Hold,
    ComeBack,
    Echo,
    Fanout,
    Slow,
    Chat,
}

impl Kind {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "hold" => Self::Hold,
            "comeback" => Self::ComeBack,
            "echo" => Self::Echo,
            "fanout" => Self::Fanout,
            "slow" => Self::Slow,
            "chat" => Self::Chat,
            _ => return None,
        })
    }

    /// size: bytes of each message.
    pub(super) fn plan(self, size: usize, stall: Stall) -> Box<dyn Plan> {
        match self {
            Self::Hold => Box::new(Hold),
            Self::ComeBack => Box::<ComeBack>::default(),
            Self::Echo => Box::new(Echo::new(size)),
            Self::Fanout => Box::new(Fanout::new(size)),
            Self::Slow => Box::new(Slow::new(size, stall)),
            Self::Chat => Box::new(Chat::new(size)),
        }
    }

    pub(super) fn takes(self, task: &Task) -> bool {
        match task {
            Task::Talk => matches!(self, Self::Echo | Self::Chat),
            Task::Halt => !matches!(self, Self::Hold | Self::ComeBack),
            Task::Publish { .. } => matches!(self, Self::Fanout | Self::Slow),
            Task::Resume => self == Self::Slow,
            Task::Open(_) | Task::Follow { .. } | Task::Verify => self == Self::Chat,
        }
    }
}

/// Which receivers stop reading: one in so many (0: none), after so many messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stall {
    pub one_in: u32,
    pub after: u64,
}
