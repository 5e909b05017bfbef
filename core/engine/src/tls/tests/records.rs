//! What peers say and hear, however their bytes are cut.

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::forge::{ALERT, APPLICATION, Forger, HANDSHAKE};
use super::{Pair, VERSIONS, any_acceptor, client_config};

/// A pair whose client is replaced by somebody who encrypts whatever a test wants.
fn forged(version: &'static SupportedProtocolVersion) -> (Pair, Forger) {
    let mut config = client_config(version);
    config.enable_secret_extraction = true;
    let config = Arc::new(config);
    let mut pair = Pair::new(&any_acceptor(), &config);
    pair.settle();
    pair.answer(b"hello");
    assert!(pair.client_listens());
    let other = Pair::new(&any_acceptor(), &config).client;
    let forger = Forger::new(std::mem::replace(&mut pair.client, other));
    (pair, forger)
}

impl Pair {
    fn hear(&mut self, records: &[u8]) -> &[u8] {
        self.heard.clear();
        self.socket.incoming.extend(records);
        self.serve();
        &self.heard
    }
}

#[test]
fn both_versions_carry_messages_both_ways() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.say(b"question");
        pair.settle();
        assert_eq!(pair.heard, b"question");
        pair.answer(b"answer");
        assert!(pair.client_listens());
        assert_eq!(pair.told, b"answer");
    }
}

/// Cut what the client says in its first flight, or in its second with a message behind it, in two at every byte.
#[test]
fn a_stream_may_be_cut_at_every_byte() {
    let acceptor = any_acceptor();
    for version in VERSIONS {
        let config = Arc::new(client_config(version));
        for flight in 0..2 {
            for cut in 0.. {
                let mut pair = Pair::new(&acceptor, &config);
                pair.say(b"question");
                if flight == 1 {
                    let hello = pair.client_speaks();
                    pair.socket.incoming.extend(hello);
                    pair.serve();
                    assert!(pair.client_listens());
                }
                let said = pair.client_speaks();
                if cut > said.len() {
                    break;
                }
                pair.socket.incoming.extend(&said[..cut]);
                pair.serve();
                pair.socket.incoming.extend(&said[cut..]);
                pair.settle();
                assert_eq!(pair.heard, b"question", "{version:?}, flight {flight}, cut at {cut}");
            }
        }
    }
}

#[test]
fn bytes_may_come_one_by_one_and_handshake_messages_in_small_records() {
    for version in VERSIONS {
        let mut config = client_config(version);
        config.max_fragment_size = Some(32);
        let mut pair = Pair::new(&any_acceptor(), &Arc::new(config));
        pair.socket.portion = 1;
        pair.say(&[b'a'; 100]);
        pair.settle();
        pair.client.refresh_traffic_keys().ok();
        pair.say(&[b'b'; 100]);
        pair.settle();
        assert_eq!(pair.heard, [[b'a'; 100], [b'b'; 100]].concat());
    }
}

#[test]
fn many_records_in_one_read_come_out_in_order() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let mut said = Vec::new();
        for number in 0..2000_u16 {
            pair.say(&number.to_be_bytes());
            said.extend(pair.client_speaks());
        }
        let whole: Vec<u8> = (0..2000_u16).flat_map(u16::to_be_bytes).collect();
        assert_eq!(pair.hear(&said), whole);
    }
}

#[test]
fn the_session_begins_with_bytes_that_others_have_read() {
    for version in VERSIONS {
        let mut pair = Pair::new(&any_acceptor(), &Arc::new(client_config(version)));
        pair.say(b"question");
        let mut hello = pair.client_speaks();
        let rest = hello.split_off(100);
        pair.session.feed(&mut hello).expect("half a hello");
        pair.socket.incoming.extend(rest);
        pair.settle();
        assert_eq!(pair.heard, b"question");
    }
    let mut session = any_acceptor().session().expect("a session");
    assert!(session.feed(&mut [22, 3, 1, 0, 0, 99]).is_err());
}

#[test]
fn empty_records_are_nothing_until_there_are_too_many() {
    for version in VERSIONS {
        let (mut pair, mut forger) = forged(version);
        let mut records = Vec::new();
        for _ in 0..100 {
            records.extend(forger.record(APPLICATION, b""));
            records.extend(forger.record(APPLICATION, b"x"));
        }
        assert_eq!(pair.hear(&records), [b'x'; 100]);
        let records: Vec<u8> = (0..100).flat_map(|_| forger.record(APPLICATION, b"")).collect();
        assert_eq!(pair.hear(&records), b"");
        assert!(pair.is_broken());
    }
}

#[test]
fn keys_are_updated_for_both_sides() {
    let mut pair = Pair::open(&TLS13);
    for round in 0..5 {
        pair.client.refresh_traffic_keys().expect("TLS 1.3");
        pair.say(b"question");
        pair.settle();
        // The update that the client asked for goes in front of the next answer.
        pair.answer(&[round; 10]);
        assert!(pair.client_listens());
        assert_eq!(std::mem::take(&mut pair.told), [round; 10]);
    }
    assert_eq!(pair.heard, b"question".repeat(5));
}

#[test]
fn an_answer_may_go_out_while_half_an_update_of_keys_is_there() {
    let (mut pair, mut forger) = forged(&TLS13);
    let update = [24, 0, 0, 1, 0];
    let (one, two) = (forger.record(HANDSHAKE, &update[..3]), forger.record(HANDSHAKE, &update[3..]));
    assert_eq!(pair.hear(&one), b"");
    pair.answer(b"answer");
    pair.session.send_close_notify();
    assert_eq!(pair.hear(&two[..7]), b"");
    assert_eq!(pair.hear(&two[7..]), b"");
    assert!(pair.end.is_none());
}

#[test]
fn renegotiation_is_refused_and_the_session_goes_on() {
    let (mut pair, mut forger) = forged(&TLS12);
    let hello = [&[1, 0, 0, 41, 3, 3][..], &[0; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0]].concat();
    let records = [forger.record(HANDSHAKE, &hello), forger.record(APPLICATION, b"still here")].concat();
    assert_eq!(pair.hear(&records), b"still here");
    assert_eq!(pair.socket.outgoing.first(), Some(&ALERT));
    assert!(pair.end.is_none());
    pair.answer(b"so are we");
}

#[test]
fn a_close_notify_is_the_end_and_what_follows_is_ignored() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.say(b"last words");
        pair.client.send_close_notify();
        let mut said = pair.client_speaks();
        said.extend_from_slice(b"garbage");
        assert_eq!(pair.hear(&said), b"last words");
        assert!(matches!(pair.end, Some(Ok(()))));
        // The other direction is still open.
        pair.answer(b"answer");
        pair.session.send_close_notify();
        pair.serve();
        pair.session.flush(&mut pair.socket).expect("memory");
        assert!(pair.client_listens());
        assert_eq!(pair.told, b"answer");
        let state = pair.client.process_new_packets().expect("a close that is well");
        assert!(state.peer_has_closed());
    }
}

#[test]
fn a_damaged_record_ends_the_session_behind_what_came_before_it() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.say(b"good");
        let mut said = pair.client_speaks();
        pair.say(b"bad");
        let mut bad = pair.client_speaks();
        *bad.last_mut().expect("a record") ^= 1;
        said.extend(bad);
        assert_eq!(pair.hear(&said), b"good");
        assert!(pair.is_broken());
        assert!(!pair.client_listens(), "an alert has come");
        assert!(pair.session.write(&mut pair.socket, b"more").is_err());
        pair.session.send_close_notify();
        assert!(!pair.session.is_dirty());
    }
}

#[test]
fn an_alert_of_the_peer_ends_the_session() {
    for version in VERSIONS {
        let (mut pair, mut forger) = forged(version);
        let records = [forger.record(APPLICATION, b"good"), forger.record(ALERT, &[2, 80])].concat();
        assert_eq!(pair.hear(&records), b"good");
        assert!(pair.is_broken());
    }
}
