//! The books of one conversation: what its writer has sent, and what its reader must therefore get.
//!
//! Everything about message n is known beforehand, so anything lost, doubled, altered or out of order is seen at once. No
//! I/O in here. Read next: `chat.rs`.

use std::collections::VecDeque;

use super::counts::Count;
use super::protobuf::Body;

/// The moment, in digits, and the checksum, in hexadecimal; what follows fills up.
const DIGITS: usize = 20;
const STAMP: usize = DIGITS + 16;

/// What was wrong, as a count and a sentence.
pub(super) type Fault = (Count, String);

pub(super) fn client_id(number: u64) -> String {
    format!("m{number}")
}

/// The text of message n of a conversation: its moment, a checksum over all three, and filler.
pub(super) fn text(conversation: &[u8], number: u64, due_ns: u64, size: usize) -> String {
    let sum = checksum(conversation, number, due_ns);
    format!("{due_ns:020}{sum:016x}{:x<width$}", "", width = size.saturating_sub(STAMP))
}

/// FNV-1a: not against malice, but no bit changes without being seen.
fn checksum(conversation: &[u8], number: u64, due_ns: u64) -> u64 {
    let bytes = conversation.iter().copied().chain(number.to_le_bytes()).chain(due_ns.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The writer's side.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) conversation: Vec<u8>,
    pub(super) written: u64,
    pub(super) acked: u64,
    due: VecDeque<u64>,
}

impl Outbox {
    /// The number of the next message.
    pub(super) fn write(&mut self, due_ns: u64) -> u64 {
        self.written += 1;
        self.due.push_back(due_ns);
        self.written
    }

    /// Judge a Sent; returns when its message was due.
    pub(super) fn acknowledge(&mut self, id: u64, seq: u64, given: &[u8], duplicate: bool) -> Result<u64, Fault> {
        self.acked += 1;
        let number = self.acked;
        let due_ns = self.due.pop_front();
        match due_ns {
            Some(due_ns) if (id, seq) == (number, number) && given == client_id(number).as_bytes() && !duplicate => {
                Ok(due_ns)
            }
            _ => {
                let given = String::from_utf8_lossy(given);
                let word = format!("Sent {number}: got request {id}, seq {seq}, {given}, duplicate {duplicate}");
                Err((Count::Unexpected, word))
            }
        }
    }
}

/// The reader's side.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) conversation: Vec<u8>,
    pub(super) received: u64,
    /// What was acknowledged.
    pub(super) marked: u64,
}

impl Inbox {
    /// Judge a message; returns when it was due. What was passed over is counted once, as skipped.
    pub(super) fn receive(&mut self, size: usize, body: &Body<'_>) -> Result<u64, (Fault, u64)> {
        let Body::Message { conversation, seq, client_id: given, text: content } = *body else {
            return Err(((Count::Unexpected, format!("{body:?}")), 1));
        };
        let expected = self.received + 1;
        if conversation != self.conversation {
            let shown = String::from_utf8_lossy(conversation);
            return Err(((Count::Unexpected, format!("a message of conversation {shown}")), 1));
        }
        if seq < expected {
            return Err(((Count::Repeated, format!("seq {seq} after {}", self.received)), 1));
        }
        self.received = seq;
        if seq > expected {
            return Err(((Count::Skipped, format!("seq {seq}, expected {expected}")), seq - expected));
        }
        let due_ns = moment(content);
        if given != client_id(seq).as_bytes() || content != text(conversation, seq, due_ns, size).as_bytes() {
            let (given, content) = (String::from_utf8_lossy(given), String::from_utf8_lossy(content));
            return Err(((Count::Altered, format!("seq {seq} is {given}: {content}")), 1));
        }
        Ok(due_ns)
    }

    /// The seq to acknowledge, if there is something new.
    pub(super) fn mark(&mut self) -> Option<u64> {
        let fresh = self.marked < self.received;
        self.marked = self.received;
        fresh.then_some(self.received)
    }
}

fn moment(content: &[u8]) -> u64 {
    let digits = content.get(..DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 100;
    const TALK: &[u8] = b"c-1";

    /// What a server would push: seq, client id and text of these messages.
    fn read(pushed: &[(u64, &str, String)]) -> Vec<Result<u64, Count>> {
        let mut inbox = Inbox { conversation: TALK.to_vec(), ..Inbox::default() };
        let judge = |(seq, given, content): &(u64, &str, String)| {
            let (client_id, text) = (given.as_bytes(), content.as_bytes());
            let body = Body::Message { conversation: TALK, seq: *seq, client_id, text };
            inbox.receive(SIZE, &body).map_err(|((count, _), _)| count)
        };
        pushed.iter().map(judge).collect()
    }

    fn good(number: u64) -> (u64, &'static str, String) {
        let given = ["m0", "m1", "m2", "m3", "m4"][usize::try_from(number).expect("small")];
        (number, given, text(TALK, number, number * 1000, SIZE))
    }

    fn faults(seen: &[Result<u64, Count>]) -> String {
        format!("{:?}", seen.iter().filter_map(|one| one.err()).collect::<Vec<_>>())
    }

    #[test]
    fn what_comes_in_order_is_right_and_tells_when_it_was_due() {
        let seen = read(&[good(1), good(2), good(3)]);
        assert_eq!(seen.iter().map(|one| one.expect("right")).collect::<Vec<_>>(), vec![1000, 2000, 3000]);
        assert_eq!(good(1).2.len(), SIZE);
    }

    #[test]
    fn a_lost_message_is_found() {
        assert_eq!(faults(&read(&[good(1), good(3), good(4)])), "[Skipped]");
    }

    #[test]
    fn a_doubled_message_is_found() {
        assert_eq!(faults(&read(&[good(1), good(1), good(2)])), "[Repeated]");
    }

    #[test]
    fn messages_that_changed_places_are_found() {
        assert_eq!(faults(&read(&[good(1), good(3), good(2)])), "[Skipped, Repeated]");
    }

    #[test]
    fn an_altered_message_is_found_wherever_the_change_is() {
        let (seq, given, whole) = good(1);
        for at in 0..SIZE {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(faults(&read(&[(seq, given, changed)])), "[Altered]", "byte {at}");
        }
        assert_eq!(faults(&read(&[(1, "m2", whole.clone())])), "[Altered]");
        assert_eq!(faults(&read(&[(1, "m1", whole[..99].to_owned())])), "[Altered]");
    }

    #[test]
    fn a_message_of_another_conversation_is_found() {
        let mut inbox = Inbox { conversation: b"c-2".to_vec(), ..Inbox::default() };
        let (seq, given, whole) = good(1);
        let body = Body::Message { conversation: TALK, seq, client_id: given.as_bytes(), text: whole.as_bytes() };
        assert!(matches!(inbox.receive(SIZE, &body), Err(((Count::Unexpected, _), 1))));
    }

    #[test]
    fn sent_must_answer_each_message_once_and_in_order() {
        let mut outbox = Outbox::default();
        assert_eq!((outbox.write(7), outbox.write(8)), (1, 2));
        assert!(matches!(outbox.acknowledge(1, 1, b"m1", false), Ok(7)));
        assert!(outbox.acknowledge(2, 3, b"m2", false).is_err());
        assert!(outbox.acknowledge(3, 3, b"m3", false).is_err(), "it was never written");
        outbox.write(9);
        assert!(outbox.acknowledge(4, 4, b"m4", true).is_err(), "it says that it was a resend");
    }

    #[test]
    fn one_mark_stands_for_all_that_came() {
        let mut inbox = Inbox { received: 3, ..Inbox::default() };
        assert_eq!((inbox.mark(), inbox.mark()), (Some(3), None));
    }
}
