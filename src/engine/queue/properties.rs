//! What holds of the order whatever comes: shares, waits, and that nothing is lost or kept.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{share, task};
use super::*;
use crate::engine::Priority;

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(Priority::ALL.to_vec())
}

/// The order in which rows of one cost a flow are served, in batches, each as the flow that it is of and its number.
fn order(rows: &[(u64, Priority, u8)], batch: usize) -> Vec<(u64, usize)> {
    let mut queue = Queue::default();
    for (number, &(flow, priority, of)) in rows.iter().enumerate() {
        queue.push(share(flow, 1 + flow as u32).at(priority), &task(of), 10 + flow, (flow, number));
    }
    let mut order = Vec::new();
    while !queue.is_empty() {
        for Taken { row, charge } in queue.take(batch) {
            order.push(row);
            let cost = charge.cost();
            queue.settle(charge, cost);
        }
    }
    order
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
        priorities in prop::collection::vec(priority(), 200),
    ) {
        let mut queue = Queue::default();
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for (number, (flow, what, cost)) in steps.iter().enumerate() {
            match what {
                0 => taken.extend(queue.take(2)),
                1 => left.extend(queue.remove(|row| row % 7 == 0)),
                2 => taken.extend(queue.take_where(|row| row % 5 == 0)),
                _ => queue.push(share(*flow, 1).at(priorities[number]), &task(cost % 3), *cost, number),
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

    #[test]
    fn priorities_change_nothing_between_flows(
        rows in prop::collection::vec((1u64..4, priority(), 0u8..3), 0..120),
        batch in 1usize..5,
    ) {
        let usual: Vec<_> = rows.iter().map(|&(flow, _, of)| (flow, Priority::default(), of)).collect();
        let flows = |rows: &[_]| order(rows, batch).into_iter().map(|(flow, _)| flow).collect::<Vec<u64>>();
        prop_assert_eq!(flows(&rows), flows(&usual));
    }

    #[test]
    fn the_higher_priority_goes_first_in_its_flow(
        rows in prop::collection::vec((1u64..3, priority(), 0u8..3), 0..PATIENCE),
        batch in 1usize..5,
    ) {
        let order = order(&rows, batch);
        for flow in 1..3 {
            let served: Vec<Priority> =
                order.iter().filter(|row| row.0 == flow).map(|&(_, number)| rows[number].1).collect();
            prop_assert!(served.is_sorted(), "{served:?}");
        }
    }

    /// A row that is the first of its priority waits for [`PATIENCE`] rows of its flow, and one of each starved priority.
    #[test]
    fn no_priority_waits_for_ever(
        mut floods in prop::collection::vec((priority(), 1u64..100), 1..8),
        before in 0usize..100,
        batch in 1usize..4,
    ) {
        floods.retain(|(priority, _)| *priority < Priority::Low);
        prop_assume!(!floods.is_empty());
        let mut queue = Queue::default();
        let push = |queue: &mut Queue<usize>, flood: usize| {
            let (priority, cost) = floods[flood];
            queue.push(share(1, 1).at(priority), &task(flood), cost, flood);
        };
        for flood in 0..floods.len() {
            (0..batch + 1).for_each(|_| push(&mut queue, flood));
        }
        let serve = |queue: &mut Queue<usize>, most: usize| -> Vec<usize> {
            let taken = queue.take(most).into_iter().map(|Taken { row, charge }| {
                let cost = charge.cost();
                (row, charge, cost)
            });
            let taken: Vec<_> = taken.collect();
            taken.into_iter().map(|(row, charge, cost)| {
                queue.settle(charge, cost);
                if row != usize::MAX {
                    push(queue, row);
                }
                row
            }).collect()
        };
        (0..before).for_each(|_| drop(serve(&mut queue, batch)));
        queue.push(share(1, 1).at(Priority::Low), &task("patient"), 1 << 40, usize::MAX);
        let waited = (0..10 * PATIENCE).take_while(|_| serve(&mut queue, 1) != [usize::MAX]).count();
        prop_assert!(waited <= PATIENCE + Priority::ALL.len() - 2, "{waited}");
        // And lower ones are not served before, as long as there are others.
        prop_assert!(waited >= PATIENCE, "{waited}");
    }
}
