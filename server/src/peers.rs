//! Where connections come from, and how many from each address.

use crate::Config;
use ahash::RandomState;
use ipnet::IpNet;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// The header in which proxies say who has called them, each at the end of what the one before has said.
pub(crate) const FORWARDED_FOR: &str = "x-forwarded-for";

/// How many bits of an IPv6 address name a subscriber's network: within it a single machine has addresses by the
/// billion.
const NETWORK_BITS: u32 = 64;

/// The addresses that have connections, and how many.
#[derive(Debug)]
pub(crate) struct Peers {
    limit: usize,
    dry_run: bool,
    proxies: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize, RandomState>>,
}

/// A connection's place among those of its address. Dropping it makes room.
#[derive(Debug)]
pub(crate) struct Seat {
    peers: Arc<Peers>,
    /// Of IPv6 the network.
    pub(crate) address: IpAddr,
    /// Whether there was no room for it, and it is only counted.
    pub(crate) excess: bool,
}

/// The address has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Reads an address or a network.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| {
        format!(
            "invalid trusted proxy {text:?}: allowed is an address such as 127.0.0.1 or ::1, or a network such as \
             10.0.0.0/8"
        )
    })
}

impl Peers {
    /// As the settings, which were checked, say; `None` when addresses do not matter.
    pub(crate) fn new(config: &Config) -> Option<Arc<Self>> {
        let limit = config.limits.connections_per_address;
        let proxies = config.trusted_proxies.iter().filter_map(|proxy| network(proxy).ok()).collect();
        let peers = Self { limit, dry_run: config.limits.dry_run, proxies, open: Mutex::default() };
        (limit > 0).then(|| Arc::new(peers))
    }

    /// A place for a connection from `peer`, whose request has these headers `X-Forwarded-For`.
    pub(crate) fn seat<'a>(
        self: &Arc<Self>,
        peer: SocketAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> Result<Box<Seat>, Full> {
        let address = network_of(self.client(peer.ip().to_canonical(), forwarded));
        let mut open = self.open.lock();
        let count = open.entry(address).or_default();
        let excess = *count >= self.limit;
        if excess && !self.dry_run {
            return Err(Full);
        }
        *count += 1;
        Ok(Box::new(Seat { peers: self.clone(), address, excess }))
    }

    /// Who is behind `peer`: the last one named by a proxy that is believed and is none itself. A client may write what
    /// it likes in front of that.
    fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a [u8]>) -> IpAddr {
        let believed = |address: &IpAddr| self.proxies.iter().any(|proxy| proxy.contains(address));
        let mut client = peer;
        for hop in forwarded.rev().flat_map(|line| line.rsplit(|&byte| byte == b',')) {
            if !believed(&client) {
                break;
            }
            match address(hop) {
                Some(before) => client = before,
                None => break,
            }
        }
        client
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.peers.open.lock().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// An address as proxies write it: some with the port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(limit: usize, proxies: &[&str]) -> Arc<Peers> {
        let mut config = Config::default();
        config.limits.connections_per_address = limit;
        config.trusted_proxies = proxies.iter().map(|proxy| (*proxy).to_owned()).collect();
        assert_eq!(config.check(), Ok(()));
        Peers::new(&config).expect("a limit")
    }

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let lines = forwarded.iter().map(|line| line.as_bytes());
        peers(1, proxies).client(peer.parse().expect("an address"), lines).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted = &["10.0.0.0/8", "::1"][..];
        for (proxies, peer, forwarded, expected) in [
            (&[][..], "10.0.0.1", &["198.51.100.7"][..], "10.0.0.1"),
            (trusted, "192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            (trusted, "10.0.0.1", &[], "10.0.0.1"),
            (trusted, "10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            // What the client itself has written comes first.
            (trusted, "10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            (trusted, "10.0.0.1", &["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
            (trusted, "10.0.0.1", &["203.0.113.9, 198.51.100.7,10.1.1.1 , 10.2.2.2"], "198.51.100.7"),
            (trusted, "10.0.0.1", &["10.9.9.9"], "10.9.9.9"),
            (trusted, "::1", &["2001:db8::1"], "2001:db8::1"),
            (trusted, "10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            (trusted, "10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            (trusted, "10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            (trusted, "10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            // Nothing is believed behind what makes no sense.
            (trusted, "10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1"),
            (trusted, "10.0.0.1", &["198.51.100.7, "], "10.0.0.1"),
        ] {
            assert_eq!(client(proxies, peer, forwarded), expected, "{proxies:?} {peer} {forwarded:?}");
        }
    }

    #[test]
    fn so_many_from_one_address_and_a_seat_that_is_left_is_free() {
        let peers = peers(2, &[]);
        let seat = |peer: &str| peers.seat(peer.parse().expect("an address"), [].into_iter()).ok();
        let (one, _two) = (seat("192.0.2.1:1").expect("room"), seat("192.0.2.1:2").expect("room"));
        assert!(seat("192.0.2.1:3").is_none() && seat("[::ffff:192.0.2.1]:3").is_none());
        let _other = seat("192.0.2.2:1").expect("another address");
        drop(one);
        let _three = seat("192.0.2.1:3").expect("room again");
        assert!(seat("192.0.2.1:4").is_none());
        let _networks = [seat("[2001:db8::1]:1").expect("room"), seat("[2001:db8::2]:1").expect("room")];
        assert!(seat("[2001:db8::3]:1").is_none() && seat("[2001:db8:0:1::1]:1").is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let peers = peers(2, &[]);
        let seats: Vec<_> =
            (0..9).map(|n| peers.seat(([192, 0, 2, n], 1).into(), [].into_iter()).expect("room")).collect();
        assert_eq!(peers.open.lock().len(), 9);
        drop(seats);
        assert!(peers.open.lock().is_empty());
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        for good in ["127.0.0.1", "::1", "10.0.0.0/8", "2001:db8::/32"] {
            assert!(network(good).is_ok(), "{good}");
        }
        for bad in ["", "proxy.example", "10.0.0.0/33", "10.0.0.0/", "*"] {
            assert!(network(bad).expect_err(bad).contains(&format!("{bad:?}")));
        }
    }
}
