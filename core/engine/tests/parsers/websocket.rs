//! RFC 6455 frame by frame; every stream is fed whole, byte by byte and split at random.
use crate::oracles::{Rules, Said, feed, push_masked, split_independent};
use crate::oracles::{Said::Violated, Split};
use longlink_core::wire::websocket::{Decoder, encode_close, encode_header, encode_ping, encode_pong};
use longlink_core::wire::{Flow, Item, Kind};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const ANY: Rules = Rules { kind: Kind::Any, max_message: 200_000 };

/// A frame of a client: first byte, payload; the length in its shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let (mut header, used) = encode_header(false, payload.len());
    header[0] = first;
    let mut out = Vec::new();
    push_masked(&header[..used], payload, MASK, &mut out);
    out
}

/// A frame whose length is written as given, without regard to the payload.
fn odd_frame(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_masked(&[&[first], length].concat(), payload, MASK, &mut out);
    out
}

fn said(frames: &[Vec<u8>]) -> Vec<Said> {
    split_independent::<Decoder>(&frames.concat(), ANY, 7)
}

fn text(text: &str) -> Said {
    Said::Text(text.as_bytes().to_vec())
}

fn close(code: u16, reason: &str) -> Said {
    Said::Close(code, reason.as_bytes().to_vec())
}

#[test]
fn messages_of_every_length_form_come_out_whole() {
    for len in [1, 2, 7, 8, 9, 124, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 70_001] {
        let payload: Vec<u8> = (0..len).map(|i: usize| i.to_le_bytes()[0]).collect();
        let expected = [Said::Binary(payload.clone()), Said::Pong];
        assert_eq!(said(&[frame(0x82, &payload), frame(0x8a, b"x")]), expected, "{len}");
    }
}

#[test]
fn the_examples_of_the_rfc_are_understood() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    let ping = b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    assert_eq!(said(&[hello, ping]), [text("Hello"), Said::Ping(b"Hello".to_vec())]);
}

#[test]
fn an_empty_message_is_a_heartbeat_also_in_fragments() {
    assert_eq!(said(&[frame(0x81, b"")]), [Said::Heartbeat(true)]);
    assert_eq!(said(&[frame(0x82, b"")]), [Said::Heartbeat(false)]);
    assert_eq!(said(&[frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")]), [Said::Heartbeat(true)]);
}

#[test]
fn fragments_make_one_message_with_control_frames_between_them() {
    let frames = [
        frame(0x01, b"one "),
        frame(0x89, b"ping"),
        frame(0x00, b"two "),
        frame(0x8a, b""),
        frame(0x80, b"three"),
        frame(0x82, b"next"),
    ];
    let expected = [Said::Ping(b"ping".to_vec()), Said::Pong, text("one two three"), Said::Binary(b"next".to_vec())];
    assert_eq!(said(&frames), expected);
}

#[test]
fn a_character_may_be_split_between_fragments() {
    let euro = "\u{20ac}".as_bytes();
    let frames = [frame(0x01, &euro[..1]), frame(0x00, &euro[1..2]), frame(0x80, &euro[2..])];
    assert_eq!(said(&frames), [text("\u{20ac}")]);
}

#[test]
fn violations_have_their_codes() {
    let big = &[127, 0, 0, 0, 0, 0, 3, 0x0d, 0x41];
    let cases: Vec<(&str, Vec<Vec<u8>>, u16)> = vec![
        ("not masked", vec![b"\x81\x01a".to_vec()], 1002),
        ("not masked ping", vec![b"\x89\x00".to_vec()], 1002),
        ("RSV1", vec![frame(0xc1, b"a")], 1002),
        ("RSV2", vec![frame(0xa1, b"a")], 1002),
        ("RSV3", vec![frame(0x91, b"a")], 1002),
        ("RSV1 on ping", vec![frame(0xc9, b"a")], 1002),
        ("fragmented ping", vec![frame(0x09, b"a")], 1002),
        ("fragmented pong", vec![frame(0x0a, b"a")], 1002),
        ("fragmented close", vec![frame(0x08, b"")], 1002),
        ("long ping", vec![frame(0x89, &[0; 126])], 1002),
        ("long close", vec![frame(0x88, &[b"\x03\xe8".as_slice(), &[97; 124]].concat())], 1002),
        ("continuation of nothing", vec![frame(0x80, b"a")], 1002),
        ("continuation after a whole message", vec![frame(0x81, b"a"), frame(0x80, b"b")], 1002),
        ("new text inside a message", vec![frame(0x01, b"a"), frame(0x81, b"b")], 1002),
        ("new binary inside a message", vec![frame(0x02, b"a"), frame(0x02, b"b")], 1002),
        ("16 bits for 125", vec![odd_frame(0x82, &[126, 0, 125], &[0; 125])], 1002),
        ("64 bits for 65535", vec![odd_frame(0x82, &[127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], &vec![0; 65_535])], 1002),
        ("64 bits, highest set", vec![odd_frame(0x82, &[127, 0x80, 0, 0, 0, 0, 1, 0, 0], b"")], 1002),
        (
            "64 bits, all but the highest",
            vec![odd_frame(0x82, &[127, 0x7f, 255, 255, 255, 255, 255, 255, 255], b"")],
            1009,
        ),
        ("one over the limit, judged by the header", vec![odd_frame(0x82, big, b"")], 1009),
        ("fragments over the limit", vec![frame(0x02, &vec![0; 150_000]), frame(0x80, &vec![0; 50_001])], 1009),
        ("bad text", vec![frame(0x81, b"a\xff")], 1007),
        ("text that ends within a character", vec![frame(0x81, b"a\xe2\x82")], 1007),
        ("fragments that end within a character", vec![frame(0x01, b"a\xe2"), frame(0x80, b"\x82")], 1007),
        ("a surrogate", vec![frame(0x81, b"\xed\xa0\x80")], 1007),
        ("close of one byte", vec![frame(0x88, b"\x03")], 1002),
        ("close with a bad reason", vec![frame(0x88, b"\x03\xe8\xc3\x28")], 1007),
    ];
    for (name, frames, code) in cases {
        let said = said(&frames);
        assert_eq!(said.last(), Some(&Violated(code)), "{name}: {said:?}");
    }
}

#[test]
fn reserved_opcodes_are_violations() {
    for opcode in (3..8).chain(0xb..=0xf) {
        for fin in [0, 0x80] {
            assert_eq!(said(&[frame(fin | opcode, b"")]), [Violated(1002)], "{opcode:x}");
        }
    }
}

#[test]
fn a_message_as_long_as_the_limit_is_taken() {
    let fragments = [frame(0x02, &vec![1; 150_000]), frame(0x80, &vec![1; 50_000])];
    assert_eq!(said(&fragments), [Said::Binary(vec![1; 200_000])]);
    assert_eq!(said(&[frame(0x82, &vec![1; 200_000])]), [Said::Binary(vec![1; 200_000])]);
}

#[test]
fn control_frames_do_not_count_for_the_limit() {
    let rules = Rules { max_message: 3, ..ANY };
    let stream = [frame(0x01, b"ab"), frame(0x89, b"longer than three"), frame(0x80, b"c")].concat();
    let expected = [Said::Ping(b"longer than three".to_vec()), text("abc")];
    assert_eq!(split_independent::<Decoder>(&stream, rules, 1), expected);
}

#[test]
fn the_other_kind_is_a_violation() {
    for (kind, first, fragment) in [(Kind::Binary, 0x81, 0x01), (Kind::Text, 0x82, 0x02)] {
        let rules = Rules { kind, ..ANY };
        for first in [first, fragment] {
            let said = split_independent::<Decoder>(&frame(first, b"a"), rules, 1);
            assert_eq!(said, [Violated(1003)]);
        }
        let allowed = frame(first ^ 3, b"a");
        let said = split_independent::<Decoder>(&[allowed, frame(0x89, b"")].concat(), rules, 1);
        assert_eq!(said.last(), Some(&Said::Ping(vec![])));
    }
}

#[test]
fn closes_come_with_code_and_reason_and_end_the_stream() {
    let behind = b"\xff\xff not a frame".to_vec();
    let close_frame = |payload: &[u8]| vec![frame(0x88, payload), behind.clone()];
    assert_eq!(said(&close_frame(b"")), [close(1005, "")]);
    assert_eq!(said(&close_frame(b"\x03\xe8")), [close(1000, "")]);
    assert_eq!(said(&close_frame(b"\x0f\xa2idle")), [close(4002, "idle")]);
    let longest = [b"\x03\xe9".as_slice(), &[b'x'; 123]].concat();
    assert_eq!(said(&close_frame(&longest)), [close(1001, &"x".repeat(123))]);
}

#[test]
fn a_close_may_come_inside_a_fragmented_message() {
    assert_eq!(said(&[frame(0x01, b"half"), frame(0x88, b"\x03\xe8")]), [close(1000, "")]);
}

#[test]
fn bad_text_fails_before_its_frame_is_complete() {
    let cases: &[(&[u8], usize)] = &[(b"ok\xff", 3), (b"ok\xf4\x90", 4), (b"\xed\xa0", 2), (b"\xc0", 1)];
    for (bad, fails_after) in cases {
        let mut stream = frame(0x01, &[bad, [b'x'; 100].as_slice()].concat());
        stream.truncate(6 + fails_after);
        assert_eq!(feed::<Decoder>(&stream, ANY, Split::Bytes), [Violated(1007)], "{bad:x?}");
        stream.truncate(6 + fails_after - 1);
        assert_eq!(feed::<Decoder>(&stream, ANY, Split::Bytes), [], "{bad:x?}");
    }
}

#[test]
fn a_bad_header_fails_at_its_first_bad_byte() {
    assert_eq!(feed::<Decoder>(&[0xc1], ANY, Split::Bytes), [Violated(1002)]);
    assert_eq!(feed::<Decoder>(&[0x81, 0x05], ANY, Split::Bytes), [Violated(1002)]);
    assert_eq!(feed::<Decoder>(&[0x82, 0xfe, 0, 1], ANY, Split::Bytes), [Violated(1002)]);
}

#[test]
fn an_announced_length_reserves_nothing() {
    let mut decoder = Decoder::new();
    let mut start = odd_frame(0x82, &[127, 0, 0, 0, 0, 0, 1, 0, 0], b"ten bytes.");
    let used = decoder.decode(&mut start, Kind::Any, 1 << 20, &mut |_| Flow::Continue);
    assert_eq!(used, Ok(24));
    assert!(!decoder.is_idle());
    assert!(decoder.held_bytes() < 250, "{}", decoder.held_bytes());
}

#[test]
fn a_whole_message_is_delivered_where_it_lies() {
    let mut input = frame(0x82, b"where it lies");
    let range = input.as_ptr_range();
    let mut at = None;
    let mut sink = |item: Item<'_>| {
        if let Item::Binary(payload) = item {
            at = Some(payload.as_ptr());
        }
        Flow::Continue
    };
    Decoder::new().decode(&mut input, Kind::Any, 100, &mut sink).unwrap();
    assert!(at.is_some_and(|at| range.contains(&at)));
}

#[test]
fn every_frame_header_is_one_item_so_that_it_can_be_charged() {
    let mut decoder = Decoder::new();
    let frames = [frame(0x02, b""), frame(0x00, b""), frame(0x89, b""), frame(0x00, b"a"), frame(0x80, b"b")];
    let mut stream = frames.concat();
    let mut items = Vec::new();
    let mut sink = |item: Item<'_>| {
        items.push(match item {
            Item::Fragment => "fragment",
            Item::Ping(_) => "ping",
            Item::Binary(_) => "binary",
            _ => "other",
        });
        Flow::Pause
    };
    let mut used = 0;
    for frame in frames {
        let step = decoder.decode(&mut stream[used..], Kind::Any, 100, &mut sink).unwrap();
        assert_eq!(step, frame.len());
        used += step;
    }
    assert_eq!(items, ["fragment", "fragment", "ping", "fragment", "binary"]);
}

#[test]
fn an_idle_decoder_is_small_and_holds_nothing() {
    assert!(size_of::<Decoder>() <= 16);
    let mut decoder = Decoder::new();
    let mut stream = [frame(0x01, b"a"), frame(0x80, b"b"), frame(0x89, b"")].concat();
    for byte in &mut stream {
        decoder.decode(std::slice::from_mut(byte), Kind::Any, 100, &mut |_| Flow::Continue).unwrap();
    }
    assert!(decoder.is_idle());
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn what_the_server_writes_is_as_the_rfc_shows_it() {
    let mut out = Vec::new();
    encode_ping(b"Hello", &mut out);
    encode_pong(b"Hello", &mut out);
    encode_close(1005, "ignored", &mut out);
    encode_close(1000, "bye", &mut out);
    assert_eq!(out, b"\x89\x05Hello\x8a\x05Hello\x88\x00\x88\x05\x03\xe8bye");
    let cases: &[(bool, usize, &[u8])] = &[
        (true, 5, &[0x81, 5]),
        (false, 125, &[0x82, 125]),
        (false, 126, &[0x82, 126, 0, 126]),
        (false, 256, &[0x82, 126, 1, 0]),
        (true, 65_535, &[0x81, 126, 255, 255]),
        (false, 65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ];
    for (text, len, expected) in cases {
        let (header, used) = encode_header(*text, *len);
        assert_eq!(&header[..used], *expected);
    }
}

#[test]
fn control_payloads_are_cut_at_125_bytes() {
    let mut out = Vec::new();
    encode_ping(&[0; 200], &mut out);
    assert_eq!((out.len(), out[1]), (127, 125));
    out.clear();
    encode_close(4002, &"\u{20ac}".repeat(100), &mut out);
    assert_eq!((out.len(), out[1]), (127, 125));
}
