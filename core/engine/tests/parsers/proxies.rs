//! What proxies say of their clients: golden headers of the PROXY protocol, and lists of forwarded addresses.
use longlink_core::wire::forwarded::client;
use longlink_core::wire::networks::Networks;
use longlink_core::wire::proxy::{Header, MAX_HEADER, parse};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V4: &[u8] = b"\xcb\x00\x71\x07\xc0\x00\x02\x01\xdc\x04\x01\xbb";
const V6: &[u8] =
    b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x01\xbb";

/// Version 2 with this command, family and body; more bytes follow it.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body, b"behind"].concat()
}

/// The client of a header that leaves "behind"; every beginning of it must be incomplete.
fn whole(bytes: &[u8]) -> Option<String> {
    let used = bytes.len() - b"behind".len();
    for end in 0..used {
        assert_eq!(parse(&bytes[..end]), Header::Incomplete, "after {end} bytes");
    }
    match parse(bytes) {
        Header::Whole { used: found, client } => {
            assert_eq!(found, used);
            client.map(|client| client.to_string())
        }
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

#[test]
fn headers_of_both_versions_name_the_client() {
    for (line, client) in [
        ("PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\nbehind", Some("203.0.113.7:56324")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\nbehind", Some("255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::7 2001:db8::1 56324 0\r\nbehind", Some("[2001:db8::7]:56324")),
        ("PROXY UNKNOWN\r\nbehind", None),
        ("PROXY UNKNOWN whatever it is\r\nbehind", None),
    ] {
        assert_eq!(whole(line.as_bytes()).as_deref(), client, "{line}");
    }
    let longest = format!("PROXY UNKNOWN {}\r\nbehind", "x".repeat(107 - 16));
    assert_eq!(whole(longest.as_bytes()), None);
    let with_more = [V4, b"\x02\0\x04host"].concat();
    let most = [V4, &[0; MAX_HEADER - 16 - 12]].concat();
    for (command, family, body, client) in [
        (0x21, 0x11, V4, Some("203.0.113.7:56324")),
        (0x21, 0x11, &with_more, Some("203.0.113.7:56324")),
        (0x21, 0x11, &most, Some("203.0.113.7:56324")),
        (0x21, 0x21, V6, Some("[2001:db8::7]:56324")),
        (0x20, 0x00, b"", None),
        (0x20, 0x11, V4, None),
        (0x21, 0x00, b"any", None),
        (0x21, 0x31, &[0; 216], None),
        (0x21, 0x12, V4, None),
    ] {
        assert_eq!(whole(&binary(command, family, body)).as_deref(), client, "{command:x} {family:x}");
    }
}

#[test]
fn what_is_not_exactly_a_header_is_malformed() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "PROXY\r\n",
        "PROXY  TCP4 203.0.113.7 192.0.2.1 56324 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\rx",
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443 \r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324 65536\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 +1 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 01 443\r\n",
        "PROXY TCP4 203.0.113.07 192.0.2.1 1 443\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::1 1 443\r\n",
        "PROXY TCP6 203.0.113.7 192.0.2.1 1 443\r\n",
        "PROXY UDP4 203.0.113.7 192.0.2.1 1 443\r\n",
        "proxy TCP4 203.0.113.7 192.0.2.1 1 443\r\n",
        "\0LLP",
        "\x16\x03\x01",
    ] {
        assert_eq!(parse(line.as_bytes()), Header::Malformed, "{line}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 15));
    assert_eq!(parse(long.as_bytes()), Header::Malformed);
    assert_eq!(parse(&long.as_bytes()[..107]), Header::Malformed);
    let too_long = vec![0; MAX_HEADER - 15];
    for (command, family, body) in [
        (0x11, 0x11, V4),
        (0x22, 0x11, V4),
        (0x21, 0x13, V4),
        (0x21, 0x11, &V4[1..]),
        (0x21, 0x21, &V6[1..]),
        (0x21, 0x00, &too_long),
    ] {
        assert_eq!(parse(&binary(command, family, body)), Header::Malformed, "{command:x} {family:x}");
    }
}

/// The client by these fields, behind proxies in 10.0.0.0/8 and at `::1`.
fn forwarded(fields: &[(&str, &str)]) -> Option<String> {
    let trusted = Networks::parse(&["10.0.0.0/8", "::1"]).unwrap();
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    client(&fields, &trusted).map(|client| client.to_string())
}

#[test]
fn the_rightmost_address_that_is_no_trusted_proxy_is_the_clients() {
    let name = "x-forwarded-for";
    for (value, expected) in [
        ("203.0.113.7", Some("203.0.113.7:0")),
        ("203.0.113.7:4711", Some("203.0.113.7:4711")),
        ("2001:db8::7", Some("[2001:db8::7]:0")),
        ("[2001:db8::7]", Some("[2001:db8::7]:0")),
        ("[2001:db8::7]:80", Some("[2001:db8::7]:80")),
        ("198.51.100.1, 203.0.113.7", Some("203.0.113.7:0")),
        ("198.51.100.1,203.0.113.7 , 10.0.0.1,::1, ", Some("203.0.113.7:0")),
        ("10.0.0.2, 10.0.0.1", None),
        ("203.0.113.7, unknown, 10.0.0.1", None),
        ("203.0.113.7, [10.0.0.1]", None),
        ("203.0.113.7, 10.0.0.1:99999", None),
        ("", None),
        (" , ,", None),
        ("unknown", None),
    ] {
        assert_eq!(forwarded(&[(name, value)]).as_deref(), expected, "{value}");
    }
    let two = [(name, "198.51.100.1"), ("Via", "1.1 proxy"), ("X-Forwarded-For", "203.0.113.7, 10.0.0.1")];
    assert_eq!(forwarded(&two).as_deref(), Some("203.0.113.7:0"));
    assert_eq!(forwarded(&[(name, "203.0.113.7"), (name, "10.0.0.1")]).as_deref(), Some("203.0.113.7:0"));
}

#[test]
fn forwarded_counts_where_there_is_no_list_of_the_older_field() {
    for (value, expected) in [
        ("for=203.0.113.7", Some("203.0.113.7:0")),
        ("For=\"203.0.113.7:4711\";proto=https", Some("203.0.113.7:4711")),
        ("proto=https; by=10.0.0.1 ;for=\"[2001:db8::7]:80\"", Some("[2001:db8::7]:80")),
        ("for=198.51.100.1, for=203.0.113.7, for=10.0.0.1", Some("203.0.113.7:0")),
        ("for=203.0.113.7;by=\"a,b\\\";for=198.51.100.9\"", Some("203.0.113.7:0")),
        ("for=\"203.0.113\\.7\"", Some("203.0.113.7:0")),
        ("for=203.0.113.7, for=_hidden, for=10.0.0.1", None),
        ("for=203.0.113.7, for=unknown", None),
        ("for=203.0.113.7, by=10.0.0.1", None),
        ("for=203.0.113.7;for=198.51.100.1", None),
        ("for=\"203.0.113.7", None),
        ("for=203.0.113.7, for=\"10.0.0.1", None),
    ] {
        assert_eq!(forwarded(&[("Forwarded", value)]).as_deref(), expected, "{value}");
    }
    let both = [("Forwarded", "for=198.51.100.1"), ("X-Forwarded-For", "203.0.113.7")];
    assert_eq!(forwarded(&both).as_deref(), Some("203.0.113.7:0"));
}
