//! TCP records: 1 byte type (0 message, 1 close), 3 bytes length big-endian, payload. Bytes from a client in, items out.
//!
//! Never does I/O, never reads the preface, and copies no record that lies whole in the input. The contract is in
//! core/BOUNDARY.md. Read next: ../wire.rs for items, message.rs for what comes in pieces.
use crate::wire::message::Message;
use crate::wire::{
    Flow, Item, Kind, MAX_CONTROL, NO_CODE, Violation, close_item, deliver, message_item, reason_that_fits,
};

/// First bytes of a connection that speaks records of Protocol Buffers.
pub const PREFACE_BINARY: [u8; 4] = *b"\0LLP";
/// First bytes of a connection that speaks records of JSON.
pub const PREFACE_TEXT: [u8; 4] = *b"\0LLJ";
/// The longest payload that a record can announce, in bytes.
pub const MAX_PAYLOAD: usize = 0xff_ffff;

const MESSAGE: u8 = 0;
const CLOSE: u8 = 1;
const HEADER_SIZE: usize = 4;

/// Decodes what one client sends behind the preface. After a `Close` or a violation nothing more may be fed.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

/// A record that is not complete.
#[derive(Debug)]
struct Partial {
    header: [u8; HEADER_SIZE],
    header_len: usize,
    payload: Message,
}

#[derive(Clone, Copy)]
struct Header {
    close: bool,
    length: usize,
}

impl Decoder {
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: None }
    }

    /// Eats the input and returns how many bytes were used: all, unless the sink answered `Pause` or a `Close` came.
    /// What is incomplete is taken in as far as it goes.
    ///
    /// kind: `Text` yields text and checks UTF-8; the others yield binary. `max_message` is in bytes and is judged from
    /// the record header, before anything is kept. The input stays as it is; it is `&mut` as for WebSocket.
    ///
    /// # Errors
    /// The first violation; the items before it have been delivered.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        kind: Kind,
        max_message: usize,
        sink: &mut impl FnMut(Item<'_>) -> Flow,
    ) -> Result<usize, Violation> {
        let text = kind == Kind::Text;
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            let whole = match self.partial {
                None => decode_whole(rest, text, max_message, sink)?,
                Some(_) => None,
            };
            let (step, flow) = match whole {
                Some(done) => done,
                None => self.decode_partial(rest, text, max_message, sink)?,
            };
            used += step;
            if flow == Flow::Pause {
                break;
            }
        }
        Ok(used)
    }

    /// True between records: nothing is held.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Memory held for what is incomplete, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| size_of::<Partial>() + partial.payload.held_bytes())
    }

    fn decode_partial(
        &mut self,
        input: &[u8],
        text: bool,
        max_message: usize,
        sink: &mut impl FnMut(Item<'_>) -> Flow,
    ) -> Result<(usize, Flow), Violation> {
        let fresh = || Box::new(Partial { header: [0; HEADER_SIZE], header_len: 0, payload: Message::new(text) });
        let mut partial = self.partial.take().unwrap_or_else(fresh);
        let (used, header) = partial.take(input, max_message)?;
        let Some(header) = header else {
            self.partial = Some(partial);
            return Ok((used, Flow::Continue));
        };
        let item = if header.close { close_item(partial.payload.bytes())? } else { partial.payload.item()? };
        Ok((used, deliver(item, sink)))
    }
}

impl Partial {
    /// Takes in bytes up to the end of the input or of the record; the header comes back when the record is complete.
    fn take(&mut self, input: &[u8], max_message: usize) -> Result<(usize, Option<Header>), Violation> {
        let used = input.len().min(HEADER_SIZE - self.header_len);
        self.header[self.header_len..][..used].copy_from_slice(&input[..used]);
        self.header_len += used;
        let Some(header) = parse(&self.header[..self.header_len], max_message)? else {
            return Ok((used, None));
        };
        if header.close {
            self.payload.make_binary();
        }
        let rest = &input[used..];
        let piece = rest.len().min(header.length - self.payload.len());
        self.payload.push(&rest[..piece])?;
        let complete = self.payload.len() == header.length;
        Ok((used + piece, complete.then_some(header)))
    }
}

fn decode_whole(
    input: &[u8],
    text: bool,
    max_message: usize,
    sink: &mut impl FnMut(Item<'_>) -> Flow,
) -> Result<Option<(usize, Flow)>, Violation> {
    let Some(header) = parse(input, max_message)? else {
        return Ok(None);
    };
    let end = HEADER_SIZE + header.length;
    let Some(payload) = input.get(HEADER_SIZE..end) else {
        return Ok(None);
    };
    let item = if header.close { close_item(payload)? } else { message_item(text, payload)? };
    Ok(Some((end, deliver(item, sink))))
}

/// Reads a header from the front of the bytes; None while it is incomplete. Fails as early as the bytes allow.
fn parse(bytes: &[u8], max_message: usize) -> Result<Option<Header>, Violation> {
    let close = match bytes.first() {
        None => return Ok(None),
        Some(&MESSAGE) => false,
        Some(&CLOSE) => true,
        Some(_) => return Err(Violation::protocol("the record type must be 0 or 1")),
    };
    let Some(&[_, high, middle, low]) = bytes.first_chunk() else {
        return Ok(None);
    };
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    if close && length > MAX_CONTROL {
        return Err(Violation::protocol("a close takes at most 125 bytes"));
    }
    if !close && length > max_message {
        return Err(Violation::too_big());
    }
    Ok(Some(Header { close, length }))
}

/// The header of a message record.
///
/// # Panics
/// When len is beyond `MAX_PAYLOAD`: the settings must not allow such messages.
#[must_use]
pub fn encode_header(len: usize) -> [u8; 4] {
    assert!(len <= MAX_PAYLOAD, "a record carries at most 16 MiB - 1, not {len} bytes");
    let [high, middle, low] = low_bytes(len);
    [MESSAGE, high, middle, low]
}

/// Appends a close. Code 1005 writes a close without code and reason; a reason beyond 123 bytes is cut between characters.
pub fn encode_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let payload = match code {
        NO_CODE => Vec::new(),
        _ => [&code.to_be_bytes(), reason_that_fits(reason).as_bytes()].concat(),
    };
    out.push(CLOSE);
    out.extend_from_slice(&low_bytes(payload.len()));
    out.extend_from_slice(&payload);
}

fn low_bytes(len: usize) -> [u8; 3] {
    let bytes = (len as u64).to_be_bytes();
    [bytes[5], bytes[6], bytes[7]]
}
