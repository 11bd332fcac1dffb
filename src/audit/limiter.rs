//! How many alike events are written; time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use jiff::{SignedDuration, Timestamp};

/// Events of an address and reason that are written in an interval.
const WRITTEN: u64 = 5;
/// Addresses and reasons that are told apart in an interval.
const MOST: usize = 4096;
/// The interval.
const INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// Whose events are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Source {
    /// An IPv4 address or an IPv6 network of 64 bits, which is what one host has; none for all that have no room.
    address: Option<IpAddr>,
    reason: &'static str,
}

/// Events that were not written one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The address, or the IPv6 network of 64 bits; none for several.
    pub address: Option<IpAddr>,
    /// The reason.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// The interval's beginning.
    pub from: Timestamp,
    /// The interval's end.
    pub to: Timestamp,
}

/// Counts events by address and reason.
#[derive(Debug)]
pub struct Limiter {
    seen: HashMap<Source, u64>,
    since: Timestamp,
}

impl Limiter {
    /// Starts the first interval.
    pub fn new(now: Timestamp) -> Self {
        Self { seen: HashMap::new(), since: now }
    }

    /// Whether this event is written; else it is counted.
    pub fn admit(&mut self, address: Option<IpAddr>, reason: &'static str) -> bool {
        let mut source = Source { address: address.map(network), reason };
        if self.seen.len() >= MOST && !self.seen.contains_key(&source) {
            source.address = None;
        }
        let seen = self.seen.entry(source).or_default();
        *seen += 1;
        *seen <= WRITTEN
    }

    /// At an interval's end, what was counted in it.
    pub fn turn(&mut self, now: Timestamp) -> Vec<Count> {
        let passed = now - self.since;
        if passed < INTERVAL && passed >= SignedDuration::ZERO {
            return Vec::new();
        }
        self.end(now)
    }

    /// Ends the interval, and gives what was counted in it.
    pub fn end(&mut self, now: Timestamp) -> Vec<Count> {
        let from = std::mem::replace(&mut self.since, now);
        let seen = std::mem::take(&mut self.seen).into_iter().filter(|(_, seen)| *seen > WRITTEN);
        let mut seen: Vec<_> = seen.collect();
        seen.sort_unstable();
        let count = |(source, seen): (Source, u64)| Count {
            address: source.address,
            reason: source.reason,
            count: seen - WRITTEN,
            from,
            to: now,
        };
        seen.into_iter().map(count).collect()
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_first_are_written_and_the_others_counted() {
        let mut limiter = Limiter::new(at(0));
        let host = |n: u32| Some(IpAddr::from(std::net::Ipv4Addr::from_bits(n)));
        let written = (0..100).filter(|_| limiter.admit(host(1), "unknown")).count();
        assert_eq!(written, 5);
        assert!(limiter.admit(host(2), "unknown") && limiter.admit(host(1), "expired"));
        assert_eq!(limiter.turn(at(59)), []);
        let told = limiter.turn(at(60));
        assert_eq!(told, [Count { address: host(1), reason: "unknown", count: 95, from: at(0), to: at(60) }]);
        assert!(limiter.admit(host(1), "unknown") && limiter.turn(at(120)).is_empty());
    }

    #[test]
    fn addresses_without_end_take_bounded_room() {
        let mut limiter = Limiter::new(at(0));
        let written = (0..100_000_u32)
            .filter(|n| limiter.admit(Some(std::net::Ipv4Addr::from_bits(*n).into()), "unknown"))
            .count();
        assert_eq!(limiter.seen.len(), MOST + 1);
        assert_eq!(written, MOST + WRITTEN as usize);
        let told = limiter.end(at(1));
        assert_eq!((told.len(), told[0].address), (1, None));
        assert_eq!(told[0].count, 100_000 - written as u64);
        let hosts = (0..100_u128).map(|n| IpAddr::from(Ipv6Addr::from_bits(0xfd << 120 | n)));
        assert_eq!(hosts.filter(|host| limiter.admit(Some(*host), "unknown")).count(), 5);
    }
}
