//! What must hold for every input of the parsers; shared by the fuzz targets and by core/engine/tests.
//!
//! Each oracle takes raw bytes, reads its options from the first two, and panics when a property is broken: the outcome
//! does not depend on how the bytes were split, nor on pauses; memory follows what came; what was accepted can be
//! written again and reads the same; every answer is well-formed.
use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine};
use longlink_core::wire::http::{self, Parsed, Subprotocol};
use longlink_core::wire::networks::Networks;
use longlink_core::wire::proxy::{self, Header};
use longlink_core::wire::{Flow, Item, Kind, Violation, forwarded, tcp, websocket};
use sha1::{Digest, Sha1};

/// An item that owns its bytes, or the violation that ended the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Binary(Vec<u8>),
    Text(Vec<u8>),
    Heartbeat(bool),
    Ping(Vec<u8>),
    Pong,
    Close(u16, Vec<u8>),
    Violated(u16),
}

impl Said {
    /// None: a fragment says nothing by itself.
    fn of(item: Item<'_>) -> Option<Self> {
        Some(match item {
            Item::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Item::Text(bytes) => Self::Text(bytes.to_vec()),
            Item::Heartbeat { text } => Self::Heartbeat(text),
            Item::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Item::Pong => Self::Pong,
            Item::Fragment => return None,
            Item::Close { code, reason } => Self::Close(code, reason.to_vec()),
        })
    }
}

/// The two framings, seen alike.
pub(crate) trait Framing: Default {
    fn decode(
        &mut self,
        input: &mut [u8],
        rules: Rules,
        sink: &mut impl FnMut(Item<'_>) -> Flow,
    ) -> Result<usize, Violation>;
    fn held_bytes(&self) -> usize;
    fn is_idle(&self) -> bool;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) kind: Kind,
    pub(crate) max_message: usize,
}

macro_rules! framing {
    ($decoder:ty) => {
        impl Framing for $decoder {
            fn decode(
                &mut self,
                input: &mut [u8],
                rules: Rules,
                sink: &mut impl FnMut(Item<'_>) -> Flow,
            ) -> Result<usize, Violation> {
                <$decoder>::decode(self, input, rules.kind, rules.max_message, sink)
            }
            fn held_bytes(&self) -> usize {
                <$decoder>::held_bytes(self)
            }
            fn is_idle(&self) -> bool {
                <$decoder>::is_idle(self)
            }
        }
    };
}
framing!(websocket::Decoder);
framing!(tcp::Decoder);

/// How a stream is cut into reads, and whether the sink pauses after every item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Split {
    Whole,
    WholeWithPauses,
    Bytes,
    Random { seed: u64, longest: usize, pauses: bool },
}

/// A small generator (xorshift64*), so that every run is the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below the bound, which is at least 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap_or(0) % bound
    }
}

/// Largest bookkeeping of a partial frame, in bytes, beside what came.
const OVERHEAD: usize = 256;

/// Feeds one stream; gives what it said and how many bytes at its end were not taken in as an item.
pub(crate) fn feed<D: Framing>(stream: &[u8], rules: Rules, split: Split) -> Vec<Said> {
    let (longest, pauses, seed) = match split {
        Split::Whole => (stream.len(), false, 0),
        Split::WholeWithPauses => (stream.len(), true, 0),
        Split::Bytes => (1, false, 0),
        Split::Random { seed, longest, pauses } => (longest, pauses, seed),
    };
    let mut random = Random::new(seed);
    let mut decoder = D::default();
    let mut said = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let step = match split {
            Split::Random { .. } => 1 + random.below(longest.max(1)),
            _ => longest,
        };
        let end = stream.len().min(at + step);
        let ended = read(&mut decoder, &stream[at..end], rules, pauses, &mut said);
        assert!(decoder.held_bytes() <= 2 * end + OVERHEAD, "memory beyond what came");
        assert_eq!(decoder.is_idle(), decoder.held_bytes() == 0);
        if ended {
            break;
        }
        at = end;
    }
    said
}

/// One read; true when the stream has ended (a close or a violation).
fn read<D: Framing>(decoder: &mut D, piece: &[u8], rules: Rules, pauses: bool, said: &mut Vec<Said>) -> bool {
    let mut input = piece.to_vec();
    let mut at = 0;
    while at < input.len() {
        let before = said.len();
        let outcome = decoder.decode(&mut input[at..], rules, &mut |item| {
            said.extend(Said::of(item));
            if pauses { Flow::Pause } else { Flow::Continue }
        });
        let used = match outcome {
            Ok(used) => used,
            Err(violation) => {
                assert!(matches!(violation.code, 1002 | 1003 | 1007 | 1009));
                said.push(Said::Violated(violation.code));
                return true;
            }
        };
        at += used;
        assert!(at <= input.len() && input[at..] == piece[at..], "what was not used is untouched");
        if matches!(said.last(), Some(Said::Close(..))) {
            return true;
        }
        assert!(used > 0 && (pauses || at == input.len()), "stopped without a reason");
        assert!(!pauses || said.len() <= before + 1, "went on after a pause");
    }
    false
}

/// Feeds a stream in every way, demands the same outcome, and returns it.
pub(crate) fn split_independent<D: Framing>(stream: &[u8], rules: Rules, seed: u64) -> Vec<Said> {
    let whole = feed::<D>(stream, rules, Split::Whole);
    let mut splits = vec![Split::WholeWithPauses, Split::Bytes];
    for (round, longest) in [2, 7, 33, stream.len()].into_iter().enumerate() {
        splits.push(Split::Random { seed: seed.wrapping_add(round as u64), longest, pauses: round % 2 == 0 });
    }
    for split in splits {
        assert_eq!(feed::<D>(stream, rules, split), whole, "{split:?}");
    }
    whole
}

fn check_items(said: &[Said], rules: Rules) {
    for item in said {
        match item {
            Said::Binary(bytes) => {
                assert!((1..=rules.max_message).contains(&bytes.len()) && rules.kind != Kind::Text);
            }
            Said::Text(bytes) => {
                assert!((1..=rules.max_message).contains(&bytes.len()) && rules.kind != Kind::Binary);
                assert!(std::str::from_utf8(bytes).is_ok());
            }
            Said::Ping(bytes) => assert!(bytes.len() <= 125),
            Said::Close(_, reason) => {
                assert!(reason.len() <= 123 && std::str::from_utf8(reason).is_ok());
            }
            Said::Heartbeat(text) => {
                assert!(rules.kind != if *text { Kind::Binary } else { Kind::Text });
            }
            Said::Pong | Said::Violated(_) => {}
        }
    }
}

/// The options in the first two bytes, and the stream behind them.
fn options(data: &[u8]) -> Option<(Rules, u64, &[u8])> {
    let (&[first, seed], stream) = data.split_first_chunk()?;
    let kind = [Kind::Any, Kind::Binary, Kind::Text][usize::from(first) % 3];
    let max_message = if first & 0x80 == 0 { 100_000 } else { 130 };
    Some((Rules { kind, max_message }, seed.into(), stream))
}

pub(crate) fn check_websocket(data: &[u8]) {
    let Some((rules, seed, stream)) = options(data) else {
        return;
    };
    let said = split_independent::<websocket::Decoder>(stream, rules, seed);
    check_items(&said, rules);
    let mut again = Vec::new();
    let mut random = Random::new(seed);
    for item in &said {
        write_frame(item, &mut random, &mut again);
    }
    let valid: Vec<Said> = said.into_iter().filter(|item| !matches!(item, Said::Violated(_))).collect();
    assert_eq!(feed::<websocket::Decoder>(&again, rules, Split::Whole), valid);
}

/// Writes what was said as the server would, then masks it as a client must.
fn write_frame(item: &Said, random: &mut Random, out: &mut Vec<u8>) {
    let mut frame = Vec::new();
    let (text, payload): (bool, &[u8]) = match item {
        Said::Violated(_) => return,
        Said::Ping(payload) => {
            return mask_control(&mut frame, out, |frame| {
                websocket::encode_ping(payload, frame);
            });
        }
        Said::Pong => {
            return mask_control(&mut frame, out, |frame| {
                websocket::encode_pong(b"pong", frame);
            });
        }
        Said::Close(code, reason) => {
            let reason = std::str::from_utf8(reason).expect("checked before");
            return mask_control(&mut frame, out, |frame| {
                websocket::encode_close(*code, reason, frame);
            });
        }
        Said::Heartbeat(text) => (*text, b""),
        Said::Binary(payload) => (false, payload),
        Said::Text(payload) => (true, payload),
    };
    let (header, used) = websocket::encode_header(text, payload.len());
    let mask: [u8; 4] = std::array::from_fn(|_| u8::try_from(random.below(256)).unwrap_or(0));
    push_masked(&header[..used], payload, mask, out);
}

fn mask_control(frame: &mut Vec<u8>, out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    encode(frame);
    push_masked(&frame[..2], &frame[2..], [0x5a, 0, 0xff, 3], out);
}

/// Appends a frame with this unmasked header, masked.
pub(crate) fn push_masked(header: &[u8], payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(header);
    out[start + 1] |= 0x80;
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

pub(crate) fn check_tcp(data: &[u8]) {
    let Some((rules, seed, stream)) = options(data) else {
        return;
    };
    let said = split_independent::<tcp::Decoder>(stream, rules, seed);
    check_items(&said, rules);
    let mut again = Vec::new();
    for item in &said {
        match item {
            Said::Binary(payload) | Said::Text(payload) => {
                again.extend_from_slice(&tcp::encode_header(payload.len()));
                again.extend_from_slice(payload);
            }
            Said::Heartbeat(_) => again.extend_from_slice(&tcp::encode_header(0)),
            Said::Close(code, reason) => {
                let reason = std::str::from_utf8(reason).expect("checked before");
                tcp::encode_close(*code, reason, &mut again);
            }
            Said::Violated(_) => {}
            Said::Ping(_) | Said::Pong => panic!("a record is no ping"),
        }
    }
    let valid = said.len() - usize::from(matches!(said.last(), Some(Said::Violated(_))));
    if !stream.is_empty() {
        assert!(stream.starts_with(&again), "a record has one form only");
    }
    assert_eq!(feed::<tcp::Decoder>(&again, rules, Split::Whole), said[..valid]);
}

pub(crate) fn known_subprotocols() -> Vec<Subprotocol> {
    [("longlink.v1", false), ("longlink.v1.json", true)]
        .map(|(name, text)| Subprotocol { name: name.into(), text })
        .into()
}

pub(crate) fn check_http(data: &[u8]) {
    let Some((&[first, _], stream)) = data.split_first_chunk() else {
        return;
    };
    let known = if first & 1 == 0 { known_subprotocols() } else { Vec::new() };
    let max_header = if first & 2 == 0 { 8192 } else { 200 };
    check_request(stream, &known, max_header);
}

/// A request of a peer that is not trusted.
pub(crate) fn parse<'n>(stream: &[u8], known: &'n [Subprotocol], max_header: usize, max_body: usize) -> Parsed<'n> {
    http::parse(stream, http::Rules { known, max_header, max_body, trusted: None })
}

/// The longest body that the requests of `check_request` may announce, in bytes.
const MAX_BODY: usize = 65_536;

/// Parses every prefix, as a connection does that sends byte by byte; gives the outcome of the whole.
pub(crate) fn check_request<'n>(stream: &[u8], known: &'n [Subprotocol], max_header: usize) -> Parsed<'n> {
    let whole = parse(stream, known, max_header, MAX_BODY);
    let step = (stream.len() / 512).max(1);
    for end in (0..stream.len()).step_by(step) {
        let part = parse(&stream[..end], known, max_header, MAX_BODY);
        assert!(part == Parsed::Incomplete || part == whole, "after {end} bytes: {part:?}, not {whole:?}");
    }
    match &whole {
        Parsed::Incomplete => assert!(stream.len() < max_header),
        Parsed::Upgrade { used, subprotocol, response, .. } => {
            assert!(*used <= max_header && stream[..*used].ends_with(b"\r\n\r\n"));
            check_upgrade(&stream[..*used], *subprotocol, response);
        }
        Parsed::Stream { used, length, .. } => {
            assert!(*used <= max_header && stream[..*used].ends_with(b"\r\n\r\n"));
            assert!((1..=MAX_BODY).contains(length));
        }
        Parsed::Preflight { response } => assert_eq!(Answer::read(response).status, 204),
        Parsed::Reject { response, status } => check_reject(response, *status),
    }
    whole
}

fn check_upgrade(head: &[u8], subprotocol: Option<&Subprotocol>, response: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    assert!(request.parse(head).is_ok_and(|status| status.is_complete()));
    let key = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = key.expect("no upgrade without a key").value;
    let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    let answer = Answer::read(response);
    assert_eq!((answer.status, answer.body), (101, ""));
    assert_eq!(answer.field("Upgrade"), Some("websocket"));
    assert_eq!(answer.field("Connection"), Some("Upgrade"));
    assert_eq!(answer.field("Sec-WebSocket-Accept"), Some(BASE64_STANDARD.encode(digest).as_str()));
    assert_eq!(answer.field("Sec-WebSocket-Protocol"), subprotocol.map(|chosen| chosen.name.as_str()));
    assert_eq!(answer.field("Sec-WebSocket-Extensions"), None);
}

fn check_reject(response: &[u8], status: u16) {
    let answer = Answer::read(response);
    assert_eq!(answer.status, status);
    assert!(matches!(status, 400 | 404 | 405 | 411 | 413 | 415 | 417 | 426 | 431));
    assert!(answer.field("Connection").is_some_and(|value| value.starts_with("close")));
    assert_eq!(answer.field("Content-Length"), Some(answer.body.len().to_string().as_str()));
    assert_eq!(answer.body.lines().count(), 1);
    assert!(answer.body.ends_with('\n'));
    assert_eq!(answer.field("Allow").is_some(), status == 405);
    assert_eq!(answer.field("Upgrade").is_some(), status == 426);
}

/// A response, taken apart by plain means.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    fields: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

impl<'a> Answer<'a> {
    pub(crate) fn read(response: &'a [u8]) -> Self {
        let response = std::str::from_utf8(response).expect("answers are text");
        let (head, body) = response.split_once("\r\n\r\n").expect("the header has an end");
        let mut lines = head.split("\r\n");
        let first = lines.next().expect("a status line").strip_prefix("HTTP/1.1 ").expect("HTTP/1.1");
        let fields = lines.map(|line| line.split_once(": ").expect("name: value")).collect();
        Self { status: first[..3].parse().expect("three digits"), fields, body }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        let mut found = self.fields.iter().filter(|(known, _)| *known == name);
        let value = found.next().map(|(_, value)| *value);
        assert!(found.next().is_none(), "{name} comes once");
        value
    }
}

/// A header of the PROXY protocol, and the same bytes as what proxies say in fields of HTTP.
pub(crate) fn check_proxy(data: &[u8]) {
    let whole = proxy::parse(data);
    let step = (data.len() / 512).max(1);
    for end in (0..data.len()).step_by(step) {
        let part = proxy::parse(&data[..end]);
        assert!(part == Header::Incomplete || part == whole, "after {end} bytes: {part:?}, not {whole:?}");
    }
    match whole {
        Header::Incomplete => assert!(data.len() < proxy::MAX_HEADER),
        Header::Malformed => {}
        Header::Whole { used, client } => {
            assert!(used <= data.len().min(proxy::MAX_HEADER));
            assert!(client.is_none_or(|client| proxy::parse(&line_for(client))
                == Header::Whole { used: line_for(client).len(), client: Some(client) }));
        }
    }
    check_forwarded(data);
}

fn line_for(client: SocketAddr) -> Vec<u8> {
    let (family, server) = if client.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::1") };
    format!("PROXY {family} {} {server} {} 7700\r\n", client.ip(), client.port()).into_bytes()
}

/// Never a trusted address, and what comes before the client's own cannot change it.
fn check_forwarded(value: &[u8]) {
    let trusted = Networks::parse(&["10.0.0.0/8", "::1"]).expect("networks");
    for name in ["X-Forwarded-For", "Forwarded"] {
        let field = |value| httparse::Header { name, value };
        let Some(client) = forwarded::client(&[field(value)], &trusted) else { continue };
        assert!(!trusted.contain(client.ip()));
        let invented: &[u8] = if name == "Forwarded" { b"for=198.51.100.1" } else { b"198.51.100.1" };
        assert_eq!(forwarded::client(&[field(invented), field(value)], &trusted), Some(client));
    }
}
