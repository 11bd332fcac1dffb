//! Every method on every set of images with every seed, for the same number of steps.
//!
//! Nothing is chosen by the images that are measured: settings come from recipes and files, or from a split of the
//! training images, and each training is measured once, after its last step.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::arena::{Arena, ImageSet, Seen};
use super::asked::{Budget, MethodsOptions};
use super::entrant::Entrant;
use super::ledger::Ledger;
use super::own;
use super::price::Priced;
use super::run::{Figures, Plan, Purpose, Run};
use super::settings::Settings;
use super::training::Training;
use crate::train::data::intake::Intake;
use crate::train::data::load::Loaded;
use crate::train::data::rows::Rows;
use crate::train::measure::predict::{Measure, Predictor};
use crate::train::measure::scorer::Scorer;
use crate::train::method::Method;
use crate::train::method::training_method::{Checkpoint, Course, Trained, TrainingMethod};
use crate::train::model::Model;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;

/// Steps are told of that are off by more than this part of those asked for.
const FAR: usize = 4;

/// Makes the runs that are missing; `observe` hears how they go, `done` what each gave.
///
/// # Errors
/// When a method cannot be trained, the file belongs to another comparison, or it cannot be written. A run that fails is
/// told of; the others go on.
pub fn compare_methods(
    setup: &Setup,
    options: &MethodsOptions,
    observe: &mut Observer<'_>,
    done: &mut dyn FnMut(&Run),
) -> Result<Compared> {
    let mut ledger =
        Ledger::open(&options.results, &options.identity(setup)?)?.beside(options.elsewhere.clone());
    // All sets are looked at before anything is trained.
    let open = |set| Arena::open(setup, set, &options.results, observe).map(|arena| (set, arena));
    let arenas = options.sets.iter().map(open).collect::<Result<Vec<_>>>()?;
    let mut failures = Vec::new();
    for (set, arena) in arenas {
        let mut meeting = Meeting { setup, options, set, arena, ledger: &mut ledger };
        let fitting = meeting.fitting(observe)?;
        let runs = options.runs().filter(|(_, entrant)| fitting.contains(&entrant.name.as_str()));
        for (_, (seed, entrant)) in runs.enumerate().filter(|(number, _)| options.turn.has(*number)) {
            let result = meeting.play(entrant, seed, observe, done);
            match result.with_context(|| format!("{} on {}, seed {seed}", entrant.name, set.name)) {
                // The other runs do not depend on it.
                Err(error) if error.is::<Failed>() => {
                    observe(Progress::Note(&format!("{error:#}; the other runs go on")));
                    failures.push(format!("{error:#}"));
                }
                result => result?,
            }
        }
    }
    Ok(Compared { ledger, failures })
}

/// What a comparison gave.
#[derive(Debug)]
pub struct Compared {
    /// The runs.
    pub ledger: Ledger,
    /// Runs that failed, and why. They are made again by the next process.
    pub failures: Vec<String>,
}

/// A training failed, rather than what keeps its result.
#[derive(Debug, thiserror::Error)]
#[error("the run failed: {0:#}")]
pub(super) struct Failed(pub(super) anyhow::Error);

/// The methods on one set.
pub(super) struct Meeting<'a> {
    setup: &'a Setup,
    pub(super) options: &'a MethodsOptions,
    set: &'a ImageSet,
    arena: Arena<'a>,
    ledger: &'a mut Ledger,
}

impl<'a> Meeting<'a> {
    /// Names of the methods that can be trained so. One that was asked for by name must be.
    fn fitting(&self, observe: &mut Observer<'_>) -> Result<Vec<&'a str>> {
        let mut fitting = Vec::new();
        for entrant in &self.options.entrants {
            match self.prepared(entrant, &Settings::default(), 0) {
                Ok(training) => {
                    self.tell_steps(&training, observe)?;
                    fitting.push(entrant.name.as_str());
                }
                Err(error) if entrant.is_optional => {
                    observe(Progress::Note(&format!("{} is left out: {error:#}", entrant.name)));
                }
                Err(error) => return Err(error.context(entrant.name.clone())),
            }
        }
        Ok(fitting)
    }

    /// Tells where whole epochs are far from the steps that were asked for.
    fn tell_steps(&self, training: &Training, observe: &mut Observer<'_>) -> Result<()> {
        let Budget::Steps(asked) = self.options.budget else { return Ok(()) };
        let epochs = training.epochs() * training.trainings(&self.setup.resident)?;
        let steps = epochs * self.arena.partition.train.len().div_ceil(training.batch());
        if steps.abs_diff(asked) * FAR > asked {
            observe(Progress::Note(&format!(
                "{}: {epochs} epoch(s) are {steps} steps, {asked} were asked for; all methods divide their epochs among \
                 their trainings",
                self.set.name
            )));
        }
        Ok(())
    }

    /// One method with one seed, its settings chosen before where that is asked for.
    fn play(
        &mut self,
        entrant: &Entrant,
        seed: u64,
        observe: &mut Observer<'_>,
        done: &mut dyn FnMut(&Run),
    ) -> Result<()> {
        let chosen = match self.options.tune {
            true => self.choose(entrant, observe, done)?,
            false => Settings::default(),
        };
        let method = self.prepared(entrant, &chosen, seed)?;
        self.once(entrant, &method, (Purpose::Result, seed), observe, done).map(drop)
    }

    /// The method as it is trained on this set.
    pub(super) fn prepared(&self, entrant: &Entrant, chosen: &Settings, seed: u64) -> Result<Training> {
        let resident = &self.setup.resident;
        let training = self.options.set(entrant)?.with(chosen)?.seeded(seed);
        training.check(resident)?;
        let (trainings, images) = (training.trainings(resident)?, self.arena.partition.train.len());
        let epochs = match self.options.budget {
            Budget::Epochs(epochs) => epochs,
            Budget::Steps(steps) => {
                let epochs = steps as f64 / images.div_ceil(training.batch()).max(1) as f64;
                let all = self.together();
                ((epochs / all as f64).round() as usize).max(1) * all
            }
        };
        ensure!(
            epochs >= trainings && epochs.is_multiple_of(trainings),
            "it trains {trainings} times, among which {epochs} epoch(s) cannot be divided evenly"
        );
        let training = training.lasting(epochs / trainings);
        // Again: gates ask for epochs enough.
        training.check(resident)?;
        Ok(training)
    }

    fn together(&self) -> usize {
        self.options.together(&self.setup.resident)
    }

    /// A run, unless it was made before.
    pub(super) fn once(
        &mut self,
        entrant: &Entrant,
        method: &Training,
        (purpose, seed): (Purpose, u64),
        observe: &mut Observer<'_>,
        done: &mut dyn FnMut(&Run),
    ) -> Result<Run> {
        let plan = Plan {
            purpose,
            set: self.set.name.clone(),
            method: entrant.name.clone(),
            seed,
            settings: method.settings()?,
            epochs: method.epochs() * method.trainings(&self.setup.resident)?,
            images: self.arena.fingerprint.clone(),
        };
        if let Some(run) = self.ledger.find(&plan)? {
            return Ok(run.clone());
        }
        let checkpoint = self.checkpoint(&plan)?;
        let run = self.run(plan, method, observe).map_err(Failed)?;
        self.ledger.add(run.clone())?;
        // Only now is nothing lost without it.
        if checkpoint.exists() {
            fs::remove_file(&checkpoint).with_context(|| checkpoint.display().to_string())?;
        }
        done(&run);
        Ok(run)
    }

    fn checkpoint(&self, plan: &Plan) -> Result<PathBuf> {
        Ok(self
            .options
            .results
            .with_extension(format!("{}.safetensors", plan.digest(&self.options.machine.program)?)))
    }

    fn run(&mut self, plan: Plan, training: &Training, observe: &mut Observer<'_>) -> Result<Run> {
        let figures = match training {
            Training::Pack(method) => self.train(&plan, method, observe)?,
            Training::Own(own) => {
                let intake = Intake { block: own.first_block, augment: own.augment, seed: own.seed };
                let seen = self.arena.seen(&intake, plan.purpose, observe)?;
                own::run(self.setup, own, self.arena.partition.labels.len(), &seen, observe)?
            }
        };
        let config = self.setup.resident.config();
        Ok(Run {
            version: env!("CARGO_PKG_VERSION").into(),
            machine: self.options.machine.clone(),
            protocol: self.options.protocol.clone(),
            backbone: config.name.clone(),
            fingerprint: self.setup.resident.identity(),
            first_block: self.options.first_block,
            origin: self.set.told()?,
            measured_on: match plan.purpose {
                Purpose::Tuning => "a fifth of the training images".into(),
                Purpose::Result => self.arena.partition.held_out.clone(),
            },
            classes: self.arena.partition.labels.len(),
            steps: plan.epochs * figures.train_images.div_ceil(training.batch()),
            plan,
            figures,
        })
    }

    /// Trains, measures once, and prices the result.
    fn train(&mut self, plan: &Plan, method: &Method, observe: &mut Observer<'_>) -> Result<Figures> {
        let (setup, method) = (self.setup, method.get());
        let intake = method.intake(setup.resident.config());
        let Seen { loaded, measured, sample } = self.arena.seen(&intake, plan.purpose, observe)?;
        let (train_images, started) = (loaded.train.classes().len(), Instant::now());
        let trained = self.course(plan, method, loaded, observe)?;
        let train_seconds = started.elapsed().as_secs_f64();
        let labels = &self.arena.partition.labels;
        let priced = Priced { setup, method, trained: &trained, labels, sample: &sample };
        let cost = priced.cost(&self.options.results)?;
        let scorer = answers(setup, &trained.model, &measured)?;
        let Measure { loss, accuracy } = scorer.measure();
        Ok(Figures {
            train_images,
            measured_images: scorer.count(),
            accuracy,
            macro_accuracy: scorer.macro_accuracy(),
            loss,
            train_accuracy: trained.accuracies.train,
            cost,
            train_seconds,
        })
    }

    /// The training, from its checkpoint on if it was interrupted.
    fn course(
        &self,
        plan: &Plan,
        method: &dyn TrainingMethod,
        images: Loaded,
        observe: &mut Observer<'_>,
    ) -> Result<Trained> {
        let path = self.checkpoint(plan)?;
        let course = Course {
            setup: self.setup,
            classes: self.arena.partition.labels.len(),
            images,
            micro_batch: method.micro_batch(),
            checkpoint: Checkpoint { path: &path, resume: true },
            keep: &|_| Ok(()),
        };
        method.train(course, observe)
    }
}

fn answers(setup: &Setup, model: &Model, measured: &Rows) -> Result<Scorer> {
    let mut predictor = Predictor::new(&setup.resident, measured.block, model.modules())?;
    let mut scorer = Scorer::new(&measured.truths);
    predictor.each(model, measured, |at, logits| scorer.add(measured.classes[at], logits))?;
    Ok(scorer)
}
