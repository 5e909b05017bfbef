//! Networks in CIDR notation, IPv4 and IPv6 in one space: IPv4 as it is mapped into IPv6.
//!
//! Pure. Read next: forwarded.rs, ../thread/accepting.rs.
use std::net::IpAddr;

/// Some networks; an address alone is a network of one.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    bits: u128,
    mask: u128,
}

impl Networks {
    /// # Errors
    /// A sentence that names the first text that is no network.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, String> {
        let one = |text: &T| {
            let text = text.as_ref();
            network(text).ok_or_else(|| format!("expected a network such as 10.0.0.0/8 or fd00::/8, got {text:?}"))
        };
        texts.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let bits = mapped(address);
        self.0.iter().any(|network| bits & network.mask == network.bits)
    }
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => width,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
    };
    let free = u32::checked_sub(width, prefix)?;
    let mask = u128::MAX.checked_shl(free).unwrap_or(0);
    Some(Network { bits: mapped(address) & mask, mask })
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(networks: &[&str], address: &str) -> bool {
        Networks::parse(networks).expect("networks").contain(address.parse().expect("an address"))
    }

    #[test]
    fn an_address_belongs_to_a_network_by_its_first_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
        ] {
            assert!(contains(&["198.51.100.0/24", network], inside), "{inside} in {network}");
            assert!(!contains(&[network], outside), "{outside} in {network}");
        }
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.0.0.1"));
        assert!(contains(&["::/0"], "203.0.113.1"));
        assert!(!contains(&[], "127.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/", "host", "/8"] {
            let error = Networks::parse(&["10.0.0.0/8", text]).expect_err(text);
            assert!(error.ends_with(&format!("got {text:?}")), "{error}");
        }
    }
}
