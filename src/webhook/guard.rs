//! Which addresses a message may go to: public ones over https, and what the operator allows besides.
//!
//! The address is judged, never the name: a name is only as good as what it resolves to at the moment of connecting.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::target::{Host, Target};

/// A network, `10.0.0.0/8` or `fd00::/8`; an address alone is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    bits: u8,
}

impl Net {
    const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
    }

    const fn v6(first: u16, second: u16, third: u16, bits: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0)), bits }
    }

    /// Whether an address lies in it. An IPv4 address lies in no IPv6 network, and the other way round.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                masked(ours.to_bits().into(), 32, self.bits) == masked(theirs.to_bits().into(), 32, self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => masked(ours.to_bits(), 128, self.bits) == masked(theirs.to_bits(), 128, self.bits),
            _ => false,
        }
    }
}

/// The first `bits` bits of an address of `width` bits.
fn masked(address: u128, width: u32, bits: u8) -> u128 {
    address.checked_shr(width - u32::from(bits)).unwrap_or(0)
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no network such as 10.0.0.0/8 or fd00::/8");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(wrong))?;
        let net = Self { address, bits };
        let number = match address {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let low = u32::from(width - bits);
        if masked(number, u32::from(width), bits).checked_shl(low).unwrap_or(0) != number {
            return Err(format!("`{text}` has bits set beyond its first {bits}"));
        }
        Ok(net)
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// IPv4 that is not the public internet: the IANA special-purpose registry, multicast, reserved, and one metadata
/// service on a public address.
const REFUSED_V4: [Net; 17] = [
    Net::v4(0, 0, 0, 0, 8),        // this network
    Net::v4(10, 0, 0, 0, 8),       // private
    Net::v4(100, 64, 0, 0, 10),    // carrier-grade NAT
    Net::v4(127, 0, 0, 0, 8),      // loopback
    Net::v4(168, 63, 129, 16, 32), // metadata of a cloud
    Net::v4(169, 254, 0, 0, 16),   // link-local, metadata of clouds
    Net::v4(172, 16, 0, 0, 12),    // private
    Net::v4(192, 0, 0, 0, 24),     // protocol assignments
    Net::v4(192, 0, 2, 0, 24),     // documentation
    Net::v4(192, 88, 99, 0, 24),   // 6to4 relays
    Net::v4(192, 168, 0, 0, 16),   // private
    Net::v4(192, 175, 48, 0, 24),  // sink of private names
    Net::v4(198, 18, 0, 0, 15),    // benchmarking
    Net::v4(198, 51, 100, 0, 24),  // documentation
    Net::v4(203, 0, 113, 0, 24),   // documentation
    Net::v4(224, 0, 0, 0, 4),      // multicast
    Net::v4(240, 0, 0, 0, 4),      // reserved, broadcast
];

/// The one part of IPv6 that is given out for the public internet. Outside of it lie the unspecified address, loopback,
/// mapped and compatible IPv4, NAT64, discard, SRv6, unique-local, link-local, site-local and multicast.
const GLOBAL_V6: Net = Net::v6(0x2000, 0, 0, 3);

/// What inside [`GLOBAL_V6`] is not the public internet.
const REFUSED_V6: [Net; 6] = [
    Net::v6(0x2001, 0, 0, 23),           // protocol assignments: Teredo, benchmarking, ORCHID
    Net::v6(0x2001, 0x0db8, 0, 32),      // documentation
    Net::v6(0x2002, 0, 0, 16),           // 6to4
    Net::v6(0x2620, 0x004f, 0x8000, 48), // sink of private names
    Net::v6(0x3ffe, 0, 0, 16),           // the old test network
    Net::v6(0x3fff, 0, 0, 20),           // documentation
];

/// Whether an address belongs to the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !REFUSED_V4.iter().any(|net| net.contains(address)),
        IpAddr::V6(_) => GLOBAL_V6.contains(address) && !REFUSED_V6.iter().any(|net| net.contains(address)),
    }
}

/// The rule by which addresses are judged.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<Net>,
}

impl Guard {
    /// Public addresses over https; and the given networks, over http too.
    pub fn new(allowed: &[Net]) -> Self {
        Self { allowed: allowed.to_vec() }
    }

    /// Whether a connection may be opened to this very address.
    pub fn admits(&self, address: IpAddr, secure: bool) -> Result<(), &'static str> {
        if self.allowed.iter().any(|net| net.contains(address)) {
            return Ok(());
        }
        match (is_public(address), secure) {
            (false, _) => Err("the address is not on the public internet"),
            (true, false) => Err("https is required"),
            (true, true) => Ok(()),
        }
    }

    /// What can be said of a target before its name is resolved: an early word to the client, not the guard itself.
    pub fn foresees(&self, target: &Target) -> Result<(), &'static str> {
        match target.host() {
            Host::Address(address) => self.admits(*address, target.is_secure()),
            _ if !target.is_secure() && self.allowed.is_empty() => Err("https is required"),
            Host::Name(name) if name == "localhost" || name.ends_with(".localhost") => {
                let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                loopback
                    .iter()
                    .map(|address| self.admits(*address, target.is_secure()))
                    .find(Result::is_ok)
                    .unwrap_or(Err("the address is not on the public internet"))
            }
            Host::Name(name) if !name.contains('.') && self.allowed.is_empty() => Err("a public name has a dot"),
            Host::Name(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn nothing_but_the_public_internet_is_reached_by_default() {
        let guard = Guard::default();
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.1.2.3",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "2620:4f:8000::1",
            "3ffe::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "4000::1",
        ];
        for text in refused {
            assert!(guard.admits(ip(text), true).is_err(), "{text}");
        }
        assert!(refused.len() >= 60);
    }

    #[test]
    fn the_public_internet_is_reached_over_https_alone() {
        let guard = Guard::default();
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "3ffd::1",
        ];
        for text in public {
            assert_eq!(guard.admits(ip(text), true), Ok(()), "{text}");
            assert_eq!(guard.admits(ip(text), false), Err("https is required"), "{text}");
        }
    }

    #[test]
    fn what_the_operator_allows_is_reached_over_http_too_and_nothing_beside_it() {
        let guard = Guard::new(&["127.0.0.1/32".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        assert_eq!(guard.admits(ip("127.0.0.1"), false), Ok(()));
        assert_eq!(guard.admits(ip("fd00:1:2::3"), false), Ok(()));
        for text in ["127.0.0.2", "::1", "::ffff:127.0.0.1", "fd00:2::1", "10.0.0.1"] {
            assert!(guard.admits(ip(text), true).is_err(), "{text}");
        }
        assert!(guard.admits(ip("8.8.8.8"), false).is_err());
    }

    #[test]
    fn a_network_is_read_strictly() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::/0", "::/0"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::/8", "fd00::/8"),
        ] {
            assert_eq!(text.parse::<Net>().unwrap().to_string(), shown);
        }
        for bad in ["", "10/8", "10.0.0.0/33", "10.0.0.1/8", "fd00::1/8", "::/129", "10.0.0.0/-1", "10.0.0.0/", "a/8", "10.0.0.0/8/8"] {
            assert!(bad.parse::<Net>().is_err(), "{bad}");
        }
        let all: Net = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(ip("255.255.255.255")) && !all.contains(ip("::1")));
    }
}
