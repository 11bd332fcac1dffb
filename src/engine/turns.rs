//! Whose turn it is among peers with weights. Pure.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng 1996): a peer that wakes begins at the later of the virtual time and
//! its own finish tag; what it is served moves its tag on by cost / weight; the least tag is next. An idle peer saves
//! nothing up. A peer that wakes waits for at most one piece of each other.
//!
//! Tags are exact: what a division leaves over is kept for the next one.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Bits after the point of a tag.
const POINT: u32 = 32;

/// Peers that take turns.
#[derive(Debug)]
pub(super) struct Turns<K> {
    peers: HashMap<K, Peer>,
    /// Peers with something to serve.
    ready: BTreeMap<Turn, K>,
    /// Peers with nothing to serve and nothing in service whose tags are ahead of the virtual time.
    idle: BTreeMap<Turn, K>,
    virtual_time: u128,
    /// Counts tags that were set, so that equal tags have an order and spells have numbers.
    set: u64,
}

/// By tag, then by when it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    tag: u128,
    order: u64,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    turn: Turn,
    /// What the last division left over.
    rest: u128,
    weight: u32,
    is_ready: bool,
    /// Pieces that were charged and not corrected yet: until then the peer is not forgotten.
    in_service: usize,
    /// How far its tag was moved up when it woke behind the virtual time. A later correction fills this first.
    lifted: u128,
    /// Since when nothing was forgotten of what it was served.
    spell: u64,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { peers: HashMap::new(), ready: BTreeMap::new(), idle: BTreeMap::new(), virtual_time: 0, set: 0 }
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// A peer has something to serve. Its weight holds from now on.
    pub(super) fn wake(&mut self, key: &K, weight: u32) {
        let weight = weight.max(1);
        let mut peer = self.taken_out(key).unwrap_or_else(|| self.newcomer(weight));
        if peer.weight != weight {
            (peer.weight, peer.rest) = (weight, 0);
        }
        let now = self.now();
        // Who waits already may be behind it by a refund, which is theirs.
        if !peer.is_ready && peer.turn.tag < now {
            self.set += 1;
            peer.lifted += now - peer.turn.tag;
            (peer.turn.tag, peer.spell) = (now, self.set);
        }
        peer.is_ready = true;
        self.put_back(key, peer);
    }

    /// A peer has nothing more to serve.
    pub(super) fn sleep(&mut self, key: &K) {
        if let Some(mut peer) = self.taken_out(key) {
            peer.is_ready = false;
            self.put_back(key, peer);
        }
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> Option<&K> {
        self.ready.values().next()
    }

    /// All that have something to serve, in turn.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &K> {
        self.ready.values()
    }

    /// Charges a peer for a piece. Returns its spell, for [`Self::correct`], which is to follow.
    pub(super) fn serve(&mut self, key: &K, cost: u64) -> u64 {
        let first = self.ready.keys().next().map_or(0, |turn| turn.tag);
        self.virtual_time = self.virtual_time.max(first);
        let Some(mut peer) = self.taken_out(key) else { return 0 };
        peer.charge(cost.max(1));
        peer.in_service += 1;
        self.set += 1;
        peer.turn.order = self.set;
        self.put_back(key, peer);
        self.forget_paid();
        peer.spell
    }

    /// Replaces what a peer was charged in a spell by what the piece cost in truth.
    pub(super) fn correct(&mut self, key: &K, spell: u64, charged: u64, cost: u64) {
        let Some(mut peer) = self.taken_out(key) else { return };
        let (charged, cost) = (charged.max(1), cost.max(1));
        let before = peer.turn.tag;
        peer.charge(cost.saturating_sub(charged));
        let filled = peer.lifted.min(peer.turn.tag - before);
        peer.turn.tag -= filled;
        peer.lifted -= filled;
        // Since the peer woke behind the virtual time, what it has too much of the past is no credit.
        if peer.spell == spell {
            peer.refund(charged.saturating_sub(cost));
        }
        peer.in_service = peer.in_service.saturating_sub(1);
        if peer.in_service == 0 {
            peer.lifted = 0;
        }
        self.put_back(key, peer);
    }

    /// The virtual time as a newcomer sees it: never ahead of a peer that waits.
    fn now(&self) -> u128 {
        self.ready.keys().next().map_or(self.virtual_time, |turn| turn.tag.min(self.virtual_time))
    }

    fn newcomer(&mut self, weight: u32) -> Peer {
        self.set += 1;
        let turn = Turn { tag: self.now(), order: self.set };
        Peer { turn, rest: 0, weight, is_ready: false, in_service: 0, lifted: 0, spell: self.set }
    }

    fn taken_out(&mut self, key: &K) -> Option<Peer> {
        let peer = self.peers.remove(key)?;
        let line = if peer.is_ready { &mut self.ready } else { &mut self.idle };
        line.remove(&peer.turn);
        Some(peer)
    }

    fn put_back(&mut self, key: &K, peer: Peer) {
        // An idle peer without debt is as good as new; the table must not grow with every name.
        let is_served = peer.in_service > 0;
        if !peer.is_ready && !is_served && peer.turn.tag <= self.virtual_time {
            return;
        }
        if peer.is_ready {
            self.ready.insert(peer.turn, key.clone());
        } else if !is_served {
            self.idle.insert(peer.turn, key.clone());
        }
        self.peers.insert(key.clone(), peer);
    }

    /// Forgets idle peers whose debts the virtual time has reached.
    fn forget_paid(&mut self) {
        while let Some(paid) = self.idle.first_entry().filter(|first| first.key().tag <= self.virtual_time) {
            self.peers.remove(&paid.remove());
        }
    }
}

impl Peer {
    fn charge(&mut self, cost: u64) {
        let (all, weight) = ((u128::from(cost) << POINT) + self.rest, u128::from(self.weight));
        self.turn.tag = self.turn.tag.saturating_add(all / weight);
        self.rest = all % weight;
    }

    fn refund(&mut self, cost: u64) {
        let (back, weight) = (u128::from(cost) << POINT, u128::from(self.weight));
        let beyond = back.saturating_sub(self.rest);
        let steps = beyond.div_ceil(weight);
        self.turn.tag = self.turn.tag.saturating_sub(steps);
        self.rest = self.rest.saturating_sub(back) + (steps * weight - beyond);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_refund_takes_back_exactly_what_was_charged(
            weight in 1u32..,
            costs in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let mut turns = Turns::default();
            turns.wake(&'a', weight);
            let before = turns.peers[&'a'];
            for &cost in &costs {
                let spell = turns.serve(&'a', cost);
                turns.correct(&'a', spell, cost, 1);
            }
            let mut expected = before;
            expected.charge(costs.len() as u64);
            let after = turns.peers[&'a'];
            prop_assert_eq!((after.turn.tag, after.rest), (expected.turn.tag, expected.rest));
        }
    }

    #[test]
    fn a_correction_of_what_was_forgotten_gives_no_credit() {
        let mut turns = Turns::default();
        turns.wake(&'a', 1);
        let old = turns.serve(&'a', 100);
        turns.sleep(&'a');
        turns.wake(&'b', 1);
        for _ in 0..5 {
            turns.serve(&'b', 100);
        }
        turns.wake(&'a', 1);
        let tag = turns.peers[&'a'].turn.tag;
        turns.correct(&'a', old, 100, 1);
        assert_eq!(turns.peers[&'a'].turn.tag, tag);
    }

    #[test]
    fn a_long_piece_is_charged_although_its_peer_slept_meanwhile() {
        let mut turns = Turns::default();
        turns.wake(&'b', 1);
        turns.wake(&'a', 1);
        let spell = turns.serve(&'a', 10);
        turns.sleep(&'a');
        for _ in 0..5 {
            let own = turns.serve(&'b', 100);
            turns.correct(&'b', own, 100, 100);
        }
        turns.correct(&'a', spell, 10, 10_000);
        turns.wake(&'a', 1);
        assert_eq!(turns.next(), Some(&'b'), "who was served 10000 comes after who was served 500");
    }

    #[test]
    fn paid_debts_are_forgotten() {
        let mut turns = Turns::default();
        for key in 0..100 {
            turns.wake(&key, 1);
            let spell = turns.serve(&key, 10);
            turns.correct(&key, spell, 10, 10);
            turns.sleep(&key);
        }
        turns.wake(&100, 1);
        for _ in 0..1000 {
            turns.serve(&100, 10);
        }
        assert_eq!((turns.peers.len(), turns.idle.len(), turns.ready.len()), (1, 0, 1));
    }
}
