//! From candidates to a pack: the search, the winner's own training, what it is worth against the head alone.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::asked::{AutoOptions, Candidate};
use super::field::{Field, Own, answers, forget, trained};
use super::found::{Absent, Against, Found};
use super::identity::opened;
use super::report::write;
use super::search::{Clock, Search, Sizes};
use super::state::Written;
use super::told::{command, tried};
use super::winner::Winner;
use crate::backbone::BackboneConfig;
use crate::train::data::dataset::partition::Partition;
use crate::train::data::features::Features;
use crate::train::data::load::{Overflow, load};
use crate::train::options::TaskOptions;
use crate::train::outcome::Outcome;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;
use crate::train::task::train;

/// Most bytes of outputs of frozen blocks that candidates share: 1 GiB.
const FEATURES: u64 = 1 << 30;

/// The result of an automatic choice.
#[derive(Clone, Debug)]
pub struct Automatic {
    /// What was tried and chosen.
    pub found: Found,
    /// The page of its report.
    pub report: PathBuf,
    /// The winner's pack.
    pub written: Written,
    /// The winner's own training; none where an earlier process wrote the pack and ended before its report.
    pub outcome: Option<Outcome>,
}

/// The winner, and its pack.
struct Made<'a> {
    winner: Winner<'a>,
    written: Written,
    outcome: Option<Outcome>,
}

/// Chooses the best candidate on a split of the training images, trains it on all of them, and writes its pack. What was
/// measured is kept beside the checkpoint until then: the same call goes on where another process ended.
///
/// # Errors
/// When the data cannot be trained on, the outputs are no classes, the state belongs to another choice, or a training fails.
pub fn auto(setup: &Setup, options: &AutoOptions, observe: &mut Observer<'_>) -> Result<Automatic> {
    let started = Instant::now();
    let problem = options.task.images.problem;
    ensure!(problem.is_single_label(), "candidates are compared by single labels, not by {problem}");
    // Within a bound of memory nothing is shared.
    let shared = || options.task.memory.is_none().then(|| Arc::new(Features::new(FEATURES)));
    let setup = &Setup { features: setup.features.clone().or_else(shared), ..setup.clone() };
    let all = Partition::open(&options.task.images)?;
    let state = opened(setup, options, &all)?;
    let (candidates, left_out) = fitting(setup.resident.config(), options);
    ensure!(
        candidates.iter().any(|candidate| candidate.is_head()),
        "a head alone is not among the candidates"
    );
    let reports = options.reports.join(options.task.task.as_str());
    fs::create_dir_all(&reports).with_context(|| reports.display().to_string())?;
    let field = Field::new(setup, options, &all);
    let clock = Clock { started, before: state.spent() };
    let sizes = Sizes { all: all.train.len(), held_out: all.validation.len(), test: all.test.len() };
    let mut search = Search { setup, options, candidates, field, state, clock, sizes, frozen: 0.0 };
    search.heads(observe)?;
    let finalists = search.rungs(observe)?;
    let Made { winner, written, outcome } = search.made(&finalists, observe)?;
    let compared = search.compared(&winner, outcome.as_ref(), &all, observe);
    let found = search.found(&winner, &finalists, left_out, compared)?;
    let report = write(&reports, &found).with_context(|| reports.display().to_string())?;
    search.state.remove()?;
    Ok(Automatic { found, report, written, outcome })
}

/// Candidates that fit the backbone, and the others with the reason.
fn fitting<'a>(config: &BackboneConfig, options: &'a AutoOptions) -> (Vec<&'a Candidate>, Vec<Absent>) {
    let (mut fit, mut left_out) = (Vec::new(), Vec::new());
    for candidate in &options.candidates {
        match candidate.method.get().check(config) {
            Ok(()) => fit.push(candidate),
            Err(error) => {
                left_out.push(Absent { name: candidate.name.clone(), reason: format!("{error:#}") });
            }
        }
    }
    (fit, left_out)
}

impl<'a> Search<'a> {
    /// Trains the winner on all training images and writes its pack, unless an earlier process did. Where its training
    /// fails, the head alone is trained instead.
    fn made(&mut self, finalists: &[&'a Candidate], observe: &mut Observer<'_>) -> Result<Made<'a>> {
        let mut winner = self.winner(finalists)?;
        observe(Progress::Note(&winner.told()));
        if let Some(written) = self.state.written().cloned() {
            return Ok(Made { winner, written, outcome: None });
        }
        self.field.keep(&[]);
        let outcome = match self.own(&winner, observe) {
            Err(error) if !winner.candidate.is_head() => {
                let reason = format!("the training of {} failed: {error:#}", winner.candidate.name);
                winner = self.net(reason)?;
                observe(Progress::Note(&winner.told()));
                forget(&self.checkpoint("winner"))?;
                // What fails for both is no fault of the winner.
                self.own(&winner, observe).map_err(|_| error)?
            }
            made => made?,
        };
        let written = Written { folder: outcome.folder.clone(), refused: outcome.refused.clone() };
        self.state.publish(winner.decided(), written.clone(), self.clock.spent())?;
        Ok(Made { winner, written, outcome: Some(outcome) })
    }

    fn own(&self, winner: &Winner<'_>, observe: &mut Observer<'_>) -> Result<Outcome> {
        let task = TaskOptions {
            method: winner.method.clone(),
            checkpoint: self.checkpoint("winner"),
            resume: true,
            ..self.options.task.clone()
        };
        train(self.setup, &task, observe)
    }

    /// The chosen one against the best head alone, or why they were not compared: the pack is there whatever comes of it.
    fn compared(
        &self,
        winner: &Winner<'_>,
        outcome: Option<&Outcome>,
        all: &Partition,
        observe: &mut Observer<'_>,
    ) -> Result<Option<Against>, String> {
        if winner.candidate.is_head() {
            return Ok(None);
        }
        let outcome = outcome.ok_or("the process that wrote the pack ended before that")?;
        self.against(outcome, all, observe).map(Some).map_err(|error| format!("{error:#}"))
    }

    /// The chosen one against the best head alone, trained on the same images.
    fn against(&self, outcome: &Outcome, all: &Partition, observe: &mut Observer<'_>) -> Result<Against> {
        let head = self.best_head()?;
        let (what, images) = match all.test.is_empty() {
            true => (all.held_out.clone(), &all.validation),
            false => ("the test images".to_owned(), &all.test),
        };
        let method = head.method.clone().seeded(self.options.seed);
        let path = self.checkpoint("head");
        let memory = self.options.task.memory;
        let overflow = Overflow { train: memory.is_some(), held_out: false, beside: &path };
        let nothing = Partition { validation: Vec::new(), test: Vec::new(), ..all.clone() };
        let loaded = load(self.setup, &nothing, &method.get().intake(self.config()), &overflow, observe)?;
        let own = Own { checkpoint: &path, memory };
        let head = trained(self.setup, &nothing, &method, (loaded, own), observe)?.model;
        let of = |model| answers(self.setup, model, images, all);
        Ok(Against::of(what, &of(&outcome.model)?, &of(&head)?))
    }

    fn found(
        &self,
        winner: &Winner<'_>,
        finalists: &[&Candidate],
        mut left_out: Vec<Absent>,
        compared: Result<Option<Against>, String>,
    ) -> Result<Found> {
        let (config, records) = (self.config(), self.state.records());
        let (against, unmatched) = compared.map_or_else(|reason| (None, Some(reason)), |found| (found, None));
        let missed = match self.field.measured() {
            0 => "no class has two training images: there is nothing to choose by",
            _ => "there was no time for it",
        };
        for candidate in &self.candidates {
            if !records.iter().any(|record| record.name == candidate.name) {
                left_out.push(Absent { name: candidate.name.clone(), reason: missed.to_owned() });
            }
        }
        let names: Vec<&str> = finalists.iter().map(|candidate| candidate.name.as_str()).collect();
        let (candidate, method) = (winner.candidate, &winner.method);
        let each =
            (!self.of_kind(true)?.iter().any(|one| one.name == candidate.name)).then(|| method.epochs());
        Ok(Found {
            version: env!("CARGO_PKG_VERSION").into(),
            task: self.options.task.task.to_string(),
            backbone: config.name.clone(),
            fingerprint: self.setup.resident.identity(),
            limit: self.options.limit,
            prefer: self.options.prefer,
            seed: self.options.seed,
            trained: self.field.trained(),
            measured: self.field.measured(),
            tried: tried(&self.state, &candidate.name, &names),
            left_out,
            chosen: candidate.name.clone(),
            reason: winner.reason.clone(),
            epochs: method.epochs() * method.trainings(config)?,
            command: command(&self.options.command, candidate, each)?,
            against,
            unmatched,
            seconds: self.clock.spent(),
        })
    }
}
