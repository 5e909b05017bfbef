//! The server side of WebSocket framing (RFC 6455): bytes from a client in, items out.
//!
//! Never does I/O, never writes an answer, and copies no message that lies whole in the input. An idle decoder is one
//! null pointer. Read next: websocket/frame.rs for headers, ../wire.rs for items, message.rs for what comes in pieces.
mod frame;

pub use frame::{encode_close, encode_header, encode_ping, encode_pong};

pub(crate) use frame::unmask;

use crate::wire::message::Message;
use crate::wire::{Flow, Item, Kind, Violation, close_item, deliver, message_item};
use frame::{Header, MAX_HEADER, Rules};

/// Decodes what one client sends. After a `Close` or a violation nothing more may be fed.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

/// A frame or a fragmented message that is not complete.
#[derive(Debug, Default)]
struct Partial {
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// The frame whose header is complete, and how many bytes of its payload came.
    frame: Option<(Header, usize)>,
    control: Vec<u8>,
    /// Outlives frames while a message is fragmented.
    message: Option<Message>,
}

impl Decoder {
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: None }
    }

    /// Eats the input, unmasking it in place, and returns how many bytes were used: all, unless the sink answered
    /// `Pause` or a `Close` came. What is incomplete is taken in as far as it goes.
    ///
    /// `max_message` is in bytes and is judged from the frame header, before anything is kept.
    ///
    /// # Errors
    /// The first violation of RFC 6455; the items before it have been delivered.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        kind: Kind,
        max_message: usize,
        sink: &mut impl FnMut(Item<'_>) -> Flow,
    ) -> Result<usize, Violation> {
        let rules = Rules { kind, max_message, gathered: None };
        let mut used = 0;
        while used < input.len() {
            let rest = &mut input[used..];
            let whole = match self.partial {
                None => decode_whole(rest, &rules, sink)?,
                Some(_) => None,
            };
            let (step, flow) = match whole {
                Some(done) => done,
                None => self.decode_partial(rest, rules, sink)?,
            };
            used += step;
            if flow == Flow::Pause {
                break;
            }
        }
        Ok(used)
    }

    /// True between messages: the next byte begins a frame, and nothing is held.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Memory held for what is incomplete, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            size_of::<Partial>() + partial.control.capacity() + partial.message.as_ref().map_or(0, Message::held_bytes)
        })
    }

    fn decode_partial(
        &mut self,
        input: &mut [u8],
        rules: Rules,
        sink: &mut impl FnMut(Item<'_>) -> Flow,
    ) -> Result<(usize, Flow), Violation> {
        let partial = self.partial.get_or_insert_default();
        let done = partial.take(input, rules, sink)?;
        if partial.is_empty() {
            self.partial = None;
        }
        Ok(done)
    }
}

/// A frame that is a whole message (or a control frame) and lies whole in the input; None if the next one is not so.
#[inline]
fn decode_whole(
    input: &mut [u8],
    rules: &Rules,
    sink: &mut impl FnMut(Item<'_>) -> Flow,
) -> Result<Option<(usize, Flow)>, Violation> {
    let Some(header) = frame::parse(input, rules)? else {
        return Ok(None);
    };
    let end = header.size + header.length;
    if !header.fin || input.len() < end {
        return Ok(None);
    }
    let payload = &mut input[header.size..end];
    frame::unmask(payload, header.mask, 0);
    let item = match header.opcode {
        frame::TEXT | frame::BINARY => message_item(header.opcode == frame::TEXT, payload)?,
        opcode => control_item(opcode, payload)?,
    };
    Ok(Some((end, deliver(item, sink))))
}

fn control_item(opcode: u8, payload: &[u8]) -> Result<Item<'_>, Violation> {
    match opcode {
        frame::CLOSE => close_item(payload),
        frame::PING => Ok(Item::Ping(payload)),
        _ => Ok(Item::Pong),
    }
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.header_len == 0 && self.message.is_none()
    }

    /// Takes in bytes up to the end of the input or of the frame.
    fn take(
        &mut self,
        input: &mut [u8],
        mut rules: Rules,
        sink: &mut impl FnMut(Item<'_>) -> Flow,
    ) -> Result<(usize, Flow), Violation> {
        rules.gathered = self.message.as_ref().map(Message::len);
        let mut used = self.take_header(input, &rules)?;
        let Some((header, before)) = self.frame else {
            return Ok((used, Flow::Continue));
        };
        let rest = &mut input[used..];
        let piece = rest.len().min(header.length - before);
        let payload = &mut rest[..piece];
        frame::unmask(payload, header.mask, before);
        self.keep(header.opcode, payload)?;
        used += piece;
        if before + piece < header.length {
            self.frame = Some((header, before + piece));
            return Ok((used, Flow::Continue));
        }
        Ok((used, self.finish(header, sink)?))
    }

    fn take_header(&mut self, input: &[u8], rules: &Rules) -> Result<usize, Violation> {
        let mut used = 0;
        while self.frame.is_none() && used < input.len() {
            self.header[self.header_len] = input[used];
            self.header_len += 1;
            used += 1;
            self.frame = frame::parse(&self.header[..self.header_len], rules)?.map(|header| (header, 0));
        }
        Ok(used)
    }

    fn keep(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Violation> {
        if frame::is_control(opcode) {
            self.control.extend_from_slice(payload);
            return Ok(());
        }
        let text = opcode == frame::TEXT;
        self.message.get_or_insert_with(|| Message::new(text)).push(payload)
    }

    fn finish(&mut self, header: Header, sink: &mut impl FnMut(Item<'_>) -> Flow) -> Result<Flow, Violation> {
        self.frame = None;
        self.header_len = 0;
        if frame::is_control(header.opcode) {
            let payload = std::mem::take(&mut self.control);
            return Ok(deliver(control_item(header.opcode, &payload)?, sink));
        }
        if !header.fin {
            return Ok(deliver(Item::Fragment, sink));
        }
        match self.message.take() {
            Some(message) => Ok(deliver(message.item()?, sink)),
            None => Ok(Flow::Continue),
        }
    }
}
