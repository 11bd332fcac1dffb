//! Which program a batch runs on, and which are kept. Pure.

use crate::backbone::{BackboneConfig, BlockRange, ModuleSet};
use crate::graph::Plan;

/// The plans that are installed, least recently used first; bounded, but for the covering ones.
#[derive(Debug)]
pub(super) struct PlanTable {
    /// Adapters everywhere: what packs have if no other form was ever asked for. It never leaves.
    base: Plan,
    /// What covers every form that was asked for, at its places in every block.
    covering: Plan,
    /// What runs rows that run apart, once a pack needs it: those with prompts, which have more tokens than others, and
    /// those whose heads read depths.
    apart: Vec<Plan>,
    recent: Vec<Plan>,
    capacity: usize,
}

impl PlanTable {
    /// Starts with the plan that has every adapter.
    pub(super) fn new(base: Plan, capacity: usize) -> Self {
        Self { base, covering: base, apart: Vec::new(), recent: Vec::new(), capacity }
    }

    /// Whether some plan of all blocks covers `modules`.
    pub(super) fn covers(&self, modules: ModuleSet) -> bool {
        match runs_apart(modules) {
            true => self.apart.iter().any(|plan| plan.covers(modules)),
            false => self.covering.covers(modules),
        }
    }

    /// Keeps a plan of rows that run apart, of which there is one for each kind.
    pub(super) fn keep_apart(&mut self, plan: Plan) {
        self.apart.retain(|other| !is_alike(other.modules, plan.modules));
        self.apart.push(plan);
    }

    /// The plan that covers most.
    pub(super) fn covering(&self) -> Plan {
        self.covering
    }

    /// Makes a plan the one that covers most. Returns the one that was, if it must leave.
    pub(super) fn cover(&mut self, plan: Plan) -> Option<Plan> {
        let before = std::mem::replace(&mut self.covering, plan);
        (before != self.base && before != plan).then_some(before)
    }

    /// Whether rows with `modules` can be cut right before the first of them. Without any only heads differ, which needs
    /// no program.
    pub(super) fn cuts(&self, modules: ModuleSet) -> bool {
        let Some(cut) = modules.lowest_block() else { return true };
        let above = BlockRange { start: cut, end: self.base.blocks.end };
        self.contains(&Plan::below(cut)) && smallest(&self.recent, above, modules).is_some()
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
        [self.base, self.covering].contains(plan) || self.apart.contains(plan) || self.recent.contains(plan)
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
        1 + usize::from(self.covering != self.base) + self.apart.len() + self.recent.len()
    }
}

/// Whether rows with these modules run apart from all others.
fn runs_apart(modules: ModuleSet) -> bool {
    modules.has_prompts() || modules.reads_depths()
}

/// Whether rows with either modules may run on one program.
fn is_alike(one: ModuleSet, other: ModuleSet) -> bool {
    one.has_prompts() == other.has_prompts() && one.reads_depths() == other.reads_depths()
}

/// The plan of what runs rows with these modules apart; none where they run beside others.
pub(super) fn plan_apart(config: &BackboneConfig, modules: ModuleSet) -> Option<Plan> {
    match modules.reads_depths() {
        // One program for all depths: what one row has read, another finds kept.
        true => Some(Plan::reading(config)),
        false => modules.has_prompts().then(|| Plan::whole(config, modules)),
    }
}

/// The plan of `blocks` with the fewest modules that covers `modules`, and has prompts or depths only if they do.
pub(super) fn smallest<'a>(
    plans: impl IntoIterator<Item = &'a Plan>,
    blocks: BlockRange,
    modules: ModuleSet,
) -> Option<Plan> {
    let alike = |plan: &Plan| is_alike(plan.modules, modules);
    let fitting =
        plans.into_iter().filter(|plan| plan.blocks == blocks && plan.covers(modules) && alike(plan));
    fitting.copied().min_by_key(|plan| (plan.modules.len(), *plan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{Form, Module, Place, Site};

    const BLOCKS: BlockRange = BlockRange { start: 0, end: 4 };

    fn choose(plans: &[Plan], modules: ModuleSet) -> Option<Plan> {
        smallest(plans, BLOCKS, modules)
    }

    fn plan(adapters: &[usize]) -> Plan {
        let sites: Vec<Site> = Site::of_adapters(BLOCKS).collect();
        Plan { blocks: BLOCKS, modules: adapters.iter().map(|&i| sites[i]).collect() }
    }

    #[test]
    fn the_smallest_covering_plan_is_chosen() {
        let all = plan(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let here = [all, plan(&[0, 1]), plan(&[0, 1, 2])];
        for (adapters, expected) in [
            (vec![], plan(&[0, 1])),
            (vec![1], plan(&[0, 1])),
            (vec![2], plan(&[0, 1, 2])),
            (vec![0, 2], plan(&[0, 1, 2])),
            (vec![7], all),
        ] {
            assert_eq!(choose(&here, plan(&adapters).modules), Some(expected), "{adapters:?}");
        }
        assert_eq!(choose(&here[1..], plan(&[7]).modules), None);
        assert_eq!(smallest(&here, BlockRange { start: 1, end: 4 }, ModuleSet::EMPTY), None);
    }

    #[test]
    fn the_least_recently_used_plan_leaves_and_the_covering_one_never() {
        let mut table = PlanTable::new(plan(&[0, 1, 2]), 2);
        assert_eq!(table.insert(plan(&[0])), None);
        assert_eq!(table.insert(plan(&[1])), None);
        table.touch(&plan(&[0]));
        assert_eq!(table.insert(plan(&[2])), Some(plan(&[1])));
        assert!(table.contains(&plan(&[0, 1, 2])) && !table.contains(&plan(&[1])));
    }

    #[test]
    fn a_cut_needs_programs_for_both_sides() {
        let late = plan(&[6]).modules;
        let cut = late.lowest_block().unwrap();
        let above = Plan { blocks: BlockRange { start: cut, ..BLOCKS }, modules: late };
        let mut table = PlanTable::new(plan(&[0, 1, 2, 3, 4, 5, 6, 7]), 4);
        assert!(table.cuts(ModuleSet::EMPTY) && !table.cuts(late));
        table.insert(above);
        assert!(!table.cuts(late), "nothing runs below");
        table.insert(Plan::below(cut));
        assert!(table.cuts(late) && !table.cuts(plan(&[7, 0]).modules));
    }

    #[test]
    fn a_form_that_nobody_asked_for_costs_nothing_and_a_wider_covering_plan_replaces_the_one_before() {
        let base = plan(&[0, 1]);
        let shift = ModuleSet::from_iter([Module { site: Site::new(1, Place::Q), form: Form::Shift }]);
        let wider = |forms| Plan { blocks: BLOCKS, modules: base.modules.union(forms) };
        let mut table = PlanTable::new(base, 2);
        assert!(table.covers(base.modules) && !table.covers(shift));
        assert_eq!(table.cover(wider(shift)), None, "the first one stays");
        let both =
            shift.union(ModuleSet::from_iter([Module { site: Site::new(1, Place::V), form: Form::Shift }]));
        assert_eq!(table.cover(wider(both)), Some(wider(shift)));
        assert!(table.covers(shift) && table.contains(&base) && table.contains(&wider(both)));
    }
}
