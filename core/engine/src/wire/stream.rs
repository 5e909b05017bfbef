//! The stream, for clients behind proxies that let no WebSocket through: one POST, answered by server-sent events without end.
//!
//! The body of the request is the only message of the client; what the server says are events in chunks (RFC 9112 section
//! 7.1, HTML section 9.2). Never does I/O. Read next: http.rs for the header, message.rs for what comes in pieces.
use std::fmt::Write as _;
use std::io::Write as _;

use httparse::{Header, Request};

use crate::wire::http::{self, Refusal, Wish};
use crate::wire::message::Message;
use crate::wire::{Violation, reason_that_fits};

/// Where streams begin.
pub(super) const PATH: &str = "/v1/events";

/// What a page of any origin may read; who someone is comes from a token inside the frames only.
const ANY_ORIGIN: &str = "Access-Control-Allow-Origin: *\r\n";
const ALLOW: &str = "Allow: POST, OPTIONS\r\nAccess-Control-Allow-Origin: *\r\n";

/// How the answer is cut. A client or proxy of HTTP/1.0 knows no chunks: the end of TCP ends its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Chunked,
    Plain,
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-store\r\nX-Accel-Buffering: no\r\nAccess-Control-Allow-Origin: *\r\n";

/// Appends what the server answers to a request that is whole; events follow.
pub fn encode_head(coding: Coding, out: &mut Vec<u8>) {
    out.extend_from_slice(HEAD.as_bytes());
    if coding == Coding::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What a browser is told that asks before it posts from a page of another origin.
pub(super) const PREFLIGHT: &[u8] =
    b"HTTP/1.1 204 No Content\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n\
    Access-Control-Allow-Methods: POST\r\nAccess-Control-Allow-Headers: Content-Type\r\n\
    Access-Control-Max-Age: 86400\r\n\r\n";

// The request ----------------------------------------------------------------------------------------------------------

/// The rules for a request to `PATH`; returns the length of its body and the coding of the answer. Whatever two readers could take differently is refused.
pub(super) fn check<'a, 'n>(request: &Request<'_, 'a>, max_body: usize) -> Result<Wish<'a, 'n>, Refusal> {
    let fields = &*request.headers;
    let checked = match request.method {
        Some("POST") => check_post(request, fields, max_body).map(|length| Wish::Stream(length, coding(request))),
        Some("OPTIONS") => check_preflight(request, fields),
        _ => return Err(Refusal::new(405, "a stream begins with POST").with(ALLOW)),
    };
    checked.map_err(|refusal| refusal.with(ANY_ORIGIN))
}

fn coding(request: &Request) -> Coding {
    if request.version == Some(0) { Coding::Plain } else { Coding::Chunked }
}

fn check_preflight<'a, 'n>(request: &Request, fields: &[Header]) -> Result<Wish<'a, 'n>, Refusal> {
    http::check_host(request)?;
    http::check_no_body(fields)?;
    Ok(Wish::Preflight)
}

fn check_post(request: &Request, fields: &[Header], max_body: usize) -> Result<usize, Refusal> {
    http::check_host(request)?;
    if http::values(fields, "Transfer-Encoding").next().is_some() {
        return Err(Refusal::bad("a body with Transfer-Encoding is not taken here: send Content-Length"));
    }
    if http::values(fields, "Content-Encoding").next().is_some() {
        return Err(Refusal::new(415, "a body with Content-Encoding is not taken here"));
    }
    if http::values(fields, "Expect").next().is_some() {
        return Err(Refusal::new(417, "Expect is not taken here: send the body at once"));
    }
    let length = http::only(fields, "Content-Length")?.ok_or_else(|| Refusal::new(411, "Content-Length is missing"))?;
    check_length(length, max_body)
}

fn check_length(length: &[u8], max_body: usize) -> Result<usize, Refusal> {
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::bad("Content-Length must be a number"));
    }
    // A number too long to be read is too large in any case.
    let number = std::str::from_utf8(length).ok().and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX);
    match number {
        0 => Err(Refusal::bad("the body is one frame in JSON, and this one is empty")),
        number if number > max_body => Err(Refusal::new(413, format!("the body is longer than {max_body} bytes"))),
        number => Ok(number),
    }
}

/// The body of a request, as far as it came.
#[derive(Debug)]
pub struct Body {
    text: Message,
    length: usize,
}

impl Body {
    /// length: as the header says.
    #[must_use]
    pub const fn new(length: usize) -> Self {
        Self { text: Message::new(true), length }
    }

    /// Takes in bytes up to the end of the body, and says how many; what is behind them belongs to nothing.
    ///
    /// # Errors
    /// The body is no UTF-8, as early as that is known.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, Violation> {
        let used = input.len().min(self.length - self.text.len());
        self.text.push(&input[..used])?;
        if self.text.len() == self.length {
            self.text.item()?;
        }
        Ok(used)
    }

    /// The message that it is, once it is whole.
    #[must_use]
    pub fn message(&self) -> Option<&[u8]> {
        (self.text.len() == self.length).then(|| self.text.bytes())
    }

    /// Memory held, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.text.held_bytes()
    }
}

/// The answer to a body that is no message.
#[must_use]
pub fn refuse_body(violation: &Violation) -> Vec<u8> {
    http::respond(&Refusal::bad(violation.reason).with(ANY_ORIGIN))
}

// The answer -----------------------------------------------------------------------------------------------------------

const DATA: &[u8] = b"data: ";

/// Appends a text message as one event. A line end, which JSON has between its parts only, begins another line of data.
pub fn encode_message(text: &[u8], coding: Coding, out: &mut Vec<u8>) {
    if text.is_empty() {
        return encode_heartbeat(coding, out);
    }
    let lines = || text.split(|byte| matches!(byte, b'\n' | b'\r'));
    let size = lines().map(|line| DATA.len() + line.len() + 1).sum::<usize>() + 1;
    piece(coding, out, size, |out| {
        for line in lines() {
            out.extend_from_slice(DATA);
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'\n');
    });
}

/// Appends a comment, which readers of events skip.
pub fn encode_heartbeat(coding: Coding, out: &mut Vec<u8>) {
    piece(coding, out, 3, |out| out.extend_from_slice(b":\n\n"));
}

/// Appends an event that says why the stream ends, and the last chunk. A reason beyond 123 bytes is cut.
pub fn encode_close(code: u16, reason: &str, coding: Coding, out: &mut Vec<u8>) {
    let reason = escaped(reason_that_fits(reason));
    let event = format!("event: close\ndata: {{\"code\":{code},\"reason\":\"{reason}\"}}\n\n");
    piece(coding, out, event.len(), |out| out.extend_from_slice(event.as_bytes()));
    if coding == Coding::Chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
}

fn piece(coding: Coding, out: &mut Vec<u8>, size: usize, write: impl FnOnce(&mut Vec<u8>)) {
    if coding == Coding::Plain {
        return write(out);
    }
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{size:x}\r\n");
    write(out);
    out.extend_from_slice(b"\r\n");
}

/// As it stands between the quotes of JSON.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if control < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            plain => out.push(plain),
        }
    }
    out
}
