//! An address, or a range of them.

use std::{fmt, net::IpAddr, str::FromStr};

/// The addresses that begin with the same bits: `10.0.0.0/8`, or one address alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Its first address.
    first: IpAddr,
    /// How many bits are the same.
    prefix: u8,
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetworkError {
    /// What stands before the slash.
    #[error("an address is like 10.0.0.4 or ::1, a range of them like 10.0.0.0/8 or fd00::/8")]
    Address,
    /// What stands behind the slash.
    #[error("a prefix length is a number from 0 to {longest} for this address")]
    Prefix {
        /// The bits of such an address.
        longest: u8,
    },
}

impl Network {
    fn new(address: IpAddr, prefix: u8) -> Self {
        Self { first: first(address, prefix), prefix }
    }

    /// Whether an address is one of these. IPv4-mapped ones are to be given as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        first(address, self.prefix) == self.first && address.is_ipv4() == self.first.is_ipv4()
    }

    /// Whether these are IPv6 addresses (and not IPv4-mapped ones).
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.first.is_ipv6()
    }
}

/// The first address of those that begin like this one.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    let hidden = |width: u32| width.saturating_sub(prefix.into());
    match address {
        IpAddr::V4(address) => {
            IpAddr::V4((address.to_bits() & u32::MAX.checked_shl(hidden(u32::BITS)).unwrap_or(0)).into())
        }
        IpAddr::V6(address) => {
            IpAddr::V6((address.to_bits() & u128::MAX.checked_shl(hidden(u128::BITS)).unwrap_or(0)).into())
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `ADDRESS` or `ADDRESS/PREFIX`. Bits behind the prefix are not looked at. IPv4-mapped IPv6 addresses are taken
    /// as the IPv4 addresses that they stand for.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const MAPPED: u8 = 96;
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            // `parse` alone would take a plus sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|&prefix| prefix <= longest).ok_or(NetworkError::Prefix { longest })?
            }
            Some(_) => return Err(NetworkError::Prefix { longest }),
        };
        if let IpAddr::V6(mapped) = address
            && let Some(ipv4) = mapped.to_ipv4_mapped()
            && let Some(prefix) = prefix.checked_sub(MAPPED)
        {
            return Ok(Self::new(IpAddr::V4(ipv4), prefix));
        }
        Ok(Self::new(address, prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_own_addresses_and_no_others() {
        for (network, address, within) in [
            ("10.0.0.4", "10.0.0.4", true),
            ("10.0.0.4", "10.0.0.5", false),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("192.168.1.128/25", "192.168.1.127", false),
            ("192.168.1.128/25", "192.168.1.128", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("0.0.0.0", "0.0.0.0", true),
            ("0.0.0.0", "127.0.0.1", false),
            ("255.255.255.255/32", "255.255.255.255", true),
            ("::1", "::1", true),
            ("::1/128", "::2", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("2001:db8::8000/113", "2001:db8::ffff", true),
            ("2001:db8::8000/113", "2001:db8::7fff", false),
            ("::/0", "ffff::", true),
            ("::/0", "10.0.0.4", false),
            ("::ffff:10.0.0.4", "10.0.0.4", true),
            ("::ffff:10.0.0.0/104", "10.200.0.1", true),
            ("::ffff:0:0/96", "8.8.8.8", true),
            ("::ffff:10.0.0.4", "::ffff:10.0.0.4", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), within, "{address} in {network}");
        }
    }

    #[test]
    fn an_ipv4_mapped_address_is_ipv4() {
        for (text, ipv6) in [("10.0.0.4", false), ("::ffff:10.0.0.4", false), ("::1", true), ("::ffff:0:0/95", true)] {
            assert_eq!(text.parse::<Network>().unwrap().is_ipv6(), ipv6, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "/", "10", "10.0.0", "010.0.0.1", "10.0.0.256", "10.0.0.4:80", "[::1]", "fe80::1%eth0", "host", " ::1"]
        {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Address), "{text}");
        }
    }

    #[test]
    fn a_prefix_longer_than_the_address_or_no_number_is_refused() {
        for (text, longest) in [
            ("10.0.0.4/33", 32),
            ("10.0.0.4/", 32),
            ("10.0.0.4/+8", 32),
            ("10.0.0.4/-1", 32),
            ("10.0.0.4/8/8", 32),
            ("10.0.0.4/255.0.0.0", 32),
            ("10.0.0.4/99999999999", 32),
            ("::1/129", 128),
            ("::1/ 8", 128),
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Prefix { longest }), "{text}");
        }
    }
}
