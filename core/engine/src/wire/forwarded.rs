//! Whom a proxy speaks for, by the fields that it adds: `X-Forwarded-For`, else `Forwarded` (RFC 7239).
//!
//! Each proxy adds its peer at the end, so the list is read from there, past the proxies that are trusted; the first other
//! address is the client's, and what stands before it may be invented. Pure. Read next: http.rs, networks.rs.
use std::net::{IpAddr, SocketAddr};

use httparse::Header;

use crate::wire::http::values;
use crate::wire::networks::Networks;

/// The client's address, with port 0 where none is given. None: it is not given, or not in a form that can be believed.
#[must_use]
pub fn client(fields: &[Header<'_>], trusted: &Networks) -> Option<SocketAddr> {
    let mut peers: Vec<Option<SocketAddr>> = values(fields, "X-Forwarded-For").flat_map(addresses).collect();
    if peers.is_empty() {
        peers = values(fields, "Forwarded").flat_map(elements).collect();
    }
    // Behind a name that says no address, nobody knows who put the rest there.
    let mut known = peers.into_iter().rev().map_while(|peer| peer);
    known.find(|peer| !trusted.contain(peer.ip()))
}

fn addresses(value: &[u8]) -> impl Iterator<Item = Option<SocketAddr>> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|one| !one.is_empty()).map(address)
}

/// An address alone or with a port; one of IPv6 in brackets, or alone.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let alone = || bare.unwrap_or(text).parse::<IpAddr>().ok().filter(|ip| bare.is_none() || ip.is_ipv6());
    text.parse().ok().or_else(|| Some(SocketAddr::new(alone()?, 0)))
}

/// The `for` of each element of `Forwarded`, None where it is no address.
fn elements(value: &[u8]) -> Vec<Option<SocketAddr>> {
    let Some(elements) = split(value, b',') else { return vec![None] };
    elements.into_iter().filter(|element| !element.is_empty()).map(peer).collect()
}

fn peer(element: &[u8]) -> Option<SocketAddr> {
    let mut found = None;
    for pair in split(element, b';')? {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        if !name.eq_ignore_ascii_case(b"for") {
            continue;
        }
        if found.is_some() {
            return None;
        }
        found = Some(address(&unquoted(value)?)?);
    }
    found
}

/// Pieces between separators that are not quoted; None when a quotation does not end.
fn split(value: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                pieces.push(value[start..at].trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(value[start..].trim_ascii());
    (!quoted).then_some(pieces)
}

/// A token as it is, or what a quoted string stands for (RFC 9110 section 5.6.4).
fn unquoted(value: &[u8]) -> Option<Vec<u8>> {
    let Some(rest) = value.strip_prefix(b"\"") else { return Some(value.to_vec()) };
    let inner = rest.strip_suffix(b"\"")?;
    let mut bytes = inner.iter();
    let mut out = Vec::with_capacity(inner.len());
    while let Some(&byte) = bytes.next() {
        out.push(if byte == b'\\' { *bytes.next()? } else { byte });
    }
    Some(out)
}
