//! Records that no client sends, made with the keys of a client that is given up for it (RFC 8446 section 5.2, RFC 5288).

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ClientConnection, ConnectionTrafficSecrets};

pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION: u8 = 23;

/// Encrypts what a test wants to say.
pub(super) struct Forger {
    key: LessSafeKey,
    iv: [u8; 12],
    seq: u64,
    tls13: bool,
}

impl Forger {
    /// The client's config allows the extraction of secrets.
    pub(super) fn new(client: ClientConnection) -> Self {
        let tls13 = client.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        let (seq, secrets) = client.dangerous_extract_secrets().expect("secrets").tx;
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            panic!("the suite that the core prefers")
        };
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).expect("16 bytes");
        let iv = iv.as_ref().try_into().expect("12 bytes");
        Self { key: LessSafeKey::new(key), iv, seq, tls13 }
    }

    pub(super) fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.seq.to_be_bytes()) {
            *byte ^= number;
        }
        let mut payload = content.to_vec();
        let aad = if self.tls13 {
            payload.push(kind);
            header(APPLICATION, payload.len() + AES_128_GCM.tag_len())
        } else {
            [&self.seq.to_be_bytes()[..], &header(kind, content.len())].concat()
        };
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(sealing, Aad::from(&aad), &mut payload).expect("a short record");
        self.seq += 1;
        if self.tls13 {
            return [aad, payload].concat();
        }
        [header(kind, payload.len() + 8), nonce[4..].to_vec(), payload].concat()
    }
}

/// The header of a record.
pub(super) fn header(kind: u8, length: usize) -> Vec<u8> {
    let length = u16::try_from(length).expect("a record");
    [&[kind, 3, 3][..], &length.to_be_bytes()].concat()
}
