//! Where the connections of a thread come from, for `peer`: read by Python's thread, written at accept and close.
//!
//! Read next: `../engine.rs`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::ident::{self, ConnId};

#[derive(Clone, Copy)]
struct Peer {
    address: [u8; 16],
    port: u16,
    /// Two halves of the generation, so that an entry has 22 bytes and no gaps. 0: nobody.
    generation: [u16; 2],
}

const NOBODY: Peer = Peer { address: [0; 16], port: 0, generation: [0; 2] };

#[derive(Default)]
pub(crate) struct Peers(Mutex<Vec<Peer>>);

impl Peers {
    pub(crate) fn enter(&self, id: ConnId, address: SocketAddr) {
        let index = ident::slot_of(id) as usize;
        let bits = match address.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut peers = self.lock();
        if peers.len() <= index {
            peers.resize(index + 1, NOBODY);
        }
        peers[index] = Peer { address: bits.octets(), port: address.port(), generation: halves(id) };
    }

    pub(crate) fn leave(&self, id: ConnId) {
        if let Some(peer) = self.lock().get_mut(ident::slot_of(id) as usize) {
            *peer = NOBODY;
        }
    }

    pub(crate) fn find(&self, id: ConnId) -> Option<SocketAddr> {
        let peer = self.lock().get(ident::slot_of(id) as usize).copied()?;
        let address = IpAddr::V6(Ipv6Addr::from(peer.address)).to_canonical();
        (peer.generation == halves(id) && peer.generation != [0; 2]).then(|| SocketAddr::new(address, peer.port))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lock().capacity() * size_of::<Peer>()
    }

    /// The data under the lock is whole at every moment, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Vec<Peer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn halves(id: ConnId) -> [u16; 2] {
    let generation = ident::generation_of(id).to_ne_bytes();
    [u16::from_ne_bytes([generation[0], generation[1]]), u16::from_ne_bytes([generation[2], generation[3]])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_found_until_it_leaves_and_never_under_an_old_number() {
        let peers = Peers::default();
        let id = ident::pack(0, 70_000, 5);
        peers.enter(id, "127.0.0.1:80".parse().expect("an address"));
        assert_eq!(peers.find(id).map(|peer| peer.to_string()), Some("127.0.0.1:80".to_owned()));
        assert_eq!(peers.find(ident::pack(0, 70_001, 5)), None);
        assert_eq!(peers.find(ident::pack(0, 70_000, 900)), None);
        peers.leave(id);
        assert_eq!(peers.find(id), None);
    }
}
