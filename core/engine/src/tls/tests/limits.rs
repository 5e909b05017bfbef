//! What a session keeps, for how long, and in how many writes it speaks.

use std::sync::Arc;

use rustls::version::TLS13;

use super::forge::{HANDSHAKE, header};
use super::{Pair, VERSIONS, any_acceptor, client_config};

#[test]
fn a_quiet_session_keeps_no_bytes() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.answer(b"the first answer takes the ticket along");
        let quiet = pair.session.held_bytes();
        assert!(quiet <= 3_500, "{quiet}");
        pair.say(&vec![1; 100_000]);
        let said = pair.client_speaks();
        pair.socket.incoming.extend(&said[..said.len() - 1]);
        pair.serve();
        assert!(pair.session.held_bytes() > quiet);
        pair.socket.incoming.extend(&said[said.len() - 1..]);
        pair.serve();
        pair.answer(&vec![2; 100_000]);
        assert_eq!(pair.heard.len(), 100_000);
        assert_eq!(pair.session.held_bytes(), quiet);
    }
}

#[test]
fn a_large_message_reaches_a_slow_reader_whole() {
    let message: Vec<u8> = (0..1 << 20_u32).map(|number: u32| number.to_be_bytes()[number as usize % 4]).collect();
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.answer(b"!");
        let quiet = pair.session.held_bytes();
        let (mut taken, mut turn) = (0, 0);
        while pair.told.len() < message.len() + 1 {
            turn += 1;
            pair.socket.room = turn * 7919 % 50_000;
            taken += pair.session.write(&mut pair.socket, &message[taken..]).expect("a session that is open");
            assert!(pair.session.is_dirty() || taken == message.len());
            assert!(pair.session.held_bytes() < quiet + 70_000);
            assert!(pair.client_listens());
        }
        assert_eq!(pair.told[1..], message);
        assert!(!pair.session.is_dirty());
        assert_eq!(pair.session.held_bytes(), quiet);
    }
}

#[test]
fn a_large_message_is_heard_from_a_client() {
    let message: Vec<u8> = (0..1 << 20_u32).map(|number: u32| number.to_be_bytes()[number as usize % 4]).collect();
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.socket.portion = 10_007;
        pair.say(&message);
        pair.settle();
        assert_eq!(pair.heard, message);
    }
}

#[test]
fn each_flight_is_one_write_and_a_ticket_goes_with_the_first_answer() {
    for version in VERSIONS {
        let mut pair = Pair::new(&any_acceptor(), &Arc::new(client_config(version)));
        let hello = pair.client_speaks();
        pair.socket.incoming.extend(hello);
        pair.serve();
        assert_eq!(pair.socket.writes, 1);
        pair.settle();
        let flights = if version == &TLS13 { 1 } else { 2 };
        assert_eq!(pair.socket.writes, flights, "{version:?}");
        assert!(!pair.session.is_dirty());
        pair.answer(b"answer");
        assert_eq!(pair.socket.writes, flights + 1);
        assert!(pair.client_listens());
        assert_eq!(pair.told, b"answer");
        if version == &TLS13 {
            assert_eq!(pair.client.tls13_tickets_received(), 1);
        }
    }
}

#[test]
fn a_flight_that_the_socket_does_not_take_waits_for_it() {
    for version in VERSIONS {
        let mut pair = Pair::new(&any_acceptor(), &Arc::new(client_config(version)));
        pair.socket.room = 100;
        let hello = pair.client_speaks();
        pair.socket.incoming.extend(hello);
        pair.serve();
        assert!(pair.session.is_dirty());
        assert_eq!(pair.session.flush(&mut pair.socket).ok(), Some(false));
        pair.socket.room = usize::MAX;
        assert_eq!(pair.session.flush(&mut pair.socket).ok(), Some(true));
        pair.settle();
        assert!(!pair.client.is_handshaking());
    }
}

#[test]
fn a_handshake_message_without_an_end_is_not_collected_for_ever() {
    let mut pair = Pair::new(&any_acceptor(), &Arc::new(client_config(&TLS13)));
    // A hello of 60,000 bytes.
    let mut records = [header(HANDSHAKE, 4), vec![1, 0, 0xea, 0x60]].concat();
    for _ in 0..18_000 {
        records.extend([header(HANDSHAKE, 1), vec![0]].concat());
    }
    for piece in records.chunks(1000) {
        pair.socket.incoming.extend(piece);
        pair.serve();
        assert!(pair.session.held_bytes() < 25_000);
    }
    assert!(pair.is_broken());
}

#[test]
fn nothing_is_written_before_the_end_of_the_handshake() {
    let mut pair = Pair::new(&any_acceptor(), &Arc::new(client_config(&TLS13)));
    assert!(pair.session.write(&mut pair.socket, b"too early").is_err());
    pair.session.send_close_notify();
    assert!(!pair.session.is_dirty());
}
