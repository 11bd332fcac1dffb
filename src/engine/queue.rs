//! The order in which rows are served: fair between flows by weight, then by a flow's own priorities (`levels`), fair
//! between tasks of one priority, first come first served within one task. Pure.
//!
//! Flows and tasks are start-time fair (`turns`). A row is charged when it leaves for a batch, so a row that is removed
//! before costs nothing; [`Queue::settle`] replaces the estimate by what the row cost in truth. A flow that floods the
//! queue delays mostly itself, and so does a task within a flow.

use std::collections::{BTreeMap, HashMap};

use self::levels::{Levels, Stand};
use super::turns::Turns;
use crate::engine::{Flow, Share};
use crate::pack::TaskId;

#[path = "queue/levels.rs"]
mod levels;

pub(super) use self::levels::PATIENCE;

/// Rows waiting for a batch.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// Waiting rows by arrival.
    rows: BTreeMap<u64, Queued<T>>,
    flows: Turns<Flow>,
    own: HashMap<Flow, Levels>,
    arrivals: u64,
    in_service: usize,
    cost: u128,
}

#[derive(Debug)]
struct Queued<T> {
    flow: Flow,
    stand: Stand,
    cost: u64,
    row: T,
}

/// A row that left for a batch, with what it was charged.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) row: T,
    pub(crate) charge: Charge,
}

/// What a row was charged; to be settled.
#[derive(Debug)]
#[must_use = "an unsettled row counts as being served for ever"]
pub(crate) struct Charge {
    flow: Flow,
    stand: Stand,
    cost: u64,
    flow_spell: u64,
    task_spell: u64,
}

impl Charge {
    /// The estimate.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            flows: Turns::default(),
            own: HashMap::new(),
            arrivals: 0,
            in_service: 0,
            cost: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Adds a row that will cost about `cost`.
    pub(crate) fn push(&mut self, share: Share, task: &TaskId, cost: u64, row: T) {
        self.arrivals += 1;
        self.cost += u128::from(cost);
        self.flows.wake(&share.flow, share.weight);
        let stand = Stand { priority: share.priority, task: task.clone() };
        self.own.entry(share.flow).or_default().push(&stand, self.arrivals);
        self.rows.insert(self.arrivals, Queued { flow: share.flow, stand, cost, row });
    }

    /// Takes up to `max` rows in turn.
    pub(crate) fn take(&mut self, max: usize) -> Vec<Taken<T>> {
        std::iter::from_fn(|| self.next().and_then(|arrival| self.serve(arrival))).take(max).collect()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the first row in turn that `picks` wants, looking at the oldest of each task.
    pub(crate) fn take_next(&mut self, mut picks: impl FnMut(&T) -> bool) -> Option<Taken<T>> {
        let flows = self.flows.in_turn().filter_map(|flow| self.own.get(flow));
        let is_picked = |arrival: &u64| self.rows.get(arrival).is_some_and(|queued| picks(&queued.row));
        let arrival = flows.flat_map(Levels::oldest).find(is_picked);
        self.serve(arrival?)
    }

    /// Takes the rows that `picks` wants out of turn; they are charged as others are.
    pub(crate) fn take_where(&mut self, mut picks: impl FnMut(&T) -> bool) -> Vec<Taken<T>> {
        let picked: Vec<u64> =
            self.rows.iter().filter(|(_, queued)| picks(&queued.row)).map(|(&arrival, _)| arrival).collect();
        picked.into_iter().filter_map(|arrival| self.serve(arrival)).collect()
    }

    /// Removes and returns the rows that `dead` picks; they cost nothing.
    pub(crate) fn remove(&mut self, mut dead: impl FnMut(&T) -> bool) -> Vec<T> {
        let removed: Vec<(u64, Queued<T>)> =
            self.rows.extract_if(.., |_, queued| dead(&queued.row)).collect();
        let gone = removed.into_iter().map(|(arrival, queued)| {
            self.left(arrival, &queued);
            queued.row
        });
        gone.collect()
    }

    /// A row that was taken is done and cost `cost` in truth.
    pub(crate) fn settle(&mut self, charge: Charge, cost: u64) {
        let Charge { flow, stand, cost: charged, flow_spell, task_spell } = charge;
        self.in_service = self.in_service.saturating_sub(1);
        self.flows.correct(&flow, flow_spell, charged, cost);
        if let Some(own) = self.own.get_mut(&flow) {
            own.settle(&stand, task_spell, (charged, cost));
        }
        self.end_of_spell(flow);
    }

    /// Number of rows waiting.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What the waiting rows will cost.
    pub(crate) fn cost(&self) -> u128 {
        self.cost
    }

    /// The row that has waited longest.
    pub(crate) fn oldest(&self) -> Option<&T> {
        self.rows.values().next().map(|queued| &queued.row)
    }

    /// The row whose turn it is.
    fn next(&self) -> Option<u64> {
        self.own.get(self.flows.next()?)?.next()
    }

    fn serve(&mut self, arrival: u64) -> Option<Taken<T>> {
        let queued = self.rows.remove(&arrival)?;
        let flow_spell = self.flows.serve(&queued.flow, queued.cost);
        let task_spell = self.own.entry(queued.flow).or_default().serve(&queued.stand, queued.cost);
        self.in_service += 1;
        self.left(arrival, &queued);
        let Queued { flow, stand, cost, row } = queued;
        Some(Taken { row, charge: Charge { flow, stand, cost, flow_spell, task_spell } })
    }

    /// Notes that a row waits no more.
    fn left(&mut self, arrival: u64, queued: &Queued<T>) {
        self.cost -= u128::from(queued.cost);
        let Some(own) = self.own.get_mut(&queued.flow) else { return };
        own.left(&queued.stand, arrival);
        if !own.is_waiting() {
            self.flows.sleep(&queued.flow);
        }
        self.end_of_spell(queued.flow);
    }

    /// Forgets the order of what waits no more and is not being served: of a flow's tasks, and of all flows.
    fn end_of_spell(&mut self, flow: Flow) {
        if self.own.get(&flow).is_some_and(Levels::is_over) {
            self.own.remove(&flow);
        }
        if self.rows.is_empty() && self.in_service == 0 {
            self.flows = Turns::default();
        }
    }
}

#[cfg(test)]
#[path = "queue/properties.rs"]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn share(flow: u64, weight: u32) -> Share {
        Share::new(Flow::new(flow), weight)
    }

    pub(super) fn task(name: impl ToString) -> TaskId {
        name.to_string().parse().unwrap()
    }

    /// The order of rows of one letter a task, each served before the next is taken.
    fn order(arrivals: &str, costs: fn(char) -> u64) -> String {
        let mut queue = Queue::default();
        for c in arrivals.chars() {
            queue.push(Share::EVERYBODY, &task(c), costs(c), c);
        }
        queue.take(usize::MAX).into_iter().map(|taken| taken.row).collect()
    }

    #[test]
    fn tasks_take_turns_and_each_keeps_its_order() {
        for (arrivals, expected) in
            [("aaaa", "aaaa"), ("abab", "abab"), ("aaaab", "abaaa"), ("aaabbb", "ababab"), ("aabcc", "abcac")]
        {
            assert_eq!(order(arrivals, |_| 10), expected, "{arrivals}");
        }
    }

    #[test]
    fn a_dearer_task_gets_fewer_turns() {
        assert_eq!(order("aabbbb", |c| if c == 'a' { 20 } else { 10 }), "abbabb");
    }

    #[test]
    fn a_flow_with_many_tasks_gets_no_more_than_one_with_few() {
        let mut queue = Queue::default();
        for name in ["a", "b", "c", "d"] {
            queue.push(share(1, 1), &task(name), 10, name);
        }
        for _ in 0..4 {
            queue.push(share(2, 1), &task("x"), 10, "x");
        }
        let order: String = queue.take(8).into_iter().map(|taken| taken.row).collect();
        assert_eq!(order, "axbxcxdx");
    }

    #[test]
    fn removed_rows_cost_nothing_and_leave_no_trace() {
        let mut queue = Queue::default();
        for (name, row) in [("a", 1), ("a", 2), ("b", 3)] {
            queue.push(Share::EVERYBODY, &task(name), 1, row);
        }
        assert_eq!(queue.remove(|row| row % 2 == 1), [1, 3]);
        assert_eq!((queue.len(), queue.cost()), (1, 1));
        let taken = queue.take(8).remove(0);
        assert_eq!(taken.row, 2);
        queue.settle(taken.charge, 1);
        assert!(queue.own.is_empty() && queue.flows.next().is_none());
        // Thousand dead rows of a flow delay it by nothing.
        for row in 0..1000 {
            queue.push(share(1, 1), &task("t"), 10, row);
        }
        queue.remove(|_| true);
        queue.push(share(2, 1), &task("t"), 10, -2);
        queue.push(share(2, 1), &task("t"), 10, -2);
        queue.push(share(1, 1), &task("t"), 10, -1);
        let rows: Vec<i32> = queue.take(3).into_iter().map(|taken| taken.row).collect();
        assert_eq!(rows, [-2, -1, -2]);
    }
}
