//! Which of a worker's programs rows run on.

use super::error::Error;
use super::programs::smallest;
use super::row::Row;
use super::run::Runner;
use crate::backbone::{BlockRange, ModuleSet};
use crate::graph::Plan;

impl Runner {
    /// The last block before which the row may be cut: its first with a module, or an earlier one where there is no
    /// program for that; 0 where there is none at all. So a row without its programs keeps no other row from forking.
    pub(super) fn last_cut(&self, row: &Row) -> usize {
        match row.pack.modules.lowest_block() {
            Some(lowest) => (1..=lowest).rev().find(|&cut| self.cuts(cut, row.pack.modules)).unwrap_or(0),
            None => self.config.depth(),
        }
    }

    /// Whether there are programs for both sides of a cut, the upper with `modules`.
    pub(super) fn cuts(&self, cut: usize, modules: ModuleSet) -> bool {
        let above = BlockRange { start: cut, end: self.config.depth() };
        self.programs.contains_key(&Plan::below(cut)) && self.choose(above, modules).is_ok()
    }

    /// The best plan of `blocks` for `modules` that this worker has a program of. What the table says does not count:
    /// the workers share it, and this one may not have been handed a program yet, or not have dropped one.
    pub(super) fn choose(&self, blocks: BlockRange, modules: ModuleSet) -> Result<Plan, Error> {
        let chosen = smallest(self.programs.keys(), blocks, modules);
        chosen.ok_or_else(|| Error::NoProgram(Box::new(Plan { blocks, modules })))
    }
}
