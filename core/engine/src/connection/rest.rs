//! Bytes that were read and wait behind a stop: consumed from the front, copied once however often the stop comes again.
//!
//! Exists only while a connection has to wait. Read next: `reading.rs`.

#[derive(Debug)]
pub(crate) struct Rest {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Rest {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), consumed: 0 }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.consumed..]
    }

    /// All but the last `left` bytes have been consumed.
    pub(crate) fn keep(&mut self, left: usize) {
        self.consumed = self.bytes.len() - left;
    }

    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_consumed_is_gone_and_the_bytes_behind_it_stay_where_they_are() {
        let mut rest = Rest::new(b"one two three");
        let place = rest.bytes()[4..].as_ptr();
        rest.keep(9);
        let second = rest.bytes();
        assert_eq!((second.as_ptr(), &*second), (place, &b"two three"[..]));
        rest.keep(5);
        assert_eq!(rest.bytes(), b"three");
        assert!(rest.held_bytes() >= 13);
    }
}
