//! Sessions that go on where an earlier one ended, with whatever process has the same secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::UnixTime;

use super::{Acceptor, Pair, SECRET, Tickets, VERSIONS, acceptor, client_config, file};

const HOUR_S: u64 = 60 * 60;
/// The beginning of an epoch.
const MIDNIGHT_S: u64 = 1_800_057_600;

#[derive(Debug)]
struct Clock(AtomicU64);

impl Clock {
    fn new(hours: u64) -> Arc<Self> {
        let clock = Arc::new(Self(AtomicU64::new(0)));
        clock.set(hours);
        clock
    }

    fn set(&self, hours: u64) {
        self.0.store(MIDNIGHT_S + hours * HOUR_S, Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Relaxed))))
    }
}

fn tickets(secret: &[u8], clock: &Arc<Clock>) -> Tickets {
    Tickets::new(secret, Arc::clone(clock) as _).expect("a secret of 32 bytes or none")
}

/// Connect, take the ticket, and say what kind of handshake both sides saw.
fn meet(acceptor: &Acceptor, config: &Arc<ClientConfig>) -> HandshakeKind {
    let mut pair = Pair::new(acceptor, config);
    pair.say(b"question");
    pair.settle();
    pair.answer(b"answer");
    assert!(pair.client_listens());
    assert_eq!(pair.told, b"answer");
    assert_eq!(pair.heard, b"question");
    let kind = pair.client.handshake_kind().expect("the end of the handshake");
    assert_eq!(pair.session.is_resumed(), kind == HandshakeKind::Resumed);
    kind
}

#[test]
fn processes_with_the_same_secret_resume_each_others_sessions() {
    let clock = Clock::new(0);
    let (one, two) = (acceptor(tickets(&SECRET, &clock)), acceptor(tickets(&SECRET, &clock)));
    for version in VERSIONS {
        let config = Arc::new(client_config(version));
        assert_eq!(meet(&one, &config), HandshakeKind::Full);
        assert_eq!(meet(&two, &config), HandshakeKind::Resumed);
        assert_eq!(meet(&one, &config), HandshakeKind::Resumed);
    }
}

#[test]
fn another_secret_makes_a_full_handshake_and_no_error() {
    let clock = Clock::new(0);
    let one = acceptor(tickets(&SECRET, &clock));
    for other in [&[8; 32][..], &[]] {
        let other = acceptor(tickets(other, &clock));
        for version in VERSIONS {
            let config = Arc::new(client_config(version));
            assert_eq!(meet(&one, &config), HandshakeKind::Full);
            assert_eq!(meet(&other, &config), HandshakeKind::Full);
            assert_eq!(meet(&other, &config), HandshakeKind::Resumed);
        }
    }
}

#[test]
fn a_ticket_is_good_for_its_epoch_and_the_next() {
    let clock = Clock::new(5);
    let acceptor = acceptor(tickets(&SECRET, &clock));
    for (hours, kind) in [(11, HandshakeKind::Resumed), (12, HandshakeKind::Full)] {
        for version in VERSIONS {
            // The client goes by the real clock: it is the server that refuses.
            let config = Arc::new(client_config(version));
            clock.set(5);
            meet(&acceptor, &config);
            clock.set(hours);
            assert_eq!(meet(&acceptor, &config), kind, "{version:?}, {hours} h");
        }
    }
}

#[test]
fn tickets_outlive_a_change_of_the_certificate() {
    let acceptor = acceptor(tickets(&SECRET, &Clock::new(0)));
    for version in VERSIONS {
        let config = Arc::new(client_config(version));
        meet(&acceptor, &config);
        acceptor.reload(&file("certificate.pem"), &file("key.pem")).expect("the files are well");
        assert_eq!(meet(&acceptor, &config), HandshakeKind::Resumed);
    }
}

#[test]
fn a_ticket_opens_only_whole_and_in_time() {
    let clock = Clock::new(5);
    let ours = tickets(&SECRET, &clock);
    let ticket = ours.encrypt(b"a session").expect("a ticket");
    assert_eq!(ours.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
    assert_ne!(ours.encrypt(b"a session"), Some(ticket.clone()));
    for index in 0..ticket.len() {
        let mut spoilt = ticket.clone();
        spoilt[index] ^= 1;
        assert_eq!(ours.decrypt(&spoilt), None, "byte {index}");
        assert_eq!(ours.decrypt(&ticket[..index]), None, "{index} bytes");
    }
    assert_eq!(ours.decrypt(&[&ticket[..], &[0]].concat()), None);
    assert_eq!(ours.decrypt(&vec![0; 60_000]), None);
    clock.set(0);
    assert_eq!(ours.lifetime(), 12 * 60 * 60);
    clock.set(5);
    assert_eq!(ours.lifetime(), 7 * 60 * 60);
    for (hours, opens) in [(0, true), (6, true), (11, true), (12, false), (48, false)] {
        clock.set(hours);
        assert_eq!(ours.decrypt(&ticket).is_some(), opens, "{hours} h");
    }
    clock.0.store(MIDNIGHT_S - 1, Relaxed);
    assert_eq!(ours.decrypt(&ticket), None, "made in time to come");
}

#[test]
fn a_secret_is_32_bytes_and_is_not_shown() {
    let clock = Clock::new(0);
    let refusal = Tickets::new(&[1; 31], clock.clone()).expect_err("31 bytes");
    assert_eq!(refusal, "ticket_secret: expected 32 bytes or none, got 31");
    assert_eq!(format!("{:?}", tickets(&SECRET, &clock)), "Tickets { .. }");
}
