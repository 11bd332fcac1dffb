//! How many alike events are written; time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::event::{Event, Who};

/// Failed or refused events of a source that are written in an interval.
const REFUSALS: u64 = 5;
/// Events of a source's publishing that are written in an interval.
const DEEDS: u64 = 60;
/// Sources that are told apart in an interval, of those that are known and of those that are not.
const MOST: usize = 4096;
/// The interval.
const INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// Whose events are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Source {
    event: &'static str,
    reason: Option<&'static str>,
    tenant: Option<Arc<str>>,
    key: Option<Arc<str>>,
    /// Where neither tenant nor key is known: an IPv4 address, or an IPv6 network of 64 bits, which is what one host has.
    address: Option<IpAddr>,
}

/// Events that were not written one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The event's name.
    pub event: &'static str,
    /// The reason of a failed authentication.
    pub reason: Option<&'static str>,
    /// Whose they are: a key, or an address or IPv6 network of 64 bits. Nobody stands for several.
    pub who: Who,
    /// How many.
    pub count: u64,
    /// The interval's beginning.
    pub from: Timestamp,
    /// The interval's end.
    pub to: Timestamp,
}

/// What one source did in the interval.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    events: u64,
    written: u64,
}

/// Counts alike events. Strangers have a table of their own, so that they cannot crowd out who showed a key.
#[derive(Debug)]
pub struct Limiter {
    known: HashMap<Source, Seen>,
    strangers: HashMap<Source, Seen>,
    since: Timestamp,
}

impl Limiter {
    /// Starts the first interval.
    pub fn new(now: Timestamp) -> Self {
        Self { known: HashMap::new(), strangers: HashMap::new(), since: now }
    }

    /// Whether this event is written; else it is counted.
    pub fn admit(&mut self, who: &Who, event: &Event) -> bool {
        let (Some(most), Some(mut source)) = (most(event), source(who, event)) else { return true };
        let is_known = source.tenant.is_some() || source.key.is_some();
        let table = if is_known { &mut self.known } else { &mut self.strangers };
        if table.len() >= MOST && !table.contains_key(&source) {
            source = Source { tenant: None, key: None, address: None, ..source };
        }
        let seen = table.entry(source).or_default();
        let is_written = seen.events < most;
        seen.events += 1;
        seen.written += u64::from(is_written);
        is_written
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
        let tables = [std::mem::take(&mut self.known), std::mem::take(&mut self.strangers)];
        let counts = tables.into_iter().flatten().filter(|(_, seen)| seen.events > seen.written);
        let mut counts: Vec<_> = counts.map(|(source, seen)| (source, seen.events - seen.written)).collect();
        counts.sort_unstable();
        let count = |(source, count): (Source, u64)| {
            let Source { event, reason, tenant, key, address } = source;
            Count { event, reason, who: Who { tenant, key, address }, count, from, to: now }
        };
        counts.into_iter().map(count).collect()
    }
}

/// How many events of a kind are written of one source in an interval; none where clients cannot cause them.
fn most(event: &Event) -> Option<u64> {
    match event {
        Event::AuthenticationFailed { .. } | Event::ScopeRefused { .. } => Some(REFUSALS),
        Event::Published { .. }
        | Event::RefusedPublish { .. }
        | Event::Unloaded { .. }
        | Event::Confirm { .. } => Some(DEEDS),
        Event::TenantsReloaded { .. }
        | Event::TenantsRefused { .. }
        | Event::KeyAdded { .. }
        | Event::KeyChanged { .. }
        | Event::KeyRevoked { .. } => None,
    }
}

/// Whose event it is; none where the server did it by itself.
fn source(who: &Who, event: &Event) -> Option<Source> {
    let reason = match event {
        Event::AuthenticationFailed { reason } => Some(*reason),
        _ => None,
    };
    let Who { tenant, key, address } = who.clone();
    let is_known = tenant.is_some() || key.is_some();
    if !is_known && address.is_none() && reason.is_none() {
        return None;
    }
    let address = address.filter(|_| !is_known).map(network);
    Some(Source { event: event.name(), reason, tenant, key, address })
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

    fn host(n: u32) -> Who {
        Who { address: Some(IpAddr::from(std::net::Ipv4Addr::from_bits(n))), ..Who::default() }
    }

    fn key(id: &str) -> Who {
        Who { tenant: Some("acme".into()), key: Some(id.into()), ..host(1) }
    }

    fn failed(reason: &'static str) -> Event {
        Event::AuthenticationFailed { reason }
    }

    #[test]
    fn the_first_are_written_and_the_others_counted() {
        let (mut limiter, unknown) = (Limiter::new(at(0)), failed("unknown"));
        let written = (0..100).filter(|_| limiter.admit(&host(1), &unknown)).count();
        assert_eq!(written, 5);
        assert!(limiter.admit(&host(2), &unknown) && limiter.admit(&host(1), &failed("expired")));
        assert_eq!(limiter.turn(at(59)), []);
        let (event, reason, who) = ("authentication_failed", Some("unknown"), host(1));
        let count = Count { event, reason, who, count: 95, from: at(0), to: at(60) };
        assert_eq!(limiter.turn(at(60)), [count]);
        assert!(limiter.admit(&host(1), &unknown) && limiter.turn(at(120)).is_empty());
    }

    #[test]
    fn a_key_is_one_source_wherever_it_comes_from() {
        let mut limiter = Limiter::new(at(0));
        let (refused, task) =
            (Event::ScopeRefused { scope: "admin", task: None }, |n: u64| format!("acme.{n}"));
        let from = |n: u32| Who { address: host(n).address, ..key("k1") };
        assert_eq!((0..100).filter(|n| limiter.admit(&from(*n), &refused)).count(), 5);
        assert!(limiter.admit(&key("k2"), &refused), "another key");
        for (i, event) in [
            Event::Published { task: task(1), version: 1 },
            Event::RefusedPublish { task: task(1), reason: "broken".into() },
            Event::Confirm { unpublished: 0 },
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!((0..100).filter(|_| limiter.admit(&key("k1"), &event)).count(), 60, "{i}");
            // What the server finds by itself is bounded by its folder, and what an operator does by the operator.
            assert!((0..100).all(|_| limiter.admit(&Who::default(), &event)));
        }
        let told = limiter.turn(at(60));
        assert_eq!(told.iter().map(|count| count.count).sum::<u64>(), 95 + 3 * 40);
        assert!(told.iter().all(|count| count.who == Who { address: None, ..key("k1") }));
    }

    #[test]
    fn strangers_do_not_crowd_out_keys() {
        let mut limiter = Limiter::new(at(0));
        for n in 0..10_000 {
            limiter.admit(&host(n), &failed("unknown"));
        }
        let reload = Event::Published { task: "t".into(), version: 1 };
        assert!((0..60).all(|_| limiter.admit(&key("k1"), &reload)));
    }

    #[test]
    fn addresses_without_end_take_bounded_room() {
        let (mut limiter, unknown) = (Limiter::new(at(0)), failed("unknown"));
        let written = (0..100_000_u32).filter(|n| limiter.admit(&host(*n), &unknown)).count();
        assert_eq!(limiter.strangers.len(), MOST + 1);
        assert_eq!(written, MOST + REFUSALS as usize);
        let told = limiter.end(at(1));
        assert_eq!((told.len(), told[0].who.address), (1, None));
        assert_eq!(told[0].count, 100_000 - written as u64);
        let of = |n: u128| Some(IpAddr::from(Ipv6Addr::from_bits(0xfd << 120 | n)));
        let hosts = (0..100).map(|n| Who { address: of(n), ..Who::default() });
        assert_eq!(hosts.filter(|host| limiter.admit(host, &unknown)).count(), 5);
    }
}
