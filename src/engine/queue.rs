//! The order in which rows are served: fair between flows by weight, then between a flow's tasks, first come first
//! served within one. Pure.
//!
//! Both levels are start-time fair (`turns`). A row is charged when it leaves for a batch, so a row that is removed
//! before costs nothing; [`Queue::settle`] replaces the estimate by what the row cost in truth. A flow that floods the
//! queue delays mostly itself, and so does a task within a flow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::turns::Turns;
use crate::engine::{Flow, Share};
use crate::pack::TaskId;

/// Rows waiting for a batch.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// Waiting rows by arrival.
    rows: BTreeMap<u64, Queued<T>>,
    flows: Turns<Flow>,
    own: HashMap<Flow, Tasks>,
    arrivals: u64,
    in_service: usize,
    cost: u128,
}

#[derive(Debug)]
struct Queued<T> {
    share: Share,
    task: TaskId,
    cost: u64,
    row: T,
}

/// The tasks of one flow.
#[derive(Debug, Default)]
struct Tasks {
    turns: Turns<TaskId>,
    /// Arrivals of each task's waiting rows.
    waiting: HashMap<TaskId, BTreeSet<u64>>,
    in_service: usize,
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
    task: TaskId,
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
        let own = self.own.entry(share.flow).or_default();
        own.turns.wake(task, 1);
        own.waiting.entry(task.clone()).or_default().insert(self.arrivals);
        self.rows.insert(self.arrivals, Queued { share, task: task.clone(), cost, row });
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
        let oldest = |own: &Tasks| -> Vec<u64> {
            own.turns.in_turn().filter_map(|task| own.waiting.get(task)?.first().copied()).collect()
        };
        let is_picked = |arrival: &u64| self.rows.get(arrival).is_some_and(|queued| picks(&queued.row));
        let arrival = flows.flat_map(oldest).find(is_picked);
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
        let Charge { flow, task, cost: charged, flow_spell, task_spell } = charge;
        self.in_service = self.in_service.saturating_sub(1);
        self.flows.correct(&flow, flow_spell, charged, cost);
        if let Some(own) = self.own.get_mut(&flow) {
            own.in_service = own.in_service.saturating_sub(1);
            own.turns.correct(&task, task_spell, charged, cost);
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
        let own = self.own.get(self.flows.next()?)?;
        own.waiting.get(own.turns.next()?)?.first().copied()
    }

    fn serve(&mut self, arrival: u64) -> Option<Taken<T>> {
        let queued = self.rows.remove(&arrival)?;
        let flow = queued.share.flow;
        let flow_spell = self.flows.serve(&flow, queued.cost);
        let own = self.own.entry(flow).or_default();
        let task_spell = own.turns.serve(&queued.task, queued.cost);
        own.in_service += 1;
        self.in_service += 1;
        self.left(arrival, &queued);
        let Queued { task, cost, row, .. } = queued;
        Some(Taken { row, charge: Charge { flow, task, cost, flow_spell, task_spell } })
    }

    /// Notes that a row waits no more.
    fn left(&mut self, arrival: u64, queued: &Queued<T>) {
        self.cost -= u128::from(queued.cost);
        let flow = queued.share.flow;
        let Some(own) = self.own.get_mut(&flow) else { return };
        if let Some(waiting) = own.waiting.get_mut(&queued.task) {
            waiting.remove(&arrival);
            if waiting.is_empty() {
                own.waiting.remove(&queued.task);
                own.turns.sleep(&queued.task);
            }
        }
        if own.waiting.is_empty() {
            self.flows.sleep(&flow);
        }
        self.end_of_spell(flow);
    }

    /// Forgets the order of what waits no more and is not being served: of a flow's tasks, and of all flows.
    fn end_of_spell(&mut self, flow: Flow) {
        if self.own.get(&flow).is_some_and(|own| own.waiting.is_empty() && own.in_service == 0) {
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
        Share { flow: Flow::new(flow), weight }
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
