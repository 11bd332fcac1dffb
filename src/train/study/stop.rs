//! Which arms are still worth a run.

use super::effects::Effect;
use super::protocol::{Arm, Comparison, Protocol, Stop};
use super::run::{Purpose, Run};

impl Protocol {
    /// Arms that the set number `place` needs: those of open comparisons that are made on it, those that no comparison
    /// names, and those that are always run.
    pub(super) fn needed(&self, place: usize, effects: &[Effect]) -> Vec<&Arm> {
        let set = &self.sets[place].name;
        let decides = self.stop.filter(|stop| place >= stop.after);
        let is_closed = |comparison: &Comparison| {
            let effect = effects.iter().find(|effect| effect.comparison.name == comparison.name);
            decides.is_some_and(|stop| effect.is_some_and(|effect| is_settled(effect, stop)))
        };
        let open: Vec<&Comparison> = self.comparisons.iter().filter(|one| !is_closed(one)).collect();
        let names = |one: &Comparison, arm: &Arm| one.of == arm.name || one.over == arm.name;
        let is_needed = |arm: &&Arm| {
            let is_compared = self.comparisons.iter().any(|one| names(one, arm));
            arm.always || !is_compared || open.iter().any(|one| one.is_on(set) && names(one, arm))
        };
        self.arms.iter().filter(is_needed).collect()
    }

    /// Runs that are missing on the sets before the stop rule decides.
    pub(super) fn missing(&self, runs: &[Run]) -> usize {
        let first = self.stop.map_or(0, |stop| stop.after.min(self.sets.len()));
        let is_there = |set: &str, arm: &Arm, seed: u64| {
            runs.iter().any(|run| {
                let plan = &run.plan;
                let is_cell = plan.set == set && plan.method == arm.name && plan.seed == seed;
                is_cell && plan.purpose == Purpose::Result
            })
        };
        let of = |place: usize| {
            let set = self.sets[place].name.as_str();
            let arms = self.needed(place, &[]);
            let cells =
                arms.into_iter().flat_map(|arm| self.seeds_of(arm).iter().map(move |&seed| (arm, seed)));
            cells.filter(|&(arm, seed)| !is_there(set, arm, seed)).count()
        };
        (0..first).map(of).sum()
    }

    /// The comparisons that the stop rule closes, given those of the first sets.
    pub fn settled<'a>(&self, effects: &'a [Effect]) -> Vec<&'a Effect> {
        let is_closed = |effect: &&Effect| self.stop.is_some_and(|stop| is_settled(effect, stop));
        effects.iter().filter(is_closed).collect()
    }

    /// The same protocol with the sets alone after which the stop rule decides.
    pub fn first_sets(&self) -> Self {
        let first = self.stop.map_or(self.sets.len(), |stop| stop.after);
        Self { sets: self.sets.iter().take(first).cloned().collect(), ..self.clone() }
    }
}

fn is_settled(effect: &Effect, stop: Stop) -> bool {
    effect.is_gain() && effect.estimate.is_some_and(|estimate| estimate.abs() < stop.within)
}
