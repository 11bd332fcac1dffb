//! Which program a batch runs on, and which are kept. Pure.

use crate::backbone::SiteSet;
use crate::graph::Plan;

/// The plans that are installed, least recently used first; bounded, but for the covering plan.
#[derive(Debug)]
pub(super) struct PlanTable {
    covering: Plan,
    recent: Vec<Plan>,
    capacity: usize,
}

impl PlanTable {
    /// Starts with the plan that has every site, which never leaves.
    pub(super) fn new(covering: Plan, capacity: usize) -> Self {
        Self { covering, recent: Vec::new(), capacity }
    }

    /// The installed plan of all blocks with the fewest sites that covers `sites`, which counts as a use of it.
    pub(super) fn choose(&mut self, sites: SiteSet) -> Plan {
        let smallest = (0..self.recent.len())
            .filter(|&i| self.recent[i].blocks == self.covering.blocks && self.recent[i].covers(sites))
            .min_by_key(|&i| self.recent[i].sites.len());
        let plan = smallest.map_or(self.covering, |index| self.recent[index]);
        self.touch(&plan);
        plan
    }

    /// Counts a use of a plan.
    pub(super) fn touch(&mut self, plan: &Plan) {
        if let Some(index) = self.recent.iter().position(|known| known == plan) {
            let plan = self.recent.remove(index);
            self.recent.push(plan);
        }
    }

    /// Whether the plan is installed.
    pub(super) fn contains(&self, plan: &Plan) -> bool {
        *plan == self.covering || self.recent.contains(plan)
    }

    /// Whether plans can be added without another's leaving.
    pub(super) fn has_room(&self, plans: &[Plan]) -> bool {
        let new = plans.iter().filter(|plan| !self.contains(plan)).count();
        self.recent.len() + new <= self.capacity
    }

    /// Adds a plan and returns the one that must leave for it.
    pub(super) fn insert(&mut self, plan: Plan) -> Option<Plan> {
        if self.capacity == 0 {
            return Some(plan);
        }
        self.recent.push(plan);
        (self.recent.len() > self.capacity).then(|| self.recent.remove(0))
    }

    /// Number of installed plans.
    pub(super) fn len(&self) -> usize {
        1 + self.recent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{BlockRange, Site};

    fn plan(sites: &[usize]) -> Plan {
        let sites = sites.iter().map(|&i| Site::from_index(i)).collect();
        Plan { blocks: BlockRange { start: 0, end: 4 }, sites }
    }

    #[test]
    fn the_smallest_covering_plan_is_chosen() {
        let all = plan(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let mut table = PlanTable::new(all, 4);
        table.insert(plan(&[0, 1]));
        table.insert(plan(&[0, 1, 2]));
        for (sites, expected) in [
            (vec![], plan(&[0, 1])),
            (vec![1], plan(&[0, 1])),
            (vec![2], plan(&[0, 1, 2])),
            (vec![0, 2], plan(&[0, 1, 2])),
            (vec![7], all),
        ] {
            assert_eq!(table.choose(plan(&sites).sites), expected, "{sites:?}");
        }
    }

    #[test]
    fn the_least_recently_used_plan_leaves_and_the_covering_one_never() {
        let mut table = PlanTable::new(plan(&[0, 1, 2]), 2);
        assert_eq!(table.insert(plan(&[0])), None);
        assert_eq!(table.insert(plan(&[1])), None);
        table.choose(plan(&[0]).sites);
        assert_eq!(table.insert(plan(&[2])), Some(plan(&[1])));
        assert!(table.contains(&plan(&[0, 1, 2])) && !table.contains(&plan(&[1])));
    }
}
