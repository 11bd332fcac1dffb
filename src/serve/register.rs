//! Who is connected, and who goes when places run out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::peer::{Peer, Phase, Reason};
use crate::metrics::Metrics;

/// Longest wait for a closed connection's place; its task only has to be scheduled.
const CLOSING: Duration = Duration::from_secs(1);

/// A phase younger than this is not held against a connection: the next request, a body or an answer may be on its way.
const YOUNG: Duration = Duration::from_secs(1);
/// The same of a connection between two requests.
const YOUNG_IDLE: Duration = Duration::from_secs(5);
/// Ranks of the young: those that have had an answer go last.
const UNKNOWN: u8 = u8::MAX - 1;
const KNOWN: u8 = u8::MAX;
/// The same of a header, which clients send with their connection's last handshake.
const YOUNG_HEADER: Duration = Duration::from_millis(100);
/// The same behind TLS, whose handshake goes to and fro before the header.
const YOUNG_HANDSHAKE: Duration = Duration::from_secs(1);
/// If one connection in this many has no whole header, somebody is stalling, and the oldest goes however young.
const STALLING: usize = 8;

/// Every open connection.
pub(super) struct Register {
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    most: usize,
    young_header: Duration,
    changed: Notify,
    metrics: Arc<Metrics>,
}

/// A connection's place; given back when dropped.
pub(super) struct Place {
    register: Arc<Register>,
    number: u64,
    pub(super) peer: Arc<Peer>,
}

impl Register {
    /// Holds at most `most` connections, which speak TLS or do not.
    pub(super) fn new(most: usize, is_sealed: bool, metrics: Arc<Metrics>) -> Arc<Self> {
        let young_header = if is_sealed { YOUNG_HANDSHAKE } else { YOUNG_HEADER };
        Arc::new(Self { peers: Mutex::default(), most, young_header, changed: Notify::new(), metrics })
    }

    /// A place for connection `number`. If there is none, the least deserving connection goes.
    pub(super) async fn place(self: &Arc<Self>, number: u64) -> Option<Place> {
        while self.len() >= self.most {
            if !self.make_room().await {
                self.count(Reason::Full);
                return None;
            }
        }
        let peer = Arc::new(Peer::new(Instant::now()));
        self.lock().insert(number, Arc::clone(&peer));
        self.metrics.connections.connections.inc();
        self.metrics.connections.connections_accepted.inc();
        Some(Place { register: Arc::clone(self), number, peer })
    }

    /// Closes one connection and waits until it is gone. Returns false if the server works for every one of them.
    pub(super) async fn make_room(&self) -> bool {
        let before = self.len();
        // A connection that is already closing makes room too.
        let leaving = self.lock().values().any(|peer| peer.condemned().is_some());
        if !leaving {
            let Some((victim, reason)) = self.least_deserving(Instant::now()) else { return false };
            victim.close(reason);
        }
        let gone = async {
            while self.len() >= before {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(CLOSING, gone).await.is_ok() || self.len() < before
    }

    /// The oldest without a whole header; else the longest idle; else the one whose body is coming the longest; else the
    /// one that takes its answer the longest; else, of those young in what they do, the oldest, first of those that have had
    /// no answer yet. A request being worked on keeps its place.
    fn least_deserving(&self, now: Instant) -> Option<(Arc<Peer>, Reason)> {
        let peers = self.lock();
        let phases: Vec<_> = peers.values().map(|peer| (peer, peer.phase())).collect();
        let headers = phases.iter().filter(|(_, (phase, _))| *phase == Phase::Header).count();
        let young_header =
            if headers * STALLING >= phases.len() { Duration::ZERO } else { self.young_header };
        let ranked = phases.into_iter().filter_map(|(peer, (phase, since))| {
            let (rank, reason) = match phase {
                Phase::Header => (0, Reason::CrowdedHeader),
                Phase::Idle => (1, Reason::CrowdedIdle),
                Phase::Body => (2, Reason::CrowdedBody),
                Phase::Answer => (3, Reason::CrowdedAnswer),
                Phase::Working => return None,
            };
            let young = match phase {
                Phase::Header => young_header,
                Phase::Idle => YOUNG_IDLE,
                _ => YOUNG,
            };
            let is_young = now.saturating_duration_since(since) < young;
            let rank = match (is_young, peer.is_known()) {
                (false, _) => rank,
                (true, false) => UNKNOWN,
                (true, true) => KNOWN,
            };
            Some(((rank, since), peer, reason))
        });
        let (_, peer, reason) = ranked.min_by_key(|(order, _, _)| *order)?;
        Some((Arc::clone(peer), reason))
    }

    /// Counts a closed connection.
    pub(super) fn count(&self, reason: Reason) {
        self.metrics.connections.connections_closed.with_label_values(&[reason.as_str()]).inc();
    }

    /// Makes every connection check its deadlines again.
    pub(super) fn wake_all(&self) {
        self.lock().values().for_each(|peer| peer.wake());
    }

    /// Closes every connection.
    pub(super) fn close_all(&self) {
        self.lock().values().for_each(|peer| peer.close(Reason::Drain));
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        while self.len() > 0 {
            self.changed.notified().await;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.register.lock().remove(&self.number);
        self.register.metrics.connections.connections.dec();
        // Only the accepting task waits; the permit keeps a change that comes before it waits.
        self.register.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::Stage;
    use super::*;

    async fn register(most: usize) -> (Arc<Register>, Vec<Place>) {
        let register = Register::new(most, false, Arc::new(Metrics::new().unwrap()));
        let mut places = Vec::new();
        for number in 0..most as u64 {
            places.push(register.place(number).await.unwrap());
        }
        (register, places)
    }

    #[tokio::test]
    async fn f6_the_oldest_without_a_header_goes_first_then_the_longest_idle() {
        let (register, places) = register(5).await;
        let now = Instant::now();
        let later = now + YOUNG_IDLE * 2;
        // 0 and 1 stall in their header; 2 is idle; 3 sends a body; 4 is worked for.
        for (place, stage) in [(2, Stage::Working), (3, Stage::Body), (4, Stage::Working)] {
            places[place].peer.entered(false, stage, now);
        }
        places[2].peer.moved(Stage::Working, None, now);
        let mut places: Vec<_> = places.into_iter().map(Some).collect();
        for (expected, reason) in [
            (0, Reason::CrowdedHeader),
            (1, Reason::CrowdedHeader),
            (2, Reason::CrowdedIdle),
            (3, Reason::CrowdedBody),
        ] {
            let (victim, found) = register.least_deserving(later).unwrap();
            assert_eq!(found, reason);
            assert!(Arc::ptr_eq(&victim, &places[expected].as_ref().unwrap().peer), "not {expected}");
            places[expected] = None;
        }
        assert!(register.least_deserving(later).is_none(), "a request being worked on keeps its place");
    }

    #[tokio::test]
    async fn f6_a_client_between_two_requests_does_not_go_before_an_old_body() {
        let (register, places) = register(STALLING + 1).await;
        let now = Instant::now();
        let later = now + YOUNG_IDLE * 2;
        places[0].peer.entered(false, Stage::Body, now);
        places[3..].iter().for_each(|place| place.peer.entered(false, Stage::Working, now));
        // 1 has just been answered, 2 has just begun its header.
        for (place, since) in [(1, later), (2, later - YOUNG_HEADER / 2)] {
            places[place].peer.entered(false, Stage::Working, now);
            places[place].peer.moved(Stage::Working, None, since);
        }
        places[2].peer.received(later - YOUNG_HEADER / 2);
        let mut places: Vec<_> = places.into_iter().map(Some).collect();
        for expected in [0, 2, 1] {
            let (victim, _) = register.least_deserving(later).unwrap();
            assert!(Arc::ptr_eq(&victim, &places[expected].as_ref().unwrap().peer), "not {expected}");
            places[expected] = None;
        }
    }

    #[tokio::test]
    async fn f6_a_client_that_was_answered_outlives_a_flood_of_bodies() {
        let (register, places) = register(3).await;
        let now = Instant::now();
        let later = now + YOUNG_IDLE / 2;
        places[0].peer.entered(false, Stage::Answer, now);
        places[0].peer.moved(Stage::Answer, None, now);
        places[1].peer.entered(false, Stage::Body, later);
        places[2].peer.entered(false, Stage::Body, later);
        let (victim, _) = register.least_deserving(later).unwrap();
        assert!(!Arc::ptr_eq(&victim, &places[0].peer));
    }

    #[tokio::test]
    async fn f6_a_full_house_takes_a_new_client_and_counts_who_went() {
        let (register, mut places) = register(2).await;
        let first = places.remove(0);
        let leaving = tokio::spawn(async move {
            while first.peer.condemned().is_none() {
                tokio::task::yield_now().await;
            }
            drop(first);
        });
        assert!(register.place(9).await.is_some());
        leaving.await.unwrap();
        let now = Instant::now();
        places[0].peer.entered(false, Stage::Working, now);
        let (full, held) = (Arc::clone(&register), register.place(10).await.unwrap());
        held.peer.entered(false, Stage::Working, now);
        assert!(full.place(11).await.is_none(), "everybody is being worked for");
    }
}
