//! From candidates to a pack: the search, the winner's own training, what it is worth against the head alone.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::asked::{AutoOptions, Candidate, Limit};
use super::choice::{Choice, Standing, choose};
use super::field::{Field, answers, trained};
use super::found::{Absent, Against, Found};
use super::plan::Guess;
use super::search::{Clock, Search, Sizes};
use super::state::State;
use super::told::{command, tried};
use crate::backbone::{BackboneConfig, hex};
use crate::runtime::rounding;
use crate::train::data::dataset::image::Image;
use crate::train::data::dataset::partition::Partition;
use crate::train::data::features::Features;
use crate::train::data::load::{Overflow, load};
use crate::train::fingerprint::{Fingerprint, ROUNDING};
use crate::train::method::Method;
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
    /// The winner's own training.
    pub outcome: Outcome,
}

/// Who won.
struct Winner<'a> {
    candidate: &'a Candidate,
    /// Trained on all training images.
    method: Method,
    reason: String,
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
    let features = setup.features.clone().unwrap_or_else(|| Arc::new(Features::new(FEATURES)));
    let setup = &Setup { features: Some(features), ..setup.clone() };
    let all = Partition::open(&options.task.images)?;
    let state = opened(setup, options, &all)?;
    let (candidates, left_out) = fitting(setup.resident.config(), options);
    ensure!(
        candidates.iter().any(|candidate| candidate.is_head()),
        "a head alone is not among the candidates"
    );
    let field = Field::new(setup, &all, options.seed, &options.task.checkpoint);
    let clock = Clock { started, before: state.spent() };
    let sizes = Sizes { all: all.train.len(), held_out: all.validation.len(), test: all.test.len() };
    let mut search = Search { setup, options, candidates, field, state, clock, sizes, frozen: 0.0 };
    search.heads(observe)?;
    let finalists = search.rungs(observe)?;
    let winner = search.winner(&finalists)?;
    observe(Progress::Note(&format!("chosen: {}, for {}", winner.candidate.name, winner.reason)));
    let task = TaskOptions {
        method: winner.method.clone(),
        checkpoint: search.checkpoint("winner"),
        resume: true,
        ..options.task.clone()
    };
    search.field.clear();
    let outcome = train(setup, &task, observe)?;
    let against = search.against(&winner, &outcome, &all, observe)?;
    let found = search.found(&winner, &finalists, left_out, against)?;
    search.state.remove()?;
    Ok(Automatic { found, outcome })
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

/// What earlier processes measured. A choice that begins forgets the trainings of one whose record was removed.
fn opened(setup: &Setup, options: &AutoOptions, all: &Partition) -> Result<State> {
    let path = options.task.checkpoint.with_extension("auto.json");
    let state = State::open(&path, &identity(setup, options, all)?)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    if state.records().is_empty() {
        sweep(&options.task.checkpoint)?;
    }
    Ok(state)
}

fn sweep(checkpoint: &Path) -> Result<()> {
    let (Some(folder), Some(stem)) = (checkpoint.parent(), checkpoint.file_stem()) else { return Ok(()) };
    let begin = format!("{}.auto-", stem.to_string_lossy());
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&begin) && name.ends_with(".safetensors") {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Identity of the state: anything else would choose or train otherwise.
fn identity(setup: &Setup, options: &AutoOptions, all: &Partition) -> Result<Fingerprint> {
    let told: Vec<(&str, &[String])> =
        options.candidates.iter().map(|one| (one.name.as_str(), &one.options[..])).collect();
    Fingerprint::default()
        .with("version", &env!("CARGO_PKG_VERSION"))?
        .with("backbone", &setup.resident.identity())?
        .with("origin", &options.task.images)?
        .with("images", &digest([&all.train, &all.validation, &all.test]))?
        .with("candidates", &told)?
        .with("limit", &options.limit)?
        .with("prefer", &options.prefer)?
        .with("seed", &options.seed)?
        .with("limits.max_bytes", &setup.limits.max_bytes)?
        .with("limits.max_pixels", &setup.limits.max_pixels)?
        .with(ROUNDING, &rounding(setup.resident.runtime())?)
}

/// SHA-256 of classes and paths.
fn digest(parts: [&[Image]; 3]) -> String {
    let mut digest = Sha256::new();
    for images in parts {
        digest.update((images.len() as u64).to_le_bytes());
        for image in images {
            let path = image.path.as_os_str().as_encoded_bytes();
            digest.update((image.class as u64).to_le_bytes());
            digest.update((path.len() as u64).to_le_bytes());
            digest.update(path);
        }
    }
    hex(&digest.finalize())
}

impl<'a> Search<'a> {
    /// Who is chosen, and how it is trained on all training images.
    fn winner(&mut self, finalists: &[&'a Candidate]) -> Result<Winner<'a>> {
        let quick = self.of_kind(true)?;
        let all = quick.iter().chain(finalists);
        let known: Vec<(&Candidate, Standing)> =
            all.filter_map(|&candidate| Some((candidate, self.latest(candidate)?))).collect();
        let standings: Vec<Standing> = known.iter().map(|(_, standing)| standing.clone()).collect();
        let found = choose(&standings, self.options.prefer).context("no candidate could be trained")?;
        let Choice { place, reason } = found;
        let candidate = known[place].0;
        let method = candidate.method.clone().seeded(self.options.seed);
        if quick.iter().any(|one| one.name == candidate.name) {
            return Ok(Winner { candidate, method, reason });
        }
        let trainings = candidate.method.trainings(self.config())?;
        let epochs = match self.state.refit() {
            Some(epochs) => epochs,
            None => self.refit(candidate)?,
        };
        Ok(Winner { candidate, method: method.lasting((epochs / trainings.max(1)).max(1)), reason })
    }

    /// Epochs of the winner's own training: what the time allows, and at most a whole one.
    fn refit(&mut self, candidate: &Candidate) -> Result<usize> {
        let terms = self.terms(&[candidate], Guess::default())?;
        let epochs = match (self.options.limit, terms.paces.first()) {
            (Limit::Seconds(_), Some(pace)) => terms.refit(pace),
            _ => terms.longest,
        };
        self.state.end(epochs, self.clock.spent())?;
        Ok(epochs)
    }

    /// The chosen one against the best head alone, trained on the same images. None where a head was chosen.
    fn against(
        &self,
        winner: &Winner<'_>,
        outcome: &Outcome,
        all: &Partition,
        observe: &mut Observer<'_>,
    ) -> Result<Option<Against>> {
        let heads: Vec<&Candidate> =
            self.candidates.iter().copied().filter(|candidate| candidate.is_head()).collect();
        let of = |&head: &&'a Candidate| Some((head, self.latest(head)?.accuracy()));
        // Of equals the first.
        let best = heads.iter().filter_map(of).rev().max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((head, _)) = best.filter(|_| !winner.candidate.is_head()) else { return Ok(None) };
        let (what, images) = match all.test.is_empty() {
            true => (all.held_out.clone(), &all.validation),
            false => ("the test images".to_owned(), &all.test),
        };
        let method = head.method.clone().seeded(self.options.seed);
        let path = self.checkpoint("head");
        let overflow = Overflow { train: false, held_out: false, beside: &path };
        let nothing = Partition { validation: Vec::new(), test: Vec::new(), ..all.clone() };
        let loaded = load(self.setup, &nothing, &method.get().intake(self.config()), &overflow, observe)?;
        let head = trained(self.setup, &nothing, &method, (loaded, &path), observe)?.model;
        let of = |model| answers(self.setup, model, images, all);
        Ok(Some(Against::of(what, &of(&outcome.model)?, &of(&head)?)))
    }

    fn found(
        &self,
        winner: &Winner<'_>,
        finalists: &[&Candidate],
        mut left_out: Vec<Absent>,
        against: Option<Against>,
    ) -> Result<Found> {
        let (config, records) = (self.config(), self.state.records());
        for candidate in &self.candidates {
            if !records.iter().any(|record| record.name == candidate.name) {
                let (name, reason) = (candidate.name.clone(), "there was no time for it".to_owned());
                left_out.push(Absent { name, reason });
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
            tried: tried(records, &candidate.name, &names),
            left_out,
            chosen: candidate.name.clone(),
            reason: winner.reason.clone(),
            epochs: method.epochs() * method.trainings(config)?,
            command: command(&self.options.command, candidate, each)?,
            against,
            seconds: self.clock.spent(),
        })
    }

    /// What a candidate's last training gave.
    fn latest(&self, candidate: &Candidate) -> Option<Standing> {
        let mut own = self.state.records().iter().rev().filter(|record| record.name == candidate.name);
        own.find_map(|record| record.result.as_ref().ok()).map(|found| found.standing(candidate.is_head()))
    }
}
