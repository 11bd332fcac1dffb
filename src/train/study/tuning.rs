//! Settings chosen on a split of the training images.

use anyhow::{Result, anyhow};

use super::entrant::Entrant;
use super::methods::{Failed, Meeting};
use super::run::{Purpose, Run};
use super::settings::Settings;
use crate::pack;
use crate::train::optim::diverged::Diverged;
use crate::train::progress::{Observer, Progress};

/// Seed of the runs that settings are chosen by.
const TUNING_SEED: u64 = 0;

impl Meeting<'_> {
    /// The candidate with the best accuracy on a split of the training images; of equals the one with the least loss.
    pub(super) fn choose(
        &mut self,
        entrant: &Entrant,
        observe: &mut Observer<'_>,
        done: &mut dyn FnMut(&Run),
    ) -> Result<Settings> {
        let own = self.prepared(entrant, &Settings::default(), TUNING_SEED)?.rates();
        let said = self.options.settings.get(&entrant.name).cloned().unwrap_or_default();
        let mut best: Option<(Settings, Run)> = None;
        for candidate in said.candidates(own) {
            let method = self.prepared(entrant, &candidate, TUNING_SEED)?;
            let run = match self.once(entrant, &method, (Purpose::Tuning, TUNING_SEED), observe, done) {
                Err(error) if has_diverged(&error) => {
                    let rate = candidate.learning_rate.unwrap_or(own.learning_rate);
                    observe(Progress::Note(&format!("{} at a rate of {rate}: {error:#}", entrant.name)));
                    continue;
                }
                run => run?,
            };
            let score = |run: &Run| (run.figures.accuracy, -run.figures.loss);
            if best.as_ref().is_none_or(|(_, held)| score(&run) > score(held)) {
                best = Some((candidate, run));
            }
        }
        let none = || Failed(anyhow!("no setting of the grid ends with finite numbers"));
        Ok(best.map(|(settings, _)| settings).ok_or_else(none)?)
    }
}

/// Whether a training ended because its numbers grew without bound.
pub(super) fn has_diverged(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Failed>().map_or(error, |failed| &failed.0);
    let in_pack = matches!(error.downcast_ref::<pack::Error>(), Some(pack::Error::Weights { .. }));
    in_pack || error.downcast_ref::<Diverged>().is_some()
}
