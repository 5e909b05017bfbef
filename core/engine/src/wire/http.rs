//! The HTTP/1.1 request that upgrades a connection to WebSocket (RFC 9112, RFC 6455 section 4.2.1), and its answers.
//!
//! Never does I/O, keeps nothing between calls, knows no permessage-deflate, and judges no origin: who someone is comes
//! from a token inside the frames only. Read next: stream.rs for requests to another path, websocket.rs for what follows.
use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine};
use httparse::{EMPTY_HEADER, Error, Header, Request, Status};
use sha1::{Digest, Sha1};

use crate::wire::forwarded;
use crate::wire::networks::Networks;
use crate::wire::stream::{self, Coding};

/// More header fields than this are refused like a header that is too long.
const MAX_FIELDS: usize = 64;

/// RFC 6455 section 1.3.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A subprotocol that this server speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprotocol {
    pub name: String,
    /// Its messages are text, not binary.
    pub text: bool,
}

/// client: whom a trusted proxy speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'n> {
    /// The header has no end yet.
    Incomplete,
    /// Send the response; behind the `used` bytes frames begin.
    /// hop: through a browser or a proxy, either of which may cut a silent connection.
    Upgrade {
        used: usize,
        subprotocol: Option<&'n Subprotocol>,
        hop: bool,
        client: Option<SocketAddr>,
        response: Vec<u8>,
    },
    /// Behind the `used` bytes a body of `length` begins; when it is whole a stream is open.
    Stream { used: usize, length: usize, coding: Coding, client: Option<SocketAddr> },
    /// Send the response and close; all is well.
    Preflight { response: &'static [u8] },
    /// Send the response and close.
    Reject { response: Vec<u8>, status: u16 },
}

/// Why a request is refused: status, a line of text, and fields that the status asks for.
pub(super) struct Refusal {
    status: u16,
    line: String,
    field: &'static str,
}

/// What a request asks for.
pub(super) enum Wish<'a, 'n> {
    Upgrade {
        key: &'a [u8],
        subprotocol: Option<&'n Subprotocol>,
        hop: bool,
    },
    /// The length of its body, and how the answer is cut.
    Stream(usize, Coding),
    Preflight,
}

impl Refusal {
    pub(super) fn new(status: u16, line: impl Into<String>) -> Self {
        Self { status, line: line.into(), field: "" }
    }

    pub(super) fn bad(line: impl Into<String>) -> Self {
        Self::new(400, line)
    }

    /// field: whole lines of the header.
    pub(super) fn with(self, field: &'static str) -> Self {
        Self { field, ..self }
    }
}

/// What a request is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'n> {
    /// In no order of preference; the client's order decides.
    pub known: &'n [Subprotocol],
    /// Bytes from the request line to the empty line.
    pub max_header: usize,
    /// Bytes of the request that opens a stream.
    pub max_body: usize,
    /// The peer is one of these proxies, and believed when it says whom it speaks for.
    pub trusted: Option<&'n Networks>,
}

/// Judges all that a new connection has sent so far. Call it again with more bytes after `Incomplete`.
#[must_use]
pub fn parse<'n>(input: &[u8], rules: Rules<'n>) -> Parsed<'n> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    let max_header = rules.max_header;
    let head = &input[..input.len().min(max_header)];
    let outcome = match request.parse(head) {
        Ok(Status::Complete(used)) => check(&request, &head[..used], rules).map(|wish| (used, wish)),
        Ok(Status::Partial) if head.len() < max_header => return Parsed::Incomplete,
        Ok(Status::Partial) => Err(Refusal::new(431, format!("the header is longer than {max_header} bytes"))),
        Err(error) => Err(syntax_refusal(error)),
    };
    let client = rules.trusted.and_then(|trusted| forwarded::client(request.headers, trusted));
    match outcome {
        Ok((used, Wish::Upgrade { key, subprotocol, hop })) => {
            Parsed::Upgrade { used, subprotocol, hop, client, response: accept(key, subprotocol) }
        }
        Ok((used, Wish::Stream(length, coding))) => Parsed::Stream { used, length, coding, client },
        Ok((_, Wish::Preflight)) => Parsed::Preflight { response: stream::PREFLIGHT },
        Err(refusal) => Parsed::Reject { response: respond(&refusal), status: refusal.status },
    }
}

/// A response that ends the connection, with one line of text: for refusals before anything was read, such as 503.
#[must_use]
pub fn refusal(status: u16, line: &str) -> Vec<u8> {
    respond(&Refusal::new(status, line))
}

/// The rules in the order in which a person would want to hear of them.
fn check<'a, 'n>(request: &Request<'_, 'a>, head: &[u8], rules: Rules<'n>) -> Result<Wish<'a, 'n>, Refusal> {
    check_lines(head)?;
    if path(request.path.unwrap_or_default()) == Some(stream::PATH) {
        return stream::check(request, rules.max_body);
    }
    check_request_line(request)?;
    let fields = &*request.headers;
    check_host(request)?;
    check_no_body(fields)?;
    check_upgrade(fields)?;
    Ok(Wish::Upgrade { key: key(fields)?, subprotocol: choose_subprotocol(fields, rules.known)?, hop: is_hop(fields) })
}

/// Only browsers send an origin (RFC 6455 section 4.1), and proxies say who they are (RFC 7239, RFC 9110 section 7.6.3).
fn is_hop(fields: &[Header]) -> bool {
    ["Origin", "X-Forwarded-For", "Forwarded", "Via"].iter().any(|name| values(fields, name).next().is_some())
}

fn syntax_refusal(error: Error) -> Refusal {
    match error {
        Error::TooManyHeaders => Refusal::new(431, format!("more than {MAX_FIELDS} header fields")),
        Error::Version => Refusal::bad("HTTP/1.1 is spoken here"),
        error => Refusal::bad(format!("this is not an HTTP/1.1 request: {error}")),
    }
}

/// RFC 9112 section 2.2 lets a server take a bare line feed; a client that sends one is broken or probing.
fn check_lines(head: &[u8]) -> Result<(), Refusal> {
    let bare = |pair: &[u8]| pair[1] == b'\n' && pair[0] != b'\r';
    if head.first() == Some(&b'\n') || head.windows(2).any(bare) {
        return Err(Refusal::bad("lines end with CR LF"));
    }
    Ok(())
}

fn check_request_line(request: &Request) -> Result<(), Refusal> {
    let path = path(request.path.unwrap_or_default());
    if path != Some("/") {
        return Err(Refusal::new(404, where_to_find(path.unwrap_or_default())));
    }
    if request.method != Some("GET") {
        return Err(Refusal::new(405, "only GET is allowed here").with("Allow: GET\r\n"));
    }
    if request.version != Some(1) {
        let refusal = Refusal::new(
            426,
            "this proxy speaks HTTP/1.0: set proxy_http_version 1.1, and pass Upgrade and Connection",
        );
        return Err(refusal.with("Upgrade: websocket\r\n"));
    }
    Ok(())
}

/// Which port serves a path that this one does not.
fn where_to_find(path: &str) -> &'static str {
    match path {
        "/healthz" | "/readyz" | "/metrics" => {
            "health and metrics are on the port for operators (listen.operations, 7702 by default), not on this one"
        }
        path if path.starts_with("/v1/") && !path.starts_with(stream::PATH) => {
            "this is the port for connections: calls over HTTP are on the HTTP port (listen.http, 7701 by default)"
        }
        _ => "this port has the WebSocket at / and streams at POST /v1/events",
    }
}

/// The path of a target in origin form or absolute form (RFC 9112 section 3.2), without the query.
fn path(target: &str) -> Option<&str> {
    let target = target.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = target.split_once("://") else {
        return Some(target);
    };
    let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    known.then(|| rest.find('/').map_or("/", |start| &rest[start..]))
}

/// Only HTTP/1.0 may leave it out (RFC 9112 section 3.2).
pub(super) fn check_host(request: &Request) -> Result<(), Refusal> {
    let Some(host) = only(request.headers, "Host")? else {
        let missing = Err(Refusal::bad("the Host field is missing"));
        return if request.version == Some(0) { Ok(()) } else { missing };
    };
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(byte);
    if host.is_empty() || !host.iter().all(valid) {
        return Err(Refusal::bad("the Host field is not a host"));
    }
    Ok(())
}

pub(super) fn check_no_body(fields: &[Header]) -> Result<(), Refusal> {
    let long = values(fields, "Content-Length").any(|value| value != b"0");
    if long || values(fields, "Transfer-Encoding").next().is_some() {
        return Err(Refusal::bad("a request with a body is not taken here"));
    }
    Ok(())
}

fn check_upgrade(fields: &[Header]) -> Result<(), Refusal> {
    if !has_token(fields, "Upgrade", "websocket") {
        // Fields of a hop end there; the others of a handshake show that it was one.
        let dropped = values(fields, "Sec-WebSocket-Key").next().is_some();
        let line = if dropped {
            "no Upgrade field: the proxy must pass Upgrade and Connection"
        } else {
            "this is a WebSocket endpoint: send Upgrade: websocket"
        };
        return Err(Refusal::new(426, line).with("Upgrade: websocket\r\n"));
    }
    if !has_token(fields, "Connection", "upgrade") {
        return Err(Refusal::bad("no Connection: upgrade: the proxy must pass Upgrade and Connection"));
    }
    if only(fields, "Sec-WebSocket-Version")? != Some(b"13") {
        let refusal = Refusal::new(426, "Sec-WebSocket-Version must be 13");
        return Err(refusal.with("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
    }
    Ok(())
}

fn key<'a>(fields: &[Header<'a>]) -> Result<&'a [u8], Refusal> {
    let key = only(fields, "Sec-WebSocket-Key")?.unwrap_or_default();
    match BASE64_STANDARD.decode(key) {
        Ok(nonce) if nonce.len() == 16 => Ok(key),
        _ => Err(Refusal::bad("Sec-WebSocket-Key must be 16 bytes in base64")),
    }
}

fn choose_subprotocol<'n>(fields: &[Header], known: &'n [Subprotocol]) -> Result<Option<&'n Subprotocol>, Refusal> {
    let mut offers = tokens(fields, "Sec-WebSocket-Protocol").peekable();
    if known.is_empty() || offers.peek().is_none() {
        return Ok(None);
    }
    let find = |offer| known.iter().find(|known| known.name.as_bytes() == offer);
    offers.find_map(find).map(Some).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        Refusal::bad(format!("none of the subprotocols offered is known here; known: {}", names.join(", ")))
    })
}

pub(super) fn values<'a>(fields: &[Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let named = |field: &&Header<'a>| field.name.eq_ignore_ascii_case(name);
    fields.iter().filter(named).map(|field| field.value.trim_ascii())
}

/// The value of a field that may come once.
pub(super) fn only<'a>(fields: &[Header<'a>], name: &str) -> Result<Option<&'a [u8]>, Refusal> {
    let mut found = values(fields, name);
    match (found.next(), found.next()) {
        (value, None) => Ok(value),
        _ => Err(Refusal::bad(format!("the {name} field may come only once"))),
    }
}

/// The elements of a comma-separated list, over all fields of the name (RFC 9110 section 5.6.1).
fn tokens<'a>(fields: &[Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    values(fields, name)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn has_token(fields: &[Header], name: &str, token: &str) -> bool {
    tokens(fields, name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
}

fn accept(key: &[u8], subprotocol: Option<&Subprotocol>) -> Vec<u8> {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize();
    let accept = BASE64_STANDARD.encode(digest);
    let chosen = subprotocol.map_or(String::new(), |chosen| format!("Sec-WebSocket-Protocol: {}\r\n", chosen.name));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n"
    )
    .into_bytes()
}

pub(super) fn respond(refusal: &Refusal) -> Vec<u8> {
    let Refusal { status, line, field } = refusal;
    let connection = if field.starts_with("Upgrade") { "close, Upgrade" } else { "close" };
    format!(
        "HTTP/1.1 {status} {}\r\nConnection: {connection}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n{field}\r\n{line}\n",
        phrase(*status),
        line.len() + 1,
    )
    .into_bytes()
}

const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}
