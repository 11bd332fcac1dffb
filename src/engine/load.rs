//! What is in flight, by flow: who may have another place, and when a row's turn would come. Pure.
//!
//! A flow may hold up to [`ALPHA`] times the free places (dynamic thresholds, Choudhury and Hahne 1998), less in
//! proportion where its weight is below the greatest. So a flow alone gets four fifths of all places, two get four ninths
//! each. The last sixteenth of the places is for flows that hold none: each gets in with a quarter of it, one row at least.
//! The shared flow has all places as long as no other flow ever came.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::row::{Flow, Share};
use crate::pack::TaskId;

/// Places a flow may hold for each free one.
const ALPHA: u128 = 4;
/// One place in so many is for flows that hold none.
const RESERVE: usize = 16;
/// How long a flow counts as being about after its last admission.
const ABOUT: Duration = Duration::from_secs(5);

/// A row that is to be admitted.
#[derive(Clone, Debug)]
pub struct Want {
    /// Its task.
    pub task: TaskId,
    /// What it will cost at most.
    pub flops: u64,
}

/// Rows in flight.
#[derive(Debug)]
pub(super) struct Load {
    limit: usize,
    rows: usize,
    flops: u128,
    flows: HashMap<Flow, Held>,
    /// Whether a flow other than the shared one ever came.
    has_others: bool,
    last: Option<Seen>,
    /// When the flow before the last was last seen.
    other: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    flow: Flow,
    at: Instant,
}

/// What a flow holds.
#[derive(Debug, Default)]
struct Held {
    weight: u32,
    rows: usize,
    flops: u128,
    tasks: HashMap<TaskId, u128>,
}

impl Load {
    pub(super) fn new(limit: usize) -> Self {
        let (flows, has_others) = (HashMap::new(), false);
        Self { limit, rows: 0, flops: 0, flows, has_others, last: None, other: None }
    }

    /// Places that are free.
    pub(super) fn free(&self) -> usize {
        self.limit.saturating_sub(self.rows)
    }

    /// Rows in flight, as long as all are of the shared flow.
    pub(super) fn rows_of_all(&self) -> Option<usize> {
        (!self.has_others).then_some(self.rows)
    }

    /// FLOPs in flight, as far as they are known.
    pub(super) fn flops(&self) -> u128 {
        self.flops
    }

    /// Whether a flow may have `asked` of the free places.
    ///
    /// # Errors
    /// How many rows it holds, if it holds too many.
    pub(super) fn places(&self, share: Share, asked: usize) -> Result<(), usize> {
        let free = self.free();
        let is_alone = share.flow == Flow::SHARED && !self.has_others;
        let held = self.flows.get(&share.flow).map_or(0, |held| held.rows);
        let greatest = self.flows.values().map(|held| held.weight).max().unwrap_or(1).max(share.weight);
        let most = ALPHA * free as u128 * u128::from(share.weight) / u128::from(greatest.max(1));
        let left = free.checked_sub(asked);
        let is_within = (held + asked) as u128 <= most && left >= Some(self.limit / RESERVE);
        // Few rows, so that a large request leaves some of the reserve to other flows that hold none.
        let dips = held == 0 && asked <= (self.limit / RESERVE / 4).max(1);
        // As many as there are where nothing else is in flight: what fits is never refused for ever.
        let is_first = self.rows == 0;
        match left.is_some() && (is_alone || is_first || dips || is_within) {
            true => Ok(()),
            false => Err(held),
        }
    }

    /// FLOPs that are served before a new row of a flow has its turn: those of its own task, as much of each other task of
    /// its flow, and of each other flow as much for its weight. Of several tasks the first to have its turn counts.
    pub(super) fn before<'a>(&self, share: Share, tasks: impl Iterator<Item = &'a TaskId>) -> u128 {
        let Some(own) = self.flows.get(&share.flow) else { return 0 };
        let of_task = |task: &TaskId| {
            let mine = own.tasks.get(task).copied().unwrap_or(0);
            own.tasks.values().map(|&other| other.min(mine)).sum::<u128>()
        };
        let own_turn = tasks.map(of_task).min().unwrap_or(own.flops);
        let of_other = |other: &Held| {
            let fair = own_turn * u128::from(other.weight) / u128::from(share.weight.max(1));
            other.flops.min(fair)
        };
        let others = self.flows.iter().filter(|(flow, _)| **flow != share.flow);
        own_turn + others.map(|(_, other)| of_other(other)).sum::<u128>()
    }

    /// A row takes a place.
    pub(super) fn enter(&mut self, share: Share, now: Instant) {
        if share.flow != Flow::INTERNAL {
            self.see(share.flow, now);
        }
        self.rows += 1;
        let held = self.flows.entry(share.flow).or_default();
        held.weight = share.weight;
        held.rows += 1;
    }

    /// A client's flow is about.
    fn see(&mut self, flow: Flow, now: Instant) {
        self.has_others |= flow != Flow::SHARED;
        if let Some(last) = self.last.filter(|last| last.flow != flow) {
            self.other = Some(last.at);
        }
        self.last = Some(Seen { flow, at: now });
    }

    /// It is known what a row in flight will cost.
    pub(super) fn charge(&mut self, flow: Flow, want: &Want) {
        let Some(held) = self.flows.get_mut(&flow) else { return };
        let flops = u128::from(want.flops);
        self.flops += flops;
        held.flops += flops;
        *held.tasks.entry(want.task.clone()).or_default() += flops;
    }

    /// A row gives its place back, with what was expected of it.
    pub(super) fn leave(&mut self, flow: Flow, want: Option<&Want>) {
        self.rows = self.rows.saturating_sub(1);
        let Some(held) = self.flows.get_mut(&flow) else { return };
        held.rows = held.rows.saturating_sub(1);
        if let Some(Want { task, flops }) = want {
            let flops = u128::from(*flops);
            self.flops = self.flops.saturating_sub(flops);
            held.flops = held.flops.saturating_sub(flops);
            if let Some(own) = held.tasks.get_mut(task) {
                *own = own.saturating_sub(flops);
                if *own == 0 {
                    held.tasks.remove(task);
                }
            }
        }
        if held.rows == 0 {
            self.flows.remove(&flow);
        }
    }

    /// Whether rows of more than one flow are or were lately about.
    pub(super) fn is_mixed(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < ABOUT;
        let clients = self.flows.keys().filter(|flow| **flow != Flow::INTERNAL);
        clients.count() > 1 || self.other.is_some_and(lately)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(flow: u64, weight: u32) -> Share {
        Share { flow: Flow::new(flow), weight }
    }

    fn want(task: &str, flops: u64) -> Want {
        Want { task: task.parse().unwrap(), flops }
    }

    /// Takes single places until it is refused, and says how many it got.
    fn fill(load: &mut Load, share: Share) -> usize {
        let mut got = 0;
        while load.places(share, 1).is_ok() {
            load.enter(share, Instant::now());
            got += 1;
        }
        got
    }

    #[test]
    fn the_shared_flow_alone_has_all_places_and_others_leave_some() {
        let mut load = Load::new(128);
        assert_eq!(fill(&mut load, Share::EVERYBODY), 128);
        assert_eq!(load.places(Share::EVERYBODY, 1), Err(128));
        for weight in [1, 1000] {
            let mut load = Load::new(128);
            assert_eq!(fill(&mut load, share(1, weight)), 103, "four fifths");
            assert_eq!(load.places(share(1, weight), 1), Err(103));
            assert!(load.places(share(2, 1), 2).is_ok(), "a light flow gets in");
            assert!(load.places(share(2, 1), 25).is_err(), "and does not take what is kept for others");
        }
        assert_eq!(fill(&mut Load::new(1), share(1, 1)), 1);
    }

    #[test]
    fn the_servers_own_rows_take_nothing_from_the_shared_flow() {
        let mut load = Load::new(8);
        load.enter(Share::EVERYBODY, Instant::now());
        load.enter(Share::INTERNAL, Instant::now());
        assert!(!load.is_mixed(Instant::now()));
        load.leave(Flow::INTERNAL, None);
        assert_eq!(fill(&mut load, Share::EVERYBODY), 7);
    }

    #[test]
    fn many_flows_that_want_all_leave_a_place_for_the_next() {
        let mut load = Load::new(128);
        for flow in 1..=8 {
            fill(&mut load, share(flow, 1));
            assert!(load.places(share(flow + 1, 1), 1).is_ok(), "after {flow}");
        }
    }

    #[test]
    fn a_light_weight_has_fewer_places_beside_a_heavy_one() {
        let mut load = Load::new(128);
        load.enter(share(1, 4), Instant::now());
        let light = fill(&mut load, share(2, 1));
        assert!((60..70).contains(&light), "{light}");
        assert!(load.places(share(1, 4), 40).is_ok());
    }

    #[test]
    fn a_turn_comes_after_the_own_backlog_and_as_much_of_others_by_weight() {
        let mut load = Load::new(64);
        let mut add = |flow: Share, task: &str, flops| {
            load.enter(flow, Instant::now());
            load.charge(flow.flow, &want(task, flops));
        };
        add(share(1, 1), "a", 1000);
        add(share(1, 1), "b", 100);
        add(share(2, 2), "c", 150);
        add(share(3, 2), "c", 10_000);
        let names: Vec<TaskId> = ["a", "b", "new"].iter().map(|name| name.parse().unwrap()).collect();
        let before =
            |load: &Load, flow, range: std::ops::Range<usize>| load.before(flow, names[range].iter());
        // 1000 of its own, 100 of the other task, 150 of one flow, and of the other 2 for each 1.
        assert_eq!(before(&load, share(1, 1), 0..1), 1100 + 150 + 2200);
        assert_eq!(before(&load, share(1, 1), 1..2), 200 + 150 + 400);
        assert_eq!(before(&load, share(1, 1), 0..3), 0, "a task that waits for nobody comes first");
        assert_eq!(before(&load, share(9, 1), 0..1), 0, "nor does a flow that has nothing in flight wait");
        load.leave(Flow::new(1), Some(&want("a", 1000)));
        load.leave(Flow::new(1), Some(&want("b", 100)));
        assert_eq!((before(&load, share(1, 1), 0..1), load.free(), load.flops()), (0, 62, 10_150));
    }

    #[test]
    fn flows_are_about_for_a_while() {
        let (mut load, start) = (Load::new(8), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (second, flow, is_mixed) in
            [(0, 1, false), (1, 1, false), (2, 2, true), (3, 2, true), (7, 2, false), (8, 1, true)]
        {
            load.enter(share(flow, 1), at(second));
            load.leave(Flow::new(flow), None);
            assert_eq!(load.is_mixed(at(second)), is_mixed, "{second}");
        }
    }
}
