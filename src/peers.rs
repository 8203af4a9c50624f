//! Who connects: how much of it is taken, and which proxies are believed when they say whom a request is from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// How an empty list is written.
const NONE: &str = "none";

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one peer: an IPv4 address or an IPv6 /64. Loopback and trusted proxies have no such cap.
    pub connections_per_peer: usize,
    /// Requests in flight of one client behind a trusted proxy.
    pub requests_per_client: usize,
    pub trusted_proxies: TrustedProxies,
}

impl Caps {
    /// So many connections, whoever they are of.
    #[must_use]
    pub fn of_one_kind(connections: usize) -> Self {
        let trusted_proxies = TrustedProxies::default();
        Self { connections, connections_per_peer: connections, requests_per_client: connections, trusted_proxies }
    }
}

/// An address, or all that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            let ignored = width - u32::from(self.bits);
            one.checked_shr(ignored) == other.checked_shr(ignored)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither an address nor a network such as `10.0.0.0/8` or `fd00::/8`");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > width { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The proxies in front of this server; what anybody else says of a request's origin is not believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == NONE {
            return Ok(Self::default());
        }
        text.split(',').map(|network| network.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_contain_what_they_should() {
        let proxies: TrustedProxies = "127.0.0.1, 10.0.0.0/8, fd00::/8".parse().unwrap();
        let contains = |text: &str| proxies.contains(text.parse().unwrap());

        assert!(["127.0.0.1", "10.255.0.1", "::ffff:10.1.1.1", "fd12::1"].into_iter().all(contains));
        assert!(!["127.0.0.2", "11.0.0.1", "fe80::1", "::1"].into_iter().any(contains));
        assert!("0.0.0.0/0".parse::<TrustedProxies>().unwrap().contains("8.8.8.8".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "proxy.example", "10.0.0.1,"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
        assert!(!"none".parse::<TrustedProxies>().unwrap().contains("127.0.0.1".parse().unwrap()));
    }
}
