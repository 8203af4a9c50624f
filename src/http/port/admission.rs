//! How many connections there may be: in all, of one peer, and how many requests of one client behind a proxy.

use super::patrol;
use crate::peers::{Caps, TrustedProxies};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// New connections beyond the cap that may be there while those that make room for them are being ended: a burst is
/// accepted faster. At least so many, and a part of the cap.
const MIN_SLACK: usize = 64;
const SLACK_PART: usize = 5;

/// Who is connected.
#[derive(Debug)]
pub(crate) struct Admission {
    caps: Caps,
    connections: AtomicUsize,
    peers: Counts,
    clients: Counts,
}

/// How many of each address; only those that have some are in it.
type Counts = Mutex<HashMap<IpAddr, usize>>;

impl Admission {
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, connections: AtomicUsize::new(0), peers: Counts::default(), clients: Counts::default() })
    }

    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.caps.trusted_proxies
    }

    /// Lets a connection in until what is returned is dropped. At the cap one of this worker that is idle makes room.
    ///
    /// None: there are too many, of this peer or in all.
    pub(super) fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Permit> {
        let peer = peer.map(|peer| peer.to_canonical()).filter(|peer| !self.is_exempt(*peer)).map(block_of);
        let in_all = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let mut permit = Permit { admission: Arc::clone(self), peer: None };
        // ORDER: before anybody makes room: who has too many costs nobody else a place.
        if let Some(peer) = peer
            && !enter(&self.peers, peer, self.caps.connections_per_peer)
        {
            refused("of_one_peer");
            return None;
        }
        permit.peer = peer;
        let slack = MIN_SLACK.max(self.caps.connections / SLACK_PART);
        let has_room = in_all <= self.caps.connections
            || (in_all <= self.caps.connections.saturating_add(slack) && patrol::make_room());
        if !has_room {
            refused("in_all");
            return None;
        }
        Some(permit)
    }

    /// Lets a request of a client behind a trusted proxy in until what is returned is dropped; None: it has too many.
    pub(crate) fn admit_client(self: &Arc<Self>, client: IpAddr) -> Option<ClientPermit> {
        let client = block_of(client);
        enter(&self.clients, client, self.caps.requests_per_client)
            .then(|| ClientPermit { admission: Arc::clone(self), client })
    }

    fn is_exempt(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || self.caps.trusted_proxies.contains(peer)
    }
}

fn refused(why: &'static str) {
    metrics::counter!("quotagate_connections_refused_total", "reason" => why).increment(1);
}

/// Counts one more, unless there are `max` already.
fn enter(counts: &Counts, address: IpAddr, max: usize) -> bool {
    let mut counts = counts.lock();
    let count = counts.entry(address).or_default();
    let has_room = *count < max;
    *count += usize::from(has_room);
    if *count == 0 {
        counts.remove(&address);
    }
    has_room
}

fn leave(counts: &Counts, address: IpAddr) {
    let mut counts = counts.lock();
    if let Some(count) = counts.get_mut(&address) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&address);
        }
    }
}

/// The addresses that one caller has for itself: providers give out IPv6 by /64.
pub(super) fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) if address.is_loopback() => IpAddr::V6(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// One connection that was let in.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    /// Set where the peer is counted.
    peer: Option<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(peer) = self.peer {
            leave(&self.admission.peers, peer);
        }
    }
}

/// One request of a client behind a trusted proxy.
#[derive(Debug)]
pub(crate) struct ClientPermit {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        leave(&self.admission.clients, self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, connections_per_peer: usize, trusted: &str) -> Arc<Admission> {
        let trusted_proxies = trusted.parse().unwrap();
        Admission::new(Caps { connections, connections_per_peer, requests_per_client: 2, trusted_proxies })
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_peer_has_its_cap_and_leaves_room_for_others() {
        let admission = admission(10, 2, "192.0.2.9");
        let of = |peer| admission.admit(address(peer));

        let held = [of("192.0.2.1"), of("192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(of("192.0.2.1").is_none());
        assert!(of("192.0.2.2").is_some());
        drop(held);

        assert!(of("192.0.2.1").is_some());
        assert_eq!(admission.connections.load(Ordering::Relaxed), 0, "none is held");
        assert!(admission.peers.lock().is_empty());
    }

    #[test]
    fn loopback_and_trusted_proxies_are_capped_in_all_only() {
        let admission = admission(4, 1, "192.0.2.9");

        let held: Vec<_> =
            ["127.0.0.1", "127.0.0.1", "192.0.2.9", "192.0.2.9"].map(|peer| admission.admit(address(peer))).into();

        assert!(held.iter().all(Option::is_some));
        assert!(admission.admit(address("127.0.0.1")).is_none(), "nobody is idle here to make room");
    }

    #[test]
    fn a_trusted_proxy_by_ipv6_is_that_address_and_not_its_block() {
        let admission = admission(10, 1, "2001:db8::5");

        let proxy = ["2001:db8::5", "2001:db8::5"].map(|peer| admission.admit(address(peer)));
        let neighbour = ["2001:db8::6", "2001:db8::6"].map(|peer| admission.admit(address(peer)));

        assert_eq!(proxy.map(|permit| permit.is_some()), [true, true]);
        assert_eq!(neighbour.map(|permit| permit.is_some()), [true, false]);
    }

    #[test]
    fn an_ipv6_peer_is_its_block_of_64_bits() {
        let admission = admission(10, 1, "none");

        let held = admission.admit(address("2001:db8::1"));

        assert!(held.is_some());
        assert!(admission.admit(address("2001:db8::2")).is_none());
        assert!(admission.admit(address("2001:db8:0:1::1")).is_some());
        assert!(admission.admit(address("::ffff:192.0.2.1")).is_some());
    }

    #[test]
    fn a_client_behind_a_proxy_has_so_many_requests_at_once() {
        let admission = admission(10, 1, "192.0.2.9");
        let client = "198.51.100.7".parse().unwrap();

        let held = [admission.admit_client(client), admission.admit_client(client)];

        assert!(held.iter().all(Option::is_some));
        assert!(admission.admit_client(client).is_none());
        drop(held);
        assert!(admission.admit_client(client).is_some());
    }
}
