//! For any messages and any fragmentation, what went in comes out.
use crate::oracles::{Rules, Said, push_masked, split_independent};
use longlink_core::wire::Kind;
use longlink_core::wire::websocket::{Decoder, encode_header};
use proptest::collection::vec;
use proptest::prelude::*;

/// A message as the client would send it: cut in fragments, with pings between them.
#[derive(Clone, Debug)]
struct Sent {
    text: bool,
    payload: Vec<u8>,
    cuts: Vec<prop::sample::Index>,
    mask: [u8; 4],
    pings: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        6 => (Just(false), vec(any::<u8>(), 0..300)),
        1 => (Just(false), vec(any::<u8>(), 65_000..66_000)),
        6 => (Just(true), any::<String>().prop_map(String::into_bytes)),
    ];
    (payload, vec(any::<prop::sample::Index>(), 0..4), any::<[u8; 4]>(), any::<bool>())
        .prop_map(|((text, payload), cuts, mask, pings)| Sent { text, payload, cuts, mask, pings })
}

impl Sent {
    /// Appends the frames; gives what a receiver should see.
    fn write(&self, out: &mut Vec<u8>) -> Vec<Said> {
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut.index(self.payload.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(self.payload.len());
        let mut expected = Vec::new();
        let mut start = 0;
        for (index, end) in cuts.iter().enumerate() {
            let (mut header, used) = encode_header(self.text, end - start);
            header[0] = if index == 0 { header[0] & 0x0f } else { 0 };
            header[0] |= if index + 1 == cuts.len() { 0x80 } else { 0 };
            push_masked(&header[..used], &self.payload[start..*end], self.mask, out);
            start = *end;
            if self.pings && index + 1 < cuts.len() {
                push_masked(&[0x89, 2], b"hi", self.mask, out);
                expected.push(Said::Ping(b"hi".to_vec()));
            }
        }
        expected.push(match (self.text, self.payload.as_slice()) {
            (text, []) => Said::Heartbeat(text),
            (true, payload) => Said::Text(payload.to_vec()),
            (false, payload) => Said::Binary(payload.to_vec()),
        });
        expected
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_client_sends_comes_out_the_same(messages in vec(sent(), 1..5), seed: u64) {
        let rules = Rules { kind: Kind::Any, max_message: 1 << 20 };
        let mut stream = Vec::new();
        let expected: Vec<Said> = messages.iter().flat_map(|message| message.write(&mut stream)).collect();
        prop_assert_eq!(split_independent::<Decoder>(&stream, rules, seed), expected);
    }

    #[test]
    fn text_is_taken_exactly_when_it_is_utf8(payload in vec(any::<u8>(), 1..12), mask: [u8; 4], seed: u64) {
        let rules = Rules { kind: Kind::Text, max_message: 100 };
        let (header, used) = encode_header(true, payload.len());
        let mut stream = Vec::new();
        push_masked(&header[..used], &payload, mask, &mut stream);
        let expected = match std::str::from_utf8(&payload) {
            Ok(_) => Said::Text(payload),
            Err(_) => Said::Violated(1007),
        };
        prop_assert_eq!(split_independent::<Decoder>(&stream, rules, seed), [expected]);
    }
}
