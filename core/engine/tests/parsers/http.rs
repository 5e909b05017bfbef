//! Upgrade requests; every request is parsed at every prefix.
use crate::oracles::{check_request, known_subprotocols, parse};
use longlink_core::wire::http::{Parsed, Subprotocol, refusal};

const FIELDS: &[(&str, &str)] = &[
    ("Host", "chat.example.com:8443"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

fn request(line: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\n{}\r\n", fields.concat()).into_bytes()
}

/// The good request with one field changed; None drops it.
fn with(name: &str, value: Option<&str>) -> Vec<u8> {
    let mut fields: Vec<_> = FIELDS.iter().copied().filter(|(known, _)| *known != name).collect();
    fields.extend(value.map(|value| (name, value)));
    request("GET / HTTP/1.1", &fields)
}

/// The good request with one field more.
fn plus(name: &str, value: &str) -> Vec<u8> {
    request("GET / HTTP/1.1", &[FIELDS, &[(name, value)]].concat())
}

/// 101 or the status of the refusal; 0 for incomplete.
fn status(stream: &[u8]) -> u16 {
    match check_request(stream, &known_subprotocols(), 8192) {
        Parsed::Upgrade { .. } => 101,
        Parsed::Stream { .. } => 200,
        Parsed::Preflight { .. } => 204,
        Parsed::Reject { status, .. } => status,
        Parsed::Incomplete => 0,
    }
}

fn response(stream: &[u8], known: &[Subprotocol]) -> String {
    match check_request(stream, known, 8192) {
        Parsed::Upgrade { response, .. } | Parsed::Reject { response, .. } => String::from_utf8(response).unwrap(),
        Parsed::Preflight { response } => String::from_utf8(response.to_vec()).unwrap(),
        Parsed::Incomplete | Parsed::Stream { .. } => String::new(),
    }
}

#[test]
fn the_example_of_the_rfc_is_upgraded() {
    let answer = response(&request("GET / HTTP/1.1", FIELDS), &[]);
    assert_eq!(
        answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn frames_may_follow_at_once() {
    let head = request("GET / HTTP/1.1", FIELDS);
    let stream = [head.as_slice(), b"\x81\x80\0\0\0\0"].concat();
    let Parsed::Upgrade { used, .. } = parse(&stream, &[], 8192, 65_536) else {
        panic!("not upgraded");
    };
    assert_eq!(used, head.len());
}

#[test]
fn what_browsers_and_libraries_write_is_taken() {
    for (name, value) in [
        ("Upgrade", "WebSocket"),
        ("Upgrade", "h2c, websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Connection", "upgrade"),
        ("Host", "[::1]:80"),
        ("Host", "localhost"),
        ("Sec-WebSocket-Key", "  dGhlIHNhbXBsZSBub25jZQ==  "),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Content-Length", "0"),
        ("Origin", "https://anywhere.example"),
        ("Cookie", "caf\u{e9}=1"),
    ] {
        assert_eq!(status(&with(name, Some(value))), 101, "{name}: {value}");
    }
    assert_eq!(status(&plus("connection", "close")), 101);
    for line in ["GET /?token=x HTTP/1.1", "GET http://chat.example.com/ HTTP/1.1", "GET https://h?x HTTP/1.1"] {
        assert_eq!(status(&request(line, FIELDS)), 101, "{line}");
    }
}

#[test]
fn a_broken_field_is_refused() {
    let cases: &[(&str, Option<&str>, u16)] = &[
        ("Host", None, 400),
        ("Host", Some(""), 400),
        ("Host", Some("a b"), 400),
        ("Host", Some("user@host"), 400),
        ("Upgrade", None, 426),
        ("Upgrade", Some("websockets"), 426),
        ("Upgrade", Some("h2c"), 426),
        ("Connection", None, 400),
        ("Connection", Some("keep-alive"), 400),
        ("Sec-WebSocket-Version", None, 426),
        ("Sec-WebSocket-Version", Some("8"), 426),
        ("Sec-WebSocket-Version", Some("13, 8"), 426),
        ("Sec-WebSocket-Key", None, 400),
        ("Sec-WebSocket-Key", Some(""), 400),
        ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQ"), 400),
        ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQ=a"), 400),
        ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25j"), 400),
        ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQAA"), 400),
        ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25j!Q=="), 400),
        ("Content-Length", Some("1"), 400),
        ("Content-Length", Some("-0"), 400),
        ("Transfer-Encoding", Some("chunked"), 400),
    ];
    for (name, value, expected) in cases {
        assert_eq!(status(&with(name, *value)), *expected, "{name}: {value:?}");
    }
}

#[test]
fn fields_that_come_once_must_not_come_twice() {
    for (name, value) in [FIELDS[0], FIELDS[3], FIELDS[4]] {
        assert_eq!(status(&plus(name, value)), 400, "{name}");
    }
    assert_eq!(status(&[plus("Content-Length", "0")].concat()), 101);
}

#[test]
fn a_broken_request_line_is_refused() {
    for (line, expected) in [
        ("POST / HTTP/1.1", 405),
        ("HEAD / HTTP/1.1", 405),
        ("get / HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 404),
        ("GET /ws HTTP/1.1", 404),
        ("GET //evil HTTP/1.1", 404),
        ("GET /../ HTTP/1.1", 404),
        ("GET * HTTP/1.1", 404),
        ("GET ftp://h/ HTTP/1.1", 404),
        ("GET http://h/ws HTTP/1.1", 404),
        ("GET /#a HTTP/1.1", 404),
        ("GET / HTTP/1.0", 426),
        ("GET / HTTP/2.0", 400),
        ("GET / HTTP/1.2", 400),
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
    ] {
        assert_eq!(status(&request(line, FIELDS)), expected, "{line}");
    }
}

#[test]
fn garbage_is_refused_at_once() {
    for garbage in [
        &b"\0\x01\x02"[..],
        b"\xff\xfe",
        b"SSH-2.0-x\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n",
        b"GET / HTTP/1.1\r\nHost: a\0b\r\n",
        b"\x16\x03\x01",
    ] {
        assert_eq!(status(garbage), 400, "{garbage:?}");
    }
}

#[test]
fn bare_line_feeds_are_refused() {
    let good = String::from_utf8(request("GET / HTTP/1.1", FIELDS)).unwrap();
    assert_eq!(status(good.replace("\r\n", "\n").as_bytes()), 400);
    assert_eq!(status(good.replacen("13\r\n", "13\n", 1).as_bytes()), 400);
    assert_eq!(status(format!("\n{good}").as_bytes()), 400);
    assert_eq!(status(format!("\r\n{good}").as_bytes()), 101);
}

#[test]
fn a_header_is_bounded_in_bytes_and_in_fields() {
    let exact = |total: usize| {
        let empty = plus("Cookie", "").len();
        plus("Cookie", &"x".repeat(total - empty))
    };
    assert_eq!(status(&exact(8192)), 101);
    assert_eq!(status(&exact(8193)), 431);
    assert_eq!(status(&exact(8192)[..8191]), 0);
    assert_eq!(status(&[b'A'; 8191]), 0);
    assert_eq!(status(&[b'A'; 8192]), 431);
    let many: Vec<_> = FIELDS.iter().copied().chain([("X", "y"); 60]).collect();
    assert_eq!(status(&request("GET / HTTP/1.1", &many)), 431);
    assert_eq!(status(&request("GET / HTTP/1.1", &many[..64])), 101);
}

#[test]
fn the_client_chooses_among_the_subprotocols_known() {
    let known = known_subprotocols();
    let chosen = |value: &str| match parse(&plus("Sec-WebSocket-Protocol", value), &known, 8192, 65_536) {
        Parsed::Upgrade { subprotocol, .. } => Ok(subprotocol.map(|chosen| (chosen.name.as_str(), chosen.text))),
        Parsed::Reject { status, .. } => Err(status),
        _ => Err(0),
    };
    assert_eq!(chosen("longlink.v1"), Ok(Some(("longlink.v1", false))));
    assert_eq!(chosen("other, longlink.v1.json, longlink.v1"), Ok(Some(("longlink.v1.json", true))));
    assert_eq!(chosen("longlink.v1 ,longlink.v1.json"), Ok(Some(("longlink.v1", false))));
    assert_eq!(chosen(""), Ok(None));
    assert_eq!(chosen("LONGLINK.V1"), Err(400));
    assert_eq!(chosen("longlink.v2"), Err(400));
    let answer = response(&plus("Sec-WebSocket-Protocol", "longlink.v2"), &known);
    assert!(answer.ends_with("known: longlink.v1, longlink.v1.json\n"), "{answer}");
    let accepted = response(&plus("Sec-WebSocket-Protocol", "x, longlink.v1"), &known);
    assert!(accepted.contains("\r\nSec-WebSocket-Protocol: longlink.v1\r\n"), "{accepted}");
}

#[test]
fn offers_over_two_fields_count_in_order() {
    let fields =
        [FIELDS, &[("Sec-WebSocket-Protocol", "a, longlink.v1.json"), ("sec-websocket-protocol", "longlink.v1")]];
    let answer = response(&request("GET / HTTP/1.1", &fields.concat()), &known_subprotocols());
    assert!(answer.contains("Sec-WebSocket-Protocol: longlink.v1.json\r\n"), "{answer}");
}

#[test]
fn without_known_subprotocols_offers_are_passed_over() {
    let answer = response(&plus("Sec-WebSocket-Protocol", "anything"), &[]);
    assert!(answer.starts_with("HTTP/1.1 101 ") && !answer.contains("Protocol:"), "{answer}");
}

/// The line of text of a refusal.
fn line(stream: &[u8]) -> String {
    response(stream, &[]).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_refusal_names_the_setting_of_the_proxy_that_is_wrong() {
    let old = line(&request("GET / HTTP/1.0", &FIELDS[3..]));
    assert_eq!(old, "this proxy speaks HTTP/1.0: set proxy_http_version 1.1, and pass Upgrade and Connection");
    let fields = [FIELDS[0], FIELDS[3], FIELDS[4], ("Connection", "close")];
    let dropped = line(&request("GET / HTTP/1.1", &fields));
    assert_eq!(dropped, "no Upgrade field: the proxy must pass Upgrade and Connection");
    assert_eq!(line(&with("Connection", None)), "no Connection: upgrade: the proxy must pass Upgrade and Connection");
}

#[test]
fn a_path_of_another_port_is_answered_with_that_port() {
    for (request_line, word) in [
        ("GET /healthz HTTP/1.1", "listen.operations"),
        ("GET /readyz HTTP/1.0", "listen.operations"),
        ("HEAD /metrics HTTP/1.1", "listen.operations"),
        ("POST /v1/send HTTP/1.1", "listen.http"),
        ("GET /v1/openapi.json HTTP/1.1", "listen.http"),
        ("GET /v1/ HTTP/1.1", "listen.http"),
        ("GET /chat HTTP/1.1", "POST /v1/events"),
    ] {
        let stream = request(request_line, &FIELDS[..1]);
        assert_eq!(status(&stream), 404, "{request_line}");
        assert!(line(&stream).contains(word), "{request_line}: {}", line(&stream));
    }
}

#[test]
fn a_browser_or_a_proxy_is_known_by_its_fields() {
    let hop = |stream: &[u8]| match parse(stream, &[], 8192, 65_536) {
        Parsed::Upgrade { hop, .. } => hop,
        other => panic!("{other:?}"),
    };
    assert!(!hop(&request("GET / HTTP/1.1", FIELDS)));
    assert!(!hop(&plus("User-Agent", "Mozilla/5.0")));
    for name in ["Origin", "x-forwarded-for", "Forwarded", "VIA"] {
        assert!(hop(&plus(name, "anything")), "{name}");
    }
}

#[test]
fn a_refusal_says_what_is_missing() {
    let answer = response(&request("GET / HTTP/1.1", &FIELDS[..1]), &[]);
    assert_eq!(
        answer,
        "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 54\r\nUpgrade: websocket\r\n\r\nthis is a WebSocket endpoint: send Upgrade: websocket\n"
    );
    let version = response(&with("Sec-WebSocket-Version", Some("12")), &[]);
    assert!(version.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{version}");
    let method = response(&request("PUT / HTTP/1.1", FIELDS), &[]);
    assert!(method.contains("\r\nAllow: GET\r\n"), "{method}");
    let full = String::from_utf8(refusal(503, "the server is full")).unwrap();
    assert!(full.starts_with("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"), "{full}");
    assert!(full.ends_with("\r\n\r\nthe server is full\n"), "{full}");
}
