//! The header of the PROXY protocol, version 1 (a line of text) and 2 (binary), that a proxy writes before all else.
//!
//! Pure, bounded, and strict: what it is not sure of is malformed. Read next: ../connection/proxied.rs.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longer headers are malformed. Version 1 has 107 bytes at most; version 2 may carry more fields behind the addresses.
pub const MAX_HEADER: usize = 4096;

const TEXT: &[u8] = b"PROXY ";
const UNKNOWN: &[u8] = b"UNKNOWN";
const MAX_LINE: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// More bytes may make it whole.
    Incomplete,
    Malformed,
    /// So many bytes are the header. No client: the proxy speaks for itself, or does not say for whom.
    Whole {
        used: usize,
        client: Option<SocketAddr>,
    },
}

/// Judges all that came from a proxy so far. Call it again with more bytes after `Incomplete`.
#[must_use]
pub fn parse(input: &[u8]) -> Header {
    if let Some(rest) = input.strip_prefix(TEXT) {
        return parse_line(&rest[..rest.len().min(MAX_LINE - TEXT.len())]);
    }
    if let Some(rest) = input.strip_prefix(SIGNATURE) {
        return parse_binary(rest);
    }
    let begun = TEXT.starts_with(input) || SIGNATURE.starts_with(input);
    if begun { Header::Incomplete } else { Header::Malformed }
}

// Version 1 ------------------------------------------------------------------------------------------------------------

fn parse_line(rest: &[u8]) -> Header {
    let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if TEXT.len() + rest.len() < MAX_LINE { Header::Incomplete } else { Header::Malformed };
    };
    match &rest[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if TEXT.len() + end + 2 <= MAX_LINE => return Header::Incomplete,
        _ => return Header::Malformed,
    }
    let used = TEXT.len() + end + 2;
    let words = &rest[..end];
    if words == UNKNOWN || words.strip_prefix(UNKNOWN).is_some_and(|more| more[0] == b' ') {
        return Header::Whole { used, client: None };
    }
    let client = std::str::from_utf8(words).ok().and_then(client_of_line);
    if client.is_some() { Header::Whole { used, client } } else { Header::Malformed }
}

fn client_of_line(line: &str) -> Option<SocketAddr> {
    let mut words = line.split(' ');
    let family = words.next()?;
    let addresses = [words.next()?, words.next()?].map(|word| word.parse::<IpAddr>().ok());
    let ports = [port(words.next()?)?, port(words.next()?)?];
    let [client, server] = [addresses[0]?, addresses[1]?];
    let right = match family {
        "TCP4" => client.is_ipv4() && server.is_ipv4(),
        "TCP6" => client.is_ipv6() && server.is_ipv6(),
        _ => false,
    };
    (right && words.next().is_none()).then(|| SocketAddr::new(client, ports[0]))
}

fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

// Version 2 ------------------------------------------------------------------------------------------------------------

/// rest: what is behind the signature.
fn parse_binary(rest: &[u8]) -> Header {
    let local = match rest.first() {
        None => return Header::Incomplete,
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Header::Malformed,
    };
    let Some(&family) = rest.get(1) else { return Header::Incomplete };
    if !matches!(family, 0x00 | 0x11 | 0x12 | 0x21 | 0x22 | 0x31 | 0x32) {
        return Header::Malformed;
    }
    let Some(length) = rest.get(2..4) else { return Header::Incomplete };
    let length = usize::from(length[0]) << 8 | usize::from(length[1]);
    let least = match family {
        _ if local => 0,
        0x11 => 12,
        0x21 => 36,
        _ => 0,
    };
    if length < least || FIXED + length > MAX_HEADER {
        return Header::Malformed;
    }
    let Some(body) = rest.get(4..4 + length) else { return Header::Incomplete };
    let client = if local { None } else { client_of_body(family, body) };
    Header::Whole { used: FIXED + length, client }
}

/// body: client's address, server's address, client's port, server's port, and more.
fn client_of_body(family: u8, body: &[u8]) -> Option<SocketAddr> {
    let (address, port) = match family {
        0x11 => (IpAddr::from(Ipv4Addr::from(*body.first_chunk::<4>()?)), body.get(8..10)?),
        0x21 => (IpAddr::from(Ipv6Addr::from(*body.first_chunk::<16>()?)), body.get(32..34)?),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from(port[0]) << 8 | u16::from(port[1])))
}
