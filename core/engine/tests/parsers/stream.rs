//! Requests that open a stream, in pieces of any size, and what is said on one.
use crate::oracles::{check_request, known_subprotocols, parse};
use crate::streams::{Opened, heard, open};
use longlink_core::wire::Violation;
use longlink_core::wire::http::Parsed;
use longlink_core::wire::stream::{Coding, encode_close, encode_heartbeat, encode_message, refuse_body};

const BODY: &str = r#"{"id":1,"connect":{"version":1}}"#;

fn request(line: &str, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\nHost: localhost\r\n{}\r\n{body}", fields.concat()).into_bytes()
}

fn post(fields: &[(&str, &str)]) -> Vec<u8> {
    request("POST /v1/events HTTP/1.1", fields, BODY)
}

/// The outcome, which must be the same in pieces of any size.
fn opened(request: &[u8], max_body: usize) -> Opened {
    let whole = open(request, request.len(), max_body);
    for piece in [1, 2, 3, 50, request.len() - 1] {
        assert_eq!(open(request, piece, max_body), whole, "in pieces of {piece}");
    }
    whole
}

fn status(request: &[u8]) -> u16 {
    match opened(request, 65_536) {
        Opened::Answered(status) => status,
        Opened::Open { .. } => 200,
        Opened::Incomplete => 0,
    }
}

#[test]
fn a_request_in_http_1_0_opens_a_stream_without_chunks_and_needs_no_host() {
    for (version, host, expected) in [
        ("1.1", "Host: x\r\n", Some(Coding::Chunked)),
        ("1.0", "Host: x\r\n", Some(Coding::Plain)),
        ("1.0", "", Some(Coding::Plain)),
        ("1.1", "", None),
        ("1.0", "Host: a b\r\n", None),
        ("1.0", "Transfer-Encoding: chunked\r\n", None),
    ] {
        let request = format!("POST /v1/events HTTP/{version}\r\n{host}Content-Length: 7\r\n\r\n");
        let coding = match parse(request.as_bytes(), &[], 8192, 100) {
            Parsed::Stream { coding, length: 7, .. } => Some(coding),
            Parsed::Reject { status: 400, .. } => None,
            other => panic!("{request}: {other:?}"),
        };
        assert_eq!(coding, expected, "{request}");
    }
}

#[test]
fn without_chunks_the_events_stand_alone() {
    let mut bytes = Vec::new();
    encode_message(b"{\n}", Coding::Plain, &mut bytes);
    encode_heartbeat(Coding::Plain, &mut bytes);
    encode_close(4000, "bye", Coding::Plain, &mut bytes);
    let expected = "data: {\ndata: }\n\n:\n\nevent: close\ndata: {\"code\":4000,\"reason\":\"bye\"}\n\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn the_body_is_the_one_message() {
    let message = BODY.as_bytes().to_vec();
    let length = BODY.len().to_string();
    assert_eq!(opened(&post(&[("Content-Length", &length)]), BODY.len()), Opened::Open { message, more: false });
    let short = (BODY.len() - 2).to_string();
    let message = BODY.as_bytes()[..BODY.len() - 2].to_vec();
    assert_eq!(opened(&post(&[("Content-Length", &short)]), 65_536), Opened::Open { message, more: true });
    let long = (BODY.len() + 1).to_string();
    assert_eq!(opened(&post(&[("Content-Length", &long)]), 65_536), Opened::Incomplete);
}

#[test]
fn what_browsers_and_libraries_write_is_taken() {
    let length = BODY.len().to_string();
    for (name, value) in [
        ("Content-Type", "application/json"),
        ("Content-Type", "text/plain;charset=UTF-8"),
        ("Origin", "https://anywhere.example"),
        ("Connection", "keep-alive"),
        ("Accept", "text/event-stream"),
        ("Upgrade", "h2c"),
    ] {
        assert_eq!(status(&post(&[("Content-Length", &length), (name, value)])), 200, "{name}: {value}");
    }
    for line in ["POST /v1/events?v=1 HTTP/1.1", "POST http://chat.example.com/v1/events HTTP/1.1"] {
        assert_eq!(status(&request(line, &[("content-length", &length)], BODY)), 200, "{line}");
    }
}

#[test]
fn what_two_readers_could_take_differently_is_refused() {
    let length = BODY.len().to_string();
    let length = length.as_str();
    let doubled = format!("{length}, {length}");
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[], 411),
        (&[("Transfer-Encoding", "chunked")], 400),
        (&[("Transfer-Encoding", "chunked"), ("Content-Length", length)], 400),
        (&[("Content-Length", length), ("Transfer-Encoding", "identity")], 400),
        (&[("Content-Length", length), ("Content-Length", length)], 400),
        (&[("Content-Length", &doubled)], 400),
        (&[("Content-Length", "")], 400),
        (&[("Content-Length", "0")], 400),
        (&[("Content-Length", "+5")], 400),
        (&[("Content-Length", "-5")], 400),
        (&[("Content-Length", "0x5")], 400),
        (&[("Content-Length", "5 5")], 400),
        (&[("Content-Length", "65537")], 413),
        (&[("Content-Length", "99999999999999999999999999")], 413),
        (&[("Content-Length", length), ("Content-Encoding", "gzip")], 415),
        (&[("Content-Length", length), ("Expect", "100-continue")], 417),
        (&[("Content-Length", length), ("Host", "twice")], 400),
    ];
    for (fields, expected) in cases {
        assert_eq!(status(&post(fields)), *expected, "{fields:?}");
    }
}

#[test]
fn only_posts_to_the_path_open_a_stream() {
    let length = BODY.len().to_string();
    for (line, expected) in [
        ("GET /v1/events HTTP/1.1", 405),
        ("PUT /v1/events HTTP/1.1", 405),
        ("POST /v1/events HTTP/2.0", 400),
        ("POST /v1/events/ HTTP/1.1", 404),
        ("POST /v1/event HTTP/1.1", 404),
        ("POST //v1/events HTTP/1.1", 404),
    ] {
        assert_eq!(status(&request(line, &[("Content-Length", &length)], BODY)), expected, "{line}");
    }
}

#[test]
fn a_body_that_is_no_utf_8_is_refused_as_early_as_that_is_known() {
    let mut bytes = request("POST /v1/events HTTP/1.1", &[("Content-Length", "9")], "abc");
    bytes.push(0xff);
    assert_eq!(status(&bytes), 400);
    let mut cut = request("POST /v1/events HTTP/1.1", &[("Content-Length", "2")], "a");
    cut.push(0xc3);
    assert_eq!(status(&cut), 400);
    let answer = String::from_utf8(refuse_body(&Violation { code: 1007, reason: "no UTF-8" })).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nAccess-Control-Allow-Origin: *\r\n") && answer.ends_with("\r\n\r\nno UTF-8\n"),
        "{answer}"
    );
}

#[test]
fn a_page_of_another_origin_may_ask_before_it_posts_and_may_read_why_it_is_refused() {
    let answer = |request: &[u8]| match check_request(request, &known_subprotocols(), 8192) {
        Parsed::Preflight { response } => String::from_utf8(response.to_vec()).unwrap(),
        Parsed::Reject { response, .. } => String::from_utf8(response).unwrap(),
        other => panic!("{other:?}"),
    };
    let asked = answer(&request("OPTIONS /v1/events HTTP/1.1", &[("Access-Control-Request-Method", "POST")], ""));
    for line in ["HTTP/1.1 204 ", "Allow-Origin: *\r\n", "Allow-Methods: POST\r\n", "Allow-Headers: Content-Type\r\n"] {
        assert!(asked.contains(line), "{asked}");
    }
    assert!(answer(&post(&[])).contains("\r\nAccess-Control-Allow-Origin: *\r\n"));
    let method = answer(&request("GET /v1/events HTTP/1.1", &[], ""));
    assert!(method.contains("\r\nAllow: POST, OPTIONS\r\nAccess-Control-Allow-Origin: *\r\n"), "{method}");
    assert_eq!(status(&request("OPTIONS /v1/events HTTP/1.1", &[("Content-Length", "1")], "x")), 400);
}

#[test]
fn messages_are_events_and_heartbeats_are_comments() {
    let mut bytes = Vec::new();
    encode_message(br#"{"id":1}"#, Coding::Chunked, &mut bytes);
    encode_message(b"", Coding::Chunked, &mut bytes);
    encode_heartbeat(Coding::Chunked, &mut bytes);
    assert_eq!(bytes, b"10\r\ndata: {\"id\":1}\n\n\r\n3\r\n:\n\n\r\n3\r\n:\n\n\r\n");
}

#[test]
fn a_line_end_within_a_message_cannot_begin_another_event() {
    let mut bytes = Vec::new();
    encode_message(b"{\n\n\"event: close\"\r\n}", Coding::Chunked, &mut bytes);
    assert_eq!(heard(&bytes), (vec![(String::new(), "{\n\n\"event: close\"\n\n}".to_owned())], false));
}

#[test]
fn a_close_is_the_last_event_and_its_reason_is_json() {
    let mut bytes = Vec::new();
    encode_close(4000, "a \"b\" \\ \n\u{20ac}", Coding::Chunked, &mut bytes);
    let data = "{\"code\":4000,\"reason\":\"a \\\"b\\\" \\\\ \\u000a\u{20ac}\"}".to_owned();
    assert_eq!(heard(&bytes), (vec![("close".to_owned(), data)], true));
    let mut long = Vec::new();
    encode_close(4000, &"x".repeat(200), Coding::Chunked, &mut long);
    assert_eq!(heard(&long).0[0].1.matches('x').count(), 123);
}
