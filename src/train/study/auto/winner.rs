//! Who wins, and how long its own training is.

use anyhow::{Context, Result};

use super::asked::{Candidate, Limit};
use super::choice::{Standing, choose};
use super::plan::Guess;
use super::search::Search;
use super::state::{Decided, Measured, Record};
use crate::train::method::Method;

/// Who won.
pub(super) struct Winner<'a> {
    pub candidate: &'a Candidate,
    /// Trained on all training images.
    pub method: Method,
    pub reason: String,
    epochs: Option<usize>,
}

impl Winner<'_> {
    /// What is kept of it.
    pub fn decided(&self) -> Decided {
        let (name, reason) = (self.candidate.name.clone(), self.reason.clone());
        Decided { name, epochs: self.epochs, reason }
    }

    /// It in a line.
    pub fn told(&self) -> String {
        format!("chosen: {}, for {}", self.candidate.name, self.reason)
    }
}

impl<'a> Search<'a> {
    /// Who is chosen, and how it is trained on all training images; what was decided before stands.
    ///
    /// # Errors
    /// When nothing could be trained, or the state cannot be written.
    pub fn winner(&mut self, finalists: &[&'a Candidate]) -> Result<Winner<'a>> {
        if let Some(decided) = self.state.decided().cloned() {
            return self.told(decided);
        }
        let decided = self.decide(finalists)?;
        self.state.decide(decided.clone(), self.clock.spent())?;
        self.told(decided)
    }

    /// The best head alone in place of another winner, for a reason.
    ///
    /// # Errors
    /// When no head could be trained.
    pub fn net(&self, reason: String) -> Result<Winner<'a>> {
        self.told(Decided { name: self.best_head()?.name.clone(), epochs: None, reason })
    }

    /// The most accurate head alone; of equals the first.
    ///
    /// # Errors
    /// When none could be trained.
    pub fn best_head(&self) -> Result<&'a Candidate> {
        let heads = self.candidates.iter().copied().filter(|candidate| candidate.is_head());
        let known = heads.filter_map(|head| Some((head, self.latest(head)?.accuracy())));
        let known: Vec<(&Candidate, f64)> = known.collect();
        let best = known.into_iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
        best.map(|(head, _)| head).context("no head alone could be trained")
    }

    fn told(&self, Decided { name, epochs, reason }: Decided) -> Result<Winner<'a>> {
        let mut all = self.candidates.iter().copied();
        let candidate = all
            .find(|candidate| candidate.name == name)
            .with_context(|| format!("{name} is not a candidate"))?;
        let method = candidate.method.clone().seeded(self.options.seed);
        let trainings = candidate.method.trainings(self.config())?.max(1);
        let method = match epochs {
            Some(epochs) => method.lasting((epochs / trainings).max(1)),
            None => method,
        };
        Ok(Winner { candidate, method, reason, epochs })
    }

    fn decide(&self, finalists: &[&'a Candidate]) -> Result<Decided> {
        let quick = self.of_kind(true)?;
        let (candidate, reason) = self.best(quick.iter().chain(finalists))?;
        let name = candidate.name.clone();
        if quick.iter().any(|one| one.name == name) {
            return Ok(Decided { name, epochs: None, reason });
        }
        let epochs = self.refit(candidate)?;
        if epochs.is_none() {
            let reason = format!(
                "the time left is too short to train {name}, which would have been chosen, for half of the epochs that it \
                 was chosen by"
            );
            let (candidate, _) = self.best(quick.iter())?;
            return Ok(Decided { name: candidate.name.clone(), epochs: None, reason });
        }
        Ok(Decided { name, epochs, reason })
    }

    /// Who is chosen of some, and why.
    fn best<'b>(&self, of: impl Iterator<Item = &'b &'a Candidate>) -> Result<(&'a Candidate, String)>
    where
        'a: 'b,
    {
        let known = of.filter_map(|&candidate| Some((candidate, self.latest(candidate)?)));
        let (candidates, standings): (Vec<&Candidate>, Vec<Standing>) = known.unzip();
        let found = choose(&standings, self.options.prefer).context("no candidate could be trained")?;
        Ok((candidates[found.place], found.reason))
    }

    /// Epochs of the winner's own training: what the time allows, and at most a whole one. None where they are fewer than half
    /// of those that it was chosen by: such a model would be another one.
    fn refit(&self, candidate: &Candidate) -> Result<Option<usize>> {
        let terms = self.terms(&[candidate], Guess::default())?;
        let measured = self.last(candidate).map_or(1, |(record, _)| record.epochs);
        Ok(match (self.options.limit, terms.paces.first()) {
            (Limit::Seconds(_), Some(pace)) => terms.refit(pace, measured.div_ceil(2)),
            _ => Some(terms.longest),
        })
    }

    /// What a candidate's last training gave.
    fn latest(&self, candidate: &Candidate) -> Option<Standing> {
        self.last(candidate).map(|(_, found)| found.standing(candidate.is_head()))
    }

    /// A candidate's last training that gave something.
    fn last(&self, candidate: &Candidate) -> Option<(&Record, &Measured)> {
        let mut own = self.state.records().iter().rev().filter(|record| record.name == candidate.name);
        own.find_map(|record| Some((record, record.result.as_ref().ok()?)))
    }
}
