//! What is in flight, by flow: who may have another place, and when a row's turn would come. Pure.
//!
//! A flow may hold up to [`ALPHA`] times the free places (dynamic thresholds, Choudhury and Hahne 1998), less in
//! proportion where its weight is below the greatest. So a flow alone gets four fifths of all places, two get four ninths
//! each. The last sixteenth of the places is for flows that hold none: each gets in with a quarter of it, one row at least.
//! The shared flow has all places as long as no other flow ever came.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::queue::PATIENCE;
use super::row::{Flow, Priority, Share};
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
    tasks: HashMap<(Priority, TaskId), u128>,
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
    /// its flow, what is more urgent as far as it may pass, and of each other flow as much for its weight. Of several rows
    /// the first to have its turn counts.
    pub(super) fn before<'a>(&self, share: Share, wants: impl Iterator<Item = &'a Want>) -> u128 {
        let Some(own) = self.flows.get(&share.flow) else { return 0 };
        let own_turn = wants.map(|want| own.before(share.priority, want)).min().unwrap_or(own.flops);
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
    pub(super) fn charge(&mut self, share: Share, want: &Want) {
        let Some(held) = self.flows.get_mut(&share.flow) else { return };
        let flops = u128::from(want.flops);
        self.flops += flops;
        held.flops += flops;
        *held.tasks.entry((share.priority, want.task.clone())).or_default() += flops;
    }

    /// A row gives its place back, with what was expected of it.
    pub(super) fn leave(&mut self, share: Share, want: Option<&Want>) {
        self.rows = self.rows.saturating_sub(1);
        let Some(held) = self.flows.get_mut(&share.flow) else { return };
        held.rows = held.rows.saturating_sub(1);
        if let Some(Want { task, flops }) = want {
            let flops = u128::from(*flops);
            self.flops = self.flops.saturating_sub(flops);
            held.flops = held.flops.saturating_sub(flops);
            let stand = (share.priority, task.clone());
            if let Some(own) = held.tasks.get_mut(&stand) {
                *own = own.saturating_sub(flops);
                if *own == 0 {
                    held.tasks.remove(&stand);
                }
            }
        }
        if held.rows == 0 {
            self.flows.remove(&share.flow);
        }
    }

    /// Whether rows of more than one flow are or were lately about.
    pub(super) fn is_mixed(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < ABOUT;
        let clients = self.flows.keys().filter(|flow| **flow != Flow::INTERNAL);
        clients.count() > 1 || self.other.is_some_and(lately)
    }
}

impl Held {
    /// FLOPs of the flow's own that are served before a new row of this priority.
    fn before(&self, priority: Priority, want: &Want) -> u128 {
        let mine = self.tasks.get(&(priority, want.task.clone())).copied().unwrap_or(0);
        let beside = self.tasks.iter().filter(|((level, _), _)| *level == priority);
        let turn = beside.map(|(_, &other)| other.min(mine)).sum::<u128>();
        let urgent = self.tasks.iter().filter(|((level, _), _)| *level < priority);
        let passing = PATIENCE as u128 * (turn + u128::from(want.flops));
        turn + urgent.map(|(_, &flops)| flops).sum::<u128>().min(passing)
    }
}

#[cfg(test)]
mod tests;
