//! Heads, then rungs: what was planned is trained, measured and kept.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::asked::{AutoOptions, Candidate, Limit};
use super::choice::{Standing, dropped, order};
use super::field::{Field, forget};
use super::plan::{Guess, KEPT, Schedule, schedule};
use super::state::{Begun, Record, State};
use crate::backbone::BackboneConfig;
use crate::train::data::intake::Intake;
use crate::train::method::Method;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;

/// How many images there are, by what they are for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub all: usize,
    pub held_out: usize,
    pub test: usize,
}

/// What goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub started: Instant,
    /// Seconds of earlier processes.
    pub before: f64,
}

impl Clock {
    /// Seconds since the beginning.
    pub fn spent(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}

/// A search that is under way.
pub(super) struct Search<'a> {
    pub setup: &'a Setup,
    pub options: &'a AutoOptions,
    /// Those that fit the backbone.
    pub candidates: Vec<&'a Candidate>,
    pub field: Field<'a>,
    pub state: State,
    pub clock: Clock,
    pub sizes: Sizes,
    /// Seconds of an image through all frozen blocks.
    pub frozen: f64,
}

impl<'a> Search<'a> {
    /// The backbone.
    pub fn config(&self) -> &BackboneConfig {
        self.setup.resident.config()
    }

    /// Whether a candidate is trained whole at once: it needs features alone.
    ///
    /// # Errors
    /// When the backbone's configuration contradicts itself.
    fn is_quick(&self, candidate: &Candidate) -> Result<bool> {
        // How many classes there are does not change the answer.
        Ok(candidate.method.get().demand(self.config(), 2)?.steps.is_none())
    }

    /// Trains what needs features alone.
    ///
    /// # Errors
    /// When no head alone can be trained.
    pub fn heads(&mut self, observe: &mut Observer<'_>) -> Result<()> {
        let started = Instant::now();
        let quick = self.of_kind(true)?;
        if let Some(first) = quick.first().filter(|_| self.state.written().is_none()) {
            let intake = self.intake(first);
            self.field.check(&intake, observe)?;
        }
        self.frozen = started.elapsed().as_secs_f64() / self.field.trained().max(1) as f64;
        for candidate in &quick {
            self.once((candidate, 0), candidate.method.clone(), observe)?;
        }
        let is_head = |record: &&Record| quick.iter().any(|one| one.is_head() && one.name == record.name);
        let heads: Vec<&Record> = self.state.records().iter().filter(is_head).collect();
        let failures: Vec<String> = heads.iter().filter_map(|record| record.result.clone().err()).collect();
        if failures.len() == heads.len() {
            // Nothing to go on with: the next process tries again.
            self.state.forget(self.clock.spent())?;
            ensure!(failures.is_empty(), "no head alone could be trained: {}", failures.join("; "));
        }
        Ok(())
    }

    /// Climbs the rungs; returns who was measured on the last one.
    ///
    /// # Errors
    /// When a training fails.
    pub fn rungs(&mut self, observe: &mut Observer<'_>) -> Result<Vec<&'a Candidate>> {
        let (mut left, mut measured) = (self.of_kind(false)?, Vec::new());
        if self.field.measured() == 0 {
            observe(Progress::Note("no class has two training images: there is nothing to choose by"));
            return Ok(measured);
        }
        for rung in 1.. {
            let Some(begun) = self.begun(rung, &left, observe)? else { break };
            left.retain(|candidate| begun.names.contains(&candidate.name));
            let needed: Vec<Intake> = left.iter().map(|candidate| self.intake(candidate)).collect();
            self.field.keep(&needed);
            self.climb(rung, &left, &begun, observe)?;
            let standings = self.standings(&left, rung);
            if standings.is_empty() {
                break;
            }
            measured = standings.iter().map(|(candidate, _)| *candidate).collect();
            if left.len() <= KEPT {
                break;
            }
            let of: Vec<Standing> = standings.into_iter().map(|(_, standing)| standing).collect();
            let mut goes_on = order(&of, self.options.prefer);
            goes_on.truncate(left.len().div_ceil(KEPT));
            self.drop_out(&of, &measured, &goes_on)?;
            left = goes_on.into_iter().map(|place| measured[place]).collect();
        }
        Ok(measured)
    }

    /// Keeps why some of those that were measured do not go on.
    fn drop_out(
        &mut self,
        standings: &[Standing],
        measured: &[&'a Candidate],
        goes_on: &[usize],
    ) -> Result<()> {
        let stay = (0..measured.len()).filter(|place| !goes_on.contains(place));
        let reason = |place| dropped(standings, place, goes_on, self.options.prefer);
        let reasons = stay.map(|place| (measured[place].name.clone(), reason(place))).collect();
        self.state.drop_out(reasons, self.clock.spent())
    }

    /// What a rung's candidates gave, without those that gave nothing.
    pub fn standings(&self, candidates: &[&'a Candidate], rung: usize) -> Vec<(&'a Candidate, Standing)> {
        let of = |&candidate: &&'a Candidate| {
            let found = self.state.find(&candidate.name, rung)?.result.as_ref().ok()?;
            Some((candidate, found.standing(candidate.is_head())))
        };
        candidates.iter().filter_map(of).collect()
    }

    /// Candidates that need features alone, or the others.
    ///
    /// # Errors
    /// When the backbone's configuration contradicts itself.
    pub fn of_kind(&self, is_quick: bool) -> Result<Vec<&'a Candidate>> {
        let mut found = Vec::new();
        for &candidate in &self.candidates {
            if self.is_quick(candidate)? == is_quick {
                found.push(candidate);
            }
        }
        Ok(found)
    }

    /// A rung as an earlier process began it, or as it is planned now; none where no time is left.
    fn begun(
        &mut self,
        rung: usize,
        left: &[&'a Candidate],
        observe: &mut Observer<'_>,
    ) -> Result<Option<Begun>> {
        if let Some(begun) = self.state.rung(rung) {
            return Ok(Some(begun.clone()));
        }
        // Once it was decided who won, no rung is begun.
        if left.is_empty() || self.state.decided().is_some() {
            return Ok(None);
        }
        let Some(plan) = self.plan(rung, left, observe)? else {
            observe(Progress::Note(&format!("there is no time for rung {rung}")));
            return Ok(None);
        };
        let Some(first) = plan.rungs.first() else { return Ok(None) };
        let before = self.state.rung(rung - 1).map_or(0, |begun| begun.epochs);
        if first.epochs <= before {
            return Ok(None);
        }
        let names = left.iter().take(first.candidates).map(|candidate| candidate.name.clone()).collect();
        let begun = Begun { names, epochs: first.epochs, refit: plan.refit };
        self.state.begin(begun.clone(), self.clock.spent())?;
        observe(Progress::Note(&format!(
            "rung {rung}: {} candidate(s), about {} epoch(s) each; {} more rung(s) planned",
            first.candidates,
            first.epochs,
            plan.rungs.len() - 1
        )));
        Ok(Some(begun))
    }

    fn plan(
        &mut self,
        rung: usize,
        left: &[&'a Candidate],
        observe: &mut Observer<'_>,
    ) -> Result<Option<Schedule>> {
        let longest = self.longest(left);
        if let Limit::Epochs(first) = self.options.limit {
            let first = first.saturating_mul(KEPT.saturating_pow(rung as u32 - 1)).min(longest);
            return Ok(Some(Schedule::fixed(left.len(), first, longest)));
        }
        let guess = if rung == 1 { self.guess(left, observe)? } else { Guess::default() };
        let terms = self.terms(left, guess)?;
        // Who may stand on a later rung was decided.
        Ok(if rung == 1 { schedule(&terms) } else { terms.fitting(left.len()) })
    }

    fn climb(
        &mut self,
        rung: usize,
        left: &[&'a Candidate],
        begun: &Begun,
        observe: &mut Observer<'_>,
    ) -> Result<()> {
        for (place, &candidate) in left.iter().enumerate() {
            let is_made = self.state.find(&candidate.name, rung).is_some();
            if !is_made && self.state.decided().is_some() {
                return Ok(());
            }
            if place > 0 && !is_made && self.is_late(left, begun.refit)? {
                observe(Progress::Note(&format!("rung {rung} ends early: the time left is for the winner")));
                let late =
                    |one: &&Candidate| (one.name.clone(), format!("there was no time for it on rung {rung}"));
                return self.state.drop_out(left[place..].iter().map(late).collect(), self.clock.spent());
            }
            let trainings = candidate.method.trainings(self.config())?;
            let each = (begun.epochs / trainings.max(1)).max(1);
            self.once((candidate, rung), candidate.method.clone().lasting(each), observe)?;
        }
        Ok(())
    }

    /// A candidate's training on a rung, with what went wrong if it failed, unless it was made before.
    fn once(
        &mut self,
        (candidate, rung): (&Candidate, usize),
        method: Method,
        observe: &mut Observer<'_>,
    ) -> Result<()> {
        if self.state.find(&candidate.name, rung).is_some() {
            return Ok(());
        }
        let (method, name) = (method.seeded(self.options.seed), candidate.name.as_str());
        let place = self.candidates.iter().position(|known| known.name == name).unwrap_or_default();
        let checkpoint = self.checkpoint(&format!("{rung}-{place}"));
        observe(Progress::Note(&match rung {
            0 => name.to_owned(),
            rung => format!("rung {rung}: {name}"),
        }));
        // Whatever one cannot do, others may: the choice goes on.
        let result = self.field.run(&method, &checkpoint, observe).map_err(|error| format!("{error:#}"));
        let epochs = method.epochs() * method.trainings(self.config())?;
        let steps = epochs * self.field.trained().div_ceil(method.batch().max(1));
        let record = Record { name: name.to_owned(), rung, epochs, steps, result };
        observe(Progress::Note(&told(&record)));
        self.state.add(record, self.clock.spent())?;
        forget(&checkpoint)
    }

    /// The state of a training between epochs.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.options.task.checkpoint.with_extension(format!("auto-{name}.safetensors"))
    }
}

/// A training in a line.
fn told(record: &Record) -> String {
    let Record { name, epochs, result, .. } = record;
    match result {
        Ok(found) => {
            let accuracy = found.standing(false).accuracy();
            format!("{name}: {epochs} epoch(s), accuracy {accuracy:.4}, {:.0} s", found.train_seconds)
        }
        Err(reason) => format!("{name}: {epochs} epoch(s), {reason}"),
    }
}
