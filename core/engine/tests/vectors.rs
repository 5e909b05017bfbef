//! The golden vectors of proto/vectors, against all framings: at once, byte by byte, and for every frame unchanged.
use longlink_core::wire::http::{self, Parsed};
use longlink_core::wire::stream::{self, Body, Coding};
use longlink_core::wire::{Flow, Item, Kind, Violation, tcp, websocket};
use serde_json::{Value, json};

const LIMIT: usize = 65_536;

fn vectors(file: &str, list: &str) -> Vec<Value> {
    let path = format!("{}/../../proto/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let mut all: Value = serde_json::from_str(&text).expect(&path);
    let Value::Array(found) = all[list].take() else { panic!("{path} has no list {list}") };
    assert!(!found.is_empty(), "{path}: {list} is empty");
    found
}

fn bytes(vector: &Value) -> Vec<u8> {
    let hex = vector["hex"].as_str().expect("hex");
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut all, byte| {
        write!(all, "{byte:02x}").expect("a string takes all");
        all
    })
}

fn kind(vector: &Value) -> Kind {
    match vector["kind"].as_str() {
        Some("any") => Kind::Any,
        Some("binary") => Kind::Binary,
        Some("text") => Kind::Text,
        other => panic!("kind {other:?}"),
    }
}

fn shown(item: Item<'_>) -> Value {
    match item {
        Item::Binary(payload) => json!({"kind": "binary", "hex": hex(payload)}),
        Item::Text(payload) => json!({"kind": "text", "hex": hex(payload)}),
        Item::Heartbeat { text } => json!({"kind": "heartbeat", "text": text}),
        Item::Ping(payload) => json!({"kind": "ping", "hex": hex(payload)}),
        Item::Pong => json!({"kind": "pong"}),
        Item::Fragment => json!(null),
        Item::Close { code, reason } => {
            json!({"kind": "close", "code": code, "reason": std::str::from_utf8(reason).expect("UTF-8")})
        }
    }
}

/// Feeds the input in pieces of this size, until a violation or until a close leaves bytes unused.
fn run<F>(input: &[u8], piece: usize, mut decode: F) -> (Vec<Value>, Option<u16>)
where
    F: FnMut(&mut [u8], &mut dyn FnMut(Item<'_>) -> Flow) -> Result<usize, Violation>,
{
    let mut items = Vec::new();
    for part in input.chunks(piece) {
        let mut part = part.to_vec();
        let mut sink = |item: Item<'_>| {
            // A fragment says nothing by itself; vectors list what was said.
            items.extend((item != Item::Fragment).then(|| shown(item)));
            Flow::Continue
        };
        match decode(&mut part, &mut sink) {
            Err(violation) => return (items, Some(violation.code)),
            Ok(_) if items.last().is_some_and(|item| item["kind"] == "close") => break,
            Ok(used) => assert_eq!(used, part.len(), "bytes are left without a close"),
        }
    }
    (items, None)
}

fn by_tcp(input: &[u8], piece: usize, kind: Kind, limit: usize) -> (Vec<Value>, Option<u16>) {
    let mut decoder = tcp::Decoder::new();
    run(input, piece, |part, sink| decoder.decode(part, kind, limit, &mut |item| sink(item)))
}

fn by_websocket(input: &[u8], piece: usize, kind: Kind, limit: usize) -> (Vec<Value>, Option<u16>) {
    let mut decoder = websocket::Decoder::new();
    run(input, piece, |part, sink| decoder.decode(part, kind, limit, &mut |item| sink(item)))
}

type Reader = fn(&[u8], usize, Kind, usize) -> (Vec<Value>, Option<u16>);

fn check(file: &str, list: &str, read: Reader) {
    for vector in vectors(file, list) {
        let input = bytes(&vector);
        let limit = vector["max_message"].as_u64().expect("max_message");
        let limit = usize::try_from(limit).expect("max_message");
        let violation = vector["violation"].as_u64().map(|code| u16::try_from(code).expect("code"));
        let items = vector["items"].as_array().expect("items");
        for piece in [input.len(), 3, 1] {
            let (found, failed) = read(&input, piece, kind(&vector), limit);
            assert_eq!(&found, items, "{} in pieces of {piece}", vector["name"]);
            assert_eq!(failed, violation, "{} in pieces of {piece}", vector["name"]);
        }
    }
}

#[test]
fn tcp_records_say_what_the_vectors_say() {
    check("tcp.json", "records", by_tcp);
}

#[test]
fn websocket_frames_say_what_the_vectors_say() {
    check("websocket.json", "frames", by_websocket);
}

#[test]
fn the_prefaces_are_those_of_the_vectors() {
    for vector in vectors("tcp.json", "prefaces") {
        let expected = match kind(&vector) {
            Kind::Text => tcp::PREFACE_TEXT,
            _ => tcp::PREFACE_BINARY,
        };
        assert_eq!(bytes(&vector), expected);
    }
}

#[test]
fn every_frame_passes_both_framings_unchanged() {
    for vector in vectors("frames.json", "frames") {
        let payload = bytes(&vector);
        let item = vec![json!({"kind": "binary", "hex": hex(&payload)})];
        let record = [&tcp::encode_header(payload.len())[..], &payload].concat();
        let frame = masked(&payload);
        for piece in [record.len() + frame.len(), 7, 1] {
            assert_eq!(by_tcp(&record, piece, Kind::Binary, LIMIT), (item.clone(), None));
            assert_eq!(by_websocket(&frame, piece, Kind::Binary, LIMIT), (item.clone(), None));
        }
    }
}

/// The frame that a client sends: the server's own header with the mask bit, a key, and the payload under it.
fn masked(payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let (mut header, size) = websocket::encode_header(false, payload.len());
    header[1] |= 0x80;
    let hidden = payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key);
    header[..size].iter().copied().chain(KEY).chain(hidden).collect()
}

/// The status, the message, and how many bytes follow it, of a request that comes in pieces of this size.
fn open(request: &[u8], piece: usize, limit: usize) -> (u16, Option<String>, usize) {
    let mut came = Vec::new();
    for part in request.chunks(piece) {
        came.extend_from_slice(part);
        let rules = http::Rules { known: &[], max_header: 8192, max_body: limit, trusted: None };
        match http::parse(&came, rules) {
            Parsed::Incomplete => {}
            Parsed::Stream { used, length, .. } => return read_body(&request[used..], piece, length),
            Parsed::Preflight { .. } => return (204, None, 0),
            Parsed::Upgrade { .. } => return (101, None, 0),
            Parsed::Reject { status, .. } => return (status, None, 0),
        }
    }
    panic!("no vector is incomplete");
}

fn read_body(bytes: &[u8], piece: usize, length: usize) -> (u16, Option<String>, usize) {
    let mut body = Body::new(length);
    let mut read = 0;
    for part in bytes.chunks(piece) {
        match body.take(part) {
            Ok(used) => read += used,
            Err(_) => return (400, None, 0),
        }
    }
    (200, body.message().map(hex), bytes.len() - read)
}

#[test]
fn requests_for_streams_are_answered_as_the_vectors_say() {
    for vector in vectors("stream.json", "requests") {
        let request = bytes(&vector);
        let limit = usize::try_from(vector["max_message"].as_u64().expect("max_message")).expect("max_message");
        for piece in [request.len(), 3, 1] {
            let (status, message, behind) = open(&request, piece, limit);
            assert_eq!(Some(u64::from(status)), vector["status"].as_u64(), "{} in pieces of {piece}", vector["name"]);
            assert_eq!(message.as_deref(), vector["message"].as_str(), "{}", vector["name"]);
            assert_eq!(behind > 0, vector["violation"] == json!(1002), "{}", vector["name"]);
        }
    }
}

#[test]
fn streams_say_what_the_vectors_say() {
    for vector in vectors("stream.json", "says") {
        let mut written = Vec::new();
        if let Some(text) = vector["text"].as_str() {
            stream::encode_message(text.as_bytes(), Coding::Chunked, &mut written);
        } else if let Some(reason) = vector["reason"].as_str() {
            let code = vector["code"].as_u64().expect("code");
            stream::encode_close(u16::try_from(code).expect("code"), reason, Coding::Chunked, &mut written);
        } else {
            stream::encode_heartbeat(Coding::Chunked, &mut written);
        }
        assert_eq!(hex(&written), vector["hex"].as_str().expect("hex"), "{}", vector["name"]);
    }
}
