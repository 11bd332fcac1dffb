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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn share(flow: u64, weight: u32) -> Share {
        Share { flow: Flow::new(flow), weight }
    }

    fn task(name: impl ToString) -> TaskId {
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

    /// Flows that always have rows waiting: each one's weight and its rows' cost, and what of it is charged in the end.
    fn served(flows: &[(u32, u64, u64)], batch: usize, batches: usize) -> Vec<u128> {
        let mut queue = Queue::default();
        let push = |queue: &mut Queue<usize>, flow: usize| {
            let (weight, cost, _) = flows[flow];
            queue.push(share(flow as u64 + 1, weight), &task("t"), cost, flow);
        };
        for flow in 0..flows.len() {
            (0..batch + 1).for_each(|_| push(&mut queue, flow));
        }
        let mut served = vec![0; flows.len()];
        for _ in 0..batches {
            let taken = queue.take(batch);
            for Taken { row, charge } in taken {
                let truth = flows[row].2;
                served[row] += u128::from(truth);
                push(&mut queue, row);
                queue.settle(charge, truth);
            }
        }
        served
    }

    proptest! {
        /// The theorem: |W_i / w_i - W_j / w_j| <= c_i / w_i + c_j / w_j while both have rows waiting.
        #[test]
        fn backlogged_flows_get_flops_by_weight_within_one_row(
            flows in prop::collection::vec((1u32..1000, 1u64..1 << 44), 2..6),
            rows in 1usize..300,
        ) {
            let flows: Vec<(u32, u64, u64)> = flows.into_iter().map(|(w, c)| (w, c, c)).collect();
            let got = served(&flows, 1, rows);
            for (i, &(wi, ci, _)) in flows.iter().enumerate() {
                for (j, &(wj, cj, _)) in flows.iter().enumerate() {
                    let (wi, wj) = (u128::from(wi), u128::from(wj));
                    let apart = (got[i] * wj).abs_diff(got[j] * wi);
                    prop_assert!(apart <= u128::from(ci) * wj + u128::from(cj) * wi, "{flows:?} {got:?}");
                }
            }
        }

        /// Estimates that are too high, as where prefixes are found, change nothing of the shares in the end.
        #[test]
        fn shares_are_of_what_rows_cost_in_truth(
            flows in prop::collection::vec((1u32..8, 100u64..200, 1u64..=100), 2..4),
            batch in 1usize..5,
        ) {
            let got = served(&flows, batch, 300);
            let per_weight: Vec<f64> =
                got.iter().zip(&flows).map(|(&got, flow)| got as f64 / f64::from(flow.0)).collect();
            let most = per_weight.iter().copied().fold(0.0, f64::max);
            let least = per_weight.iter().copied().fold(f64::MAX, f64::min);
            // Between corrections a batch may go wrong by its rows' estimates.
            let off = flows.iter().map(|flow| flow.1 as f64).fold(0.0, f64::max) * 2.0 * batch as f64;
            prop_assert!(most - least <= off, "{flows:?} {per_weight:?}");
        }

        #[test]
        fn a_light_flows_row_waits_for_at_most_one_row_of_each_other(
            others in prop::collection::vec((1u32..1000, 1u64..1 << 44, 1u64..=100), 1..6),
            before in 0usize..100,
            batch in 1usize..4,
        ) {
            let mut queue = Queue::default();
            let push = |queue: &mut Queue<usize>, flow: usize| {
                let (weight, cost, _) = others[flow];
                queue.push(share(flow as u64 + 1, weight), &task("t"), cost, flow);
            };
            for flow in 0..others.len() {
                (0..2 * batch + 2).for_each(|_| push(&mut queue, flow));
            }
            for _ in 0..before {
                for Taken { row, charge } in queue.take(batch) {
                    push(&mut queue, row);
                    let truth = (charge.cost() * others[row].2 / 100).max(1);
                    queue.settle(charge, truth);
                }
            }
            queue.push(share(100, 1), &task("t"), 1 << 44, usize::MAX);
            let mut waited: BTreeMap<usize, usize> = BTreeMap::new();
            loop {
                let Taken { row, charge } = queue.take(1).remove(0);
                if row == usize::MAX {
                    break;
                }
                *waited.entry(row).or_default() += 1;
                push(&mut queue, row);
                let cost = charge.cost();
                queue.settle(charge, cost);
            }
            prop_assert!(waited.values().all(|&rows| rows <= 1), "{waited:?}");
        }

        #[test]
        fn every_row_leaves_once_and_nothing_is_kept(
            steps in prop::collection::vec((0u64..4, 0u8..4, 1u64..100), 0..200),
        ) {
            let mut queue = Queue::default();
            let (mut taken, mut left) = (Vec::new(), Vec::new());
            for (number, (flow, what, cost)) in steps.iter().enumerate() {
                match what {
                    0 => taken.extend(queue.take(2)),
                    1 => left.extend(queue.remove(|row| row % 7 == 0)),
                    2 => taken.extend(queue.take_where(|row| row % 5 == 0)),
                    _ => queue.push(share(*flow, 1), &task(cost % 3), *cost, number),
                }
                if let Some(Taken { row, charge }) = (number % 3 == 0).then(|| taken.pop()).flatten() {
                    left.push(row);
                    queue.settle(charge, *cost);
                }
            }
            taken.extend(queue.take(usize::MAX));
            for Taken { row, charge } in taken {
                left.push(row);
                queue.settle(charge, 1);
            }
            left.sort_unstable();
            let pushed: Vec<usize> =
                steps.iter().enumerate().filter(|(_, step)| step.1 == 3).map(|(i, _)| i).collect();
            prop_assert_eq!(left, pushed);
            prop_assert!(queue.own.is_empty() && queue.flows.next().is_none() && queue.cost() == 0);
        }
    }
}
