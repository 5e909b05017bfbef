//! What must hold for every request that opens a stream and for everything that is said on one; see oracles.rs.
//!
//! The outcome does not depend on how the request was split, and a plain reader of chunks and events, written here by the
//! RFC and the HTML standard, gets what was said.
use crate::oracles::{Answer, Random, parse};
use longlink_core::wire::http::Parsed;
use longlink_core::wire::stream::{self, Body, Coding};

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// The header or the body has not come whole.
    Incomplete,
    /// The status of the answer.
    Answered(u16),
    /// The message, and whether bytes follow it.
    Open { message: Vec<u8>, more: bool },
}

/// Reads a request that comes in pieces of this size.
pub(crate) fn open(request: &[u8], piece: usize, max_body: usize) -> Opened {
    let mut head = Vec::new();
    let mut body: Option<Body> = None;
    for (index, part) in request.chunks(piece.max(1)).enumerate() {
        let mut rest = part.to_vec();
        if body.is_none() {
            head.extend_from_slice(part);
            match parse(&head, &[], 8192, max_body) {
                Parsed::Incomplete => continue,
                Parsed::Stream { used, length, .. } => {
                    body = Some(Body::new(length));
                    rest = head.split_off(used);
                }
                Parsed::Upgrade { .. } => return Opened::Answered(101),
                Parsed::Preflight { .. } => return Opened::Answered(204),
                Parsed::Reject { status, .. } => return Opened::Answered(status),
            }
        }
        let body = body.as_mut().expect("just made");
        let Ok(used) = body.take(&rest) else { return Opened::Answered(400) };
        let Some(message) = body.message() else { continue };
        let more = used < rest.len() || (index + 1) * piece.max(1) < request.len();
        return Opened::Open { message: message.to_vec(), more };
    }
    Opened::Incomplete
}

/// What a reader of server-sent events hears: the kind of event (empty for a message) and its data.
pub(crate) fn heard(mut bytes: &[u8]) -> (Vec<(String, String)>, bool) {
    let mut text = Vec::new();
    let mut ended = false;
    while !bytes.is_empty() {
        assert!(!ended, "nothing follows the last chunk");
        let line = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a size");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).expect("digits"), 16).expect("hex");
        let (data, rest) = bytes[line + 2..].split_at(size);
        assert!(rest.starts_with(b"\r\n"), "a chunk has its size");
        text.extend_from_slice(data);
        bytes = &rest[2..];
        ended = size == 0;
    }
    (events(std::str::from_utf8(&text).expect("UTF-8")), ended)
}

/// HTML section 9.2.6, for a text whose lines may end in any of the three ways.
fn events(text: &str) -> Vec<(String, String)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    assert!(text.is_empty() || text.ends_with("\n\n"), "every event is finished");
    let mut heard = Vec::new();
    for block in text.split("\n\n") {
        let (mut kind, mut data) = (String::new(), None::<String>);
        for line in block.split('\n').filter(|line| !line.starts_with(':') && !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("name: value");
            match name {
                "event" => value.clone_into(&mut kind),
                "data" => data = Some(data.map_or_else(|| value.to_owned(), |before| before + "\n" + value)),
                other => panic!("a field {other}"),
            }
        }
        heard.extend(data.filter(|data| !data.is_empty()).map(|data| (kind, data)));
    }
    heard
}

pub(crate) fn check_stream(data: &[u8]) {
    let Some((&[first, seed], bytes)) = data.split_first_chunk() else {
        return;
    };
    let max_body = if first & 1 == 0 { 65_536 } else { 20 };
    let whole = open(bytes, bytes.len(), max_body);
    let mut random = Random::new(seed.into());
    for piece in [1, 2, 7, 1 + random.below(bytes.len().max(1))] {
        if bytes.len() <= 4096 || piece > 1 {
            assert_eq!(open(bytes, piece, max_body), whole, "in pieces of {piece}");
        }
    }
    if let Opened::Open { message, .. } = &whole {
        assert!((1..=max_body).contains(&message.len()));
        check_said(std::str::from_utf8(message).expect("a message is UTF-8"));
    }
    check_said(&String::from_utf8_lossy(bytes));
}

/// A message, a comment and a close with these words come out as they went in.
fn check_said(text: &str) {
    let [chunked, plain] = [Coding::Chunked, Coding::Plain].map(|coding| {
        let mut bytes = Vec::new();
        stream::encode_message(text.as_bytes(), coding, &mut bytes);
        stream::encode_heartbeat(coding, &mut bytes);
        stream::encode_close(4000, text, coding, &mut bytes);
        bytes
    });
    let (mut said, ended) = heard(&chunked);
    assert_eq!(said, events(std::str::from_utf8(&plain).expect("UTF-8")), "chunks change nothing");
    let (kind, close) = said.pop().expect("a close");
    assert!(ended && kind == "close" && close.starts_with("{\"code\":4000,\"reason\":\"") && close.ends_with("\"}"));
    assert!(!close.contains(char::is_control) || text.contains(|letter| letter > '\u{7e}'));
    let lines = text.replace('\r', "\n");
    if text.is_empty() {
        assert!(said.is_empty());
    } else if lines.contains(|letter| letter != '\n') {
        assert_eq!(said, [(String::new(), lines)]);
    }
    for (coding, field) in [(Coding::Chunked, Some("chunked")), (Coding::Plain, None)] {
        let mut head = Vec::new();
        stream::encode_head(coding, &mut head);
        let answer = Answer::read(&head);
        assert_eq!((answer.status, answer.field("Transfer-Encoding")), (200, field));
    }
}
