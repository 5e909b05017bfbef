//! Session tickets that every process with the same secret can open (RFC 8446 section 4.6.1, RFC 5077).
//!
//! Keeps nothing: the key of a ticket follows from the secret, from the six hours in which the ticket was made, and from
//! its salt. Never shows the secret. Read next: ../tls.rs.

use std::fmt;
use std::sync::Arc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

const SECRET_BYTES: usize = 32;
/// A ticket is taken in the epoch in which it was made, and in the next one.
const EPOCH_S: u64 = 6 * 60 * 60;
const EPOCH_BYTES: usize = 4;
const SALT_BYTES: usize = 16;
/// In front of what is sealed: the epoch, and the salt.
const HEAD_BYTES: usize = EPOCH_BYTES + SALT_BYTES;
/// Ours hold a name of 255 bytes at most, a secret of 48 and some numbers.
const LONGEST: usize = 1024;

/// Seals and opens tickets.
pub(crate) struct Tickets {
    root: Prk,
    random: SystemRandom,
    clock: Arc<dyn TimeProvider>,
}

impl Tickets {
    /// An empty secret stands for a random one, whose tickets no other process can open.
    ///
    /// Errors are sentences.
    pub(crate) fn new(secret: &[u8], clock: Arc<dyn TimeProvider>) -> Result<Self, String> {
        let random = SystemRandom::new();
        let mut own = [0; SECRET_BYTES];
        match secret.len() {
            0 => random.fill(&mut own).map_err(|_| "the system gives no random numbers")?,
            SECRET_BYTES => own.copy_from_slice(secret),
            length => return Err(format!("ticket_secret: expected {SECRET_BYTES} bytes or none, got {length}")),
        }
        let root = Salt::new(HKDF_SHA256, b"longlink session tickets").extract(&own);
        Ok(Self { root, random, clock })
    }

    fn now_s(&self) -> Option<u64> {
        Some(self.clock.current_time()?.as_secs())
    }

    fn epoch(&self) -> Option<u32> {
        u32::try_from(self.now_s()? / EPOCH_S).ok()
    }

    /// The key of one ticket, and the only nonce that it is used with.
    fn key(&self, head: &[u8]) -> Option<(LessSafeKey, Nonce)> {
        let info = [head];
        let bytes = self.root.expand(&info, &CHACHA20_POLY1305).ok()?;
        Some((LessSafeKey::new(UnboundKey::from(bytes)), Nonce::assume_unique_for_key([0; 12])))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        let spent = self.now_s().unwrap_or(0) % EPOCH_S;
        u32::try_from(2 * EPOCH_S - spent).unwrap_or(0)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut ticket = Vec::with_capacity(HEAD_BYTES + plain.len() + CHACHA20_POLY1305.tag_len());
        ticket.extend(self.epoch()?.to_be_bytes());
        ticket.resize(HEAD_BYTES, 0);
        self.random.fill(&mut ticket[EPOCH_BYTES..]).ok()?;
        let (key, nonce) = self.key(&ticket)?;
        ticket.extend_from_slice(plain);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut ticket[HEAD_BYTES..]).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > LONGEST {
            return None;
        }
        let (head, sealed) = ticket.split_at_checked(HEAD_BYTES)?;
        let (epoch, _) = head.split_first_chunk()?;
        let age = self.epoch()?.checked_sub(u32::from_be_bytes(*epoch))?;
        if age > 1 {
            return None;
        }
        let (key, nonce) = self.key(head)?;
        let mut plain = sealed.to_vec();
        let length = key.open_in_place(nonce, Aad::empty(), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tickets").finish_non_exhaustive()
    }
}
