//! TCP records; every stream is fed whole, byte by byte and split at random.
use crate::oracles::{Rules, Said, Split, feed, split_independent};
use longlink_core::wire::Kind;
use longlink_core::wire::tcp::{Decoder, MAX_PAYLOAD, PREFACE_BINARY, PREFACE_TEXT, encode_close, encode_header};

const BINARY: Rules = Rules { kind: Kind::Binary, max_message: 100_000 };
const TEXT: Rules = Rules { kind: Kind::Text, ..BINARY };

fn record(payload: &[u8]) -> Vec<u8> {
    [&encode_header(payload.len()), payload].concat()
}

fn said(rules: Rules, records: &[Vec<u8>]) -> Vec<Said> {
    split_independent::<Decoder>(&records.concat(), rules, 3)
}

#[test]
fn records_of_every_length_come_out_whole() {
    for len in [1, 255, 256, 65_535, 65_536, 100_000] {
        let payload = vec![b'x'; len];
        assert_eq!(said(BINARY, &[record(&payload), record(b"y")])[0], Said::Binary(payload.clone()));
        assert_eq!(said(TEXT, &[record(&payload), record(b"y")])[1], Said::Text(b"y".to_vec()));
    }
}

#[test]
fn an_empty_record_is_a_heartbeat() {
    assert_eq!(said(BINARY, &[vec![0; 4]]), [Said::Heartbeat(false)]);
    assert_eq!(said(TEXT, &[vec![0; 4], record(b"a")]), [Said::Heartbeat(true), Said::Text(b"a".to_vec())]);
}

#[test]
fn violations_have_their_codes() {
    let cases: Vec<(&str, Rules, Vec<u8>, u16)> = vec![
        ("unknown type", BINARY, b"\x02".to_vec(), 1002),
        ("too long, judged by the header", BINARY, b"\x00\x01\x86\xa1".to_vec(), 1009),
        ("long close", BINARY, b"\x01\x00\x00\x7e".to_vec(), 1002),
        ("close of one byte", BINARY, b"\x01\x00\x00\x01\x03".to_vec(), 1002),
        ("close code that is never sent", BINARY, b"\x01\x00\x00\x02\x03\xee".to_vec(), 1002),
        ("bad reason", TEXT, b"\x01\x00\x00\x03\x03\xe8\xff".to_vec(), 1007),
        ("bad text", TEXT, record(b"a\xff"), 1007),
        ("text that ends within a character", TEXT, record(b"a\xe2\x82"), 1007),
    ];
    for (name, rules, stream, code) in cases {
        assert_eq!(said(rules, &[stream]), [Said::Violated(code)], "{name}");
    }
}

#[test]
fn bad_text_fails_before_its_record_is_complete() {
    let stream = b"\x00\x00\x10\x00ok\xff";
    assert_eq!(feed::<Decoder>(stream, TEXT, Split::Bytes), [Said::Violated(1007)]);
    assert_eq!(feed::<Decoder>(&stream[..6], TEXT, Split::Bytes), []);
}

#[test]
fn a_close_ends_the_stream() {
    for (code, reason) in [(1005, ""), (1000, ""), (4002, "idle")] {
        let mut stream = record(b"a");
        encode_close(code, reason, &mut stream);
        stream.extend_from_slice(b"\xff\xff");
        let close = Said::Close(code, reason.as_bytes().to_vec());
        assert_eq!(said(BINARY, &[stream]), [Said::Binary(b"a".to_vec()), close]);
    }
}

#[test]
fn a_close_in_a_text_stream_has_a_binary_code() {
    assert_eq!(said(TEXT, &[b"\x01\x00\x00\x02\x0f\xa2".to_vec()]), [Said::Close(4002, vec![])]);
}

#[test]
fn headers_and_prefaces_are_as_written_down() {
    assert_eq!(encode_header(0x01_02_03), [0, 1, 2, 3]);
    assert_eq!(encode_header(MAX_PAYLOAD), [0, 255, 255, 255]);
    assert_eq!((PREFACE_BINARY, PREFACE_TEXT), ([0, 0x4c, 0x4c, 0x50], [0, 0x4c, 0x4c, 0x4a]));
    assert!(size_of::<Decoder>() <= 16);
}

#[test]
#[should_panic(expected = "16 MiB")]
fn a_length_beyond_the_format_is_refused() {
    let _ = encode_header(MAX_PAYLOAD + 1);
}
