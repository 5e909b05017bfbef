//! Whatever a peer sends, a session neither panics nor goes on for ever.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::SupportedProtocolVersion;

use super::{Pair, VERSIONS, any_acceptor, client_config};

/// A byte of what the client says that arrives as another one.
#[derive(Debug, Clone)]
struct Damage {
    at: usize,
    by: u8,
}

/// A handshake and some messages, in portions, with damage anywhere; the pair after it.
fn converse(version: &'static SupportedProtocolVersion, portion: usize, damages: &[Damage]) -> Pair {
    let mut pair = Pair::new(&any_acceptor(), &Arc::new(client_config(version)));
    pair.socket.portion = portion;
    let mut passed = 0;
    for _ in 0..8 {
        if !pair.client.is_handshaking() {
            pair.say(&[b'a'; 300]);
        }
        let mut said = pair.client_speaks();
        for damage in damages {
            if let Some(byte) = damage.at.checked_sub(passed).and_then(|at| said.get_mut(at)) {
                *byte ^= damage.by;
            }
        }
        passed += said.len();
        pair.socket.incoming.extend(said);
        pair.serve();
        if !pair.client_listens() {
            break;
        }
    }
    pair
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000), portion in 1_usize..300) {
        let mut pair = Pair::new(&any_acceptor(), &Arc::new(client_config(VERSIONS[1])));
        pair.socket.portion = portion;
        pair.socket.incoming.extend(bytes);
        pair.serve();
        prop_assert!(pair.end.is_some() || pair.socket.incoming.is_empty());
        prop_assert_eq!(pair.heard.len(), 0);
    }

    #[test]
    fn a_damaged_conversation_is_survived(
        version in 0..VERSIONS.len(),
        portion in 1_usize..500,
        damages in proptest::collection::vec((0_usize..2000, 1..=u8::MAX), 1..4),
    ) {
        let damages: Vec<_> = damages.into_iter().map(|(at, by)| Damage { at, by }).collect();
        let mut pair = converse(VERSIONS[version], portion, &damages);
        prop_assert!(pair.heard.iter().all(|byte| *byte == b'a'), "nothing that was damaged is heard");
        // What the rest of the core does with any connection.
        let _ = pair.session.write(&mut pair.socket, b"answer");
        pair.session.send_close_notify();
        let _ = pair.session.flush(&mut pair.socket);
        let _ = pair.session.read(&mut pair.socket, &mut pair.buffer);
    }
}

#[test]
fn an_undamaged_conversation_is_heard_whole() {
    for version in VERSIONS {
        let pair = converse(version, 77, &[]);
        assert!(pair.heard.len() >= 5 * 300, "{}", pair.heard.len());
        assert!(pair.end.is_none());
    }
}
