//! Training a task from a folder to a pack.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::augment::AugmentOptions;
use super::checkpoint;
use super::cycle::Trainer;
use super::dataset::{Dataset, Image, Split};
use super::gate::{Candidate, Gate};
use super::linear::{LinearOptions, fit_heard};
use super::model::Model;
use super::options::{MimiOptions, Target};
use super::predict::Predictor;
use super::prefix::{Prefix, Rows};
use super::progress::{Cycle, Epoch, Observer, Progress, Step};
use super::record::Record;
use super::report::{DataStory, REPORT_FILE};
use super::resident::Resident;
use super::self_test::self_test;
use super::source::{Changing, Source};
use super::state::State;
use crate::backbone::{BlockRange, SiteSet};
use crate::pack::{self, Contents, Provenance, SELF_TEST_TOLERANCE, TaskId};

/// How a task is trained.
#[derive(Clone, Debug)]
pub enum Method {
    /// A head on frozen features, no adapters.
    Linear(LinearOptions),
    /// Adapters, pruned in cycles or, without a target, trained as they are.
    Mimi(MimiOptions),
}

/// What to train.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    /// The task's name.
    pub task: TaskId,
    /// Training images, a folder a class.
    pub data: PathBuf,
    /// Held-out images, a folder a class; without them a share of the training images is held out.
    pub validation: Option<PathBuf>,
    /// Share held out where no folder is given, 0 to 1.
    pub holdout: f64,
    /// What the images are, for the pack's provenance.
    pub description: String,
    /// Folder of packs.
    pub adapters: PathBuf,
    /// Folder for a pack after each cycle but the last, in the same layout; none are kept without it.
    pub cycles: Option<PathBuf>,
    /// File the state of adapters in training is written to after every epoch; removed when the pack is written.
    pub checkpoint: PathBuf,
    /// Whether to go on from that file, where there is one.
    pub resume: bool,
    /// What the pack must reach to be written to the folder of packs.
    pub gate: Gate,
    /// How.
    pub method: Method,
    /// Seed of the split.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Folder of the new version.
    pub folder: PathBuf,
    /// Why it was not published but held back there.
    pub refused: Option<String>,
    /// Accuracy on the training images, 0 to 1.
    pub train_accuracy: f64,
    /// Accuracy on the held-out images, 0 to 1.
    pub validation_accuracy: f64,
    /// Images trained on and held out.
    pub images: (usize, usize),
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Trainings between prunings, in order.
    pub cycles: Vec<Cycle>,
}

/// Trains a task and writes its pack as the next version. `observe` hears how it goes.
///
/// # Errors
/// When the data cannot be trained on, a run fails, or the pack cannot be written.
pub fn train(resident: &Resident, options: &TaskOptions, observe: &mut Observer<'_>) -> Result<Report> {
    if let Method::Mimi(mimi) = &options.method {
        mimi.check(&resident.config)?;
    }
    let dataset = Dataset::open(&options.data)?;
    let split = split(&dataset, options)?;
    let (train, validation) = load(resident, &split, options, observe)?;
    check(&train, &dataset.labels)?;
    let images = (train.classes().len(), validation.len());
    let data = describe(&train, &validation, (options, dataset.labels.len()));
    let held_out = split.validation;
    let job = Job { resident, options, labels: dataset.labels, images, held_out, data };
    match (&options.method, train) {
        (Method::Linear(linear), Source::Kept(train)) => job.linear(linear, (&train, &validation), observe),
        (Method::Linear(_), Source::Changing(_)) => bail!("a head alone is trained on kept features"),
        (Method::Mimi(mimi), train) => job.mimi(mimi, (train, validation), observe),
    }
}

fn split(dataset: &Dataset, options: &TaskOptions) -> Result<Split> {
    match &options.validation {
        Some(dir) => {
            let validation = Dataset::open_as(dir, &dataset.labels)?.images;
            Ok(Split { train: dataset.images.clone(), validation })
        }
        None => dataset.split(options.holdout, options.seed),
    }
}

/// Training images as the method takes them, and held-out images before the first block that is trained.
fn load(
    resident: &Resident,
    split: &Split,
    options: &TaskOptions,
    observe: &mut Observer<'_>,
) -> Result<(Source, Rows)> {
    let (block, augment) = match &options.method {
        Method::Linear(_) => (resident.config.depth(), AugmentOptions::none()),
        Method::Mimi(mimi) => (mimi.first_block, mimi.augment),
    };
    let mut prefix = Prefix::new(resident, BlockRange { start: 0, end: block })?;
    let mut keep = |what, images: &[_]| {
        let count = images.len();
        prefix.load(images, |done, rate| observe(Progress::Images { what, done, count, rate }))
    };
    let train = match augment.keeps_images() {
        true => Source::Kept(keep("training images", &split.train)?),
        false => Source::Changing(Changing::new(&split.train, &resident.config.preprocessing, augment)),
    };
    Ok((train, keep("held-out images", &split.validation)?))
}

/// Every class must have an image that could be read.
fn check(train: &Source, labels: &[String]) -> Result<()> {
    for (class, label) in labels.iter().enumerate() {
        let first = train.unreadable().first();
        let hint = first.map(|(path, why)| format!(" ({}: {why})", path.display())).unwrap_or_default();
        ensure!(train.classes().contains(&class), "no training image of class {label} could be read{hint}");
    }
    Ok(())
}

/// What the report tells of the images.
fn describe(train: &Source, validation: &Rows, (options, classes): (&TaskOptions, usize)) -> DataStory {
    let mut counts = vec![(0, 0); classes];
    train.classes().iter().for_each(|&class| counts[class].0 += 1);
    validation.classes.iter().for_each(|&class| counts[class].1 += 1);
    let held_out = match &options.validation {
        Some(dir) => format!("the images in {}", dir.display()),
        None => format!("{:.0} % of each class, drawn with seed {}", 100.0 * options.holdout, options.seed),
    };
    let unreadable = [train.unreadable(), &validation.unreadable].concat();
    DataStory { counts, held_out, unreadable, ..DataStory::default() }
}

/// What does not change while a task is trained.
struct Job<'a> {
    resident: &'a Resident,
    options: &'a TaskOptions,
    labels: Vec<String>,
    images: (usize, usize),
    held_out: Vec<Image>,
    data: DataStory,
}

/// A pack's accuracy and how it came to be.
struct Origin {
    method: &'static str,
    validation_accuracy: f64,
    details: Map<String, Value>,
}

impl Job<'_> {
    fn linear(
        self,
        linear: &LinearOptions,
        (train, validation): (&Rows, &Rows),
        observe: &mut Observer<'_>,
    ) -> Result<Report> {
        let mut predictor = Predictor::new(self.resident, train.block, SiteSet::EMPTY)?;
        let (mut epochs, started) = (Vec::new(), Instant::now());
        let head = fit_heard(train, self.labels.len(), linear, |epoch, seen, head| -> Result<()> {
            let held_out = predictor.measure(&Model::from_head(head), validation)?;
            let rate = (train.len() * (epoch + 1)) as f64 / started.elapsed().as_secs_f64();
            epochs.push(Epoch::new((0, epoch), (seen, held_out), rate));
            let (done, count) = (train.len(), train.len());
            observe(Progress::Step(&Step { cycle: 0, epoch, done, count, loss: seen.loss, rate }));
            Ok(())
        })?;
        let model = Model::from_head(&head);
        let train_accuracy = predictor.measure(&model, train)?.accuracy;
        let validation_accuracy = predictor.measure(&model, validation)?.accuracy;
        let mut details = linear_details(linear);
        details.insert("train_accuracy".into(), json!(train_accuracy));
        let origin = Origin { method: "linear", validation_accuracy, details };
        let (folder, refused) = self.publish((&model, validation), origin, (&epochs, &[]))?;
        let (Self { images, data: DataStory { unreadable, .. }, .. }, cycles) = (self, Vec::new());
        Ok(Report { folder, refused, train_accuracy, validation_accuracy, images, unreadable, cycles })
    }

    fn mimi(
        self,
        mimi: &MimiOptions,
        (train, validation): (Source, Rows),
        observe: &mut Observer<'_>,
    ) -> Result<Report> {
        let identity = self.identity(mimi, (&train, &validation));
        let earlier = self.options.resume.then(|| checkpoint::load(&self.options.checkpoint, &identity));
        let earlier = earlier.transpose()?.flatten();
        let fresh = || State::new(&self.resident.config, self.labels.len(), mimi);
        let mut state = earlier.unwrap_or_else(fresh);
        let mut trainer = Trainer::new(self.resident, mimi.clone(), train, validation);
        while !state.finished {
            let ended = trainer.epoch(&mut state, observe)?;
            // The pack first: interrupted between the two, a training writes it once more rather than never.
            if let (Some(model), Some(dir)) = (ended, &self.options.cycles) {
                let (origin, _) = mimi_origin(mimi, &state.cycles, &model);
                self.write(dir, (&model, trainer.validation()), origin, (&state.epochs, &state.cycles))?;
            }
            checkpoint::save(&self.options.checkpoint, &state, &identity)?;
        }
        let (origin, train_accuracy) = mimi_origin(mimi, &state.cycles, &state.model);
        let validation_accuracy = origin.validation_accuracy;
        let told = (&state.epochs[..], &state.cycles[..]);
        let (folder, refused) = self.publish((&state.model, trainer.validation()), origin, told)?;
        fs::remove_file(&self.options.checkpoint)
            .with_context(|| self.options.checkpoint.display().to_string())?;
        let (Self { images, data: DataStory { unreadable, .. }, .. }, cycles) = (self, state.cycles);
        Ok(Report { folder, refused, train_accuracy, validation_accuracy, images, unreadable, cycles })
    }

    /// What is trained on what: a checkpoint of anything else is refused.
    fn identity(&self, mimi: &MimiOptions, (train, validation): (&Source, &Rows)) -> String {
        let mut data = Sha256::new();
        for (class, path) in train.classes().iter().zip(train.paths()) {
            data.update(format!("{class} {}\n", path.display()));
        }
        data.update(format!("{:?}", validation.paths));
        let data: String = data.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let backbone = &self.resident.config.fingerprint;
        format!("{mimi:?} on backbone {backbone}, {} classes, images {data}", self.labels.len())
    }

    /// Writes the final pack where the server looks, or where it does not if the gate says so, with its reason.
    fn publish(
        &self,
        (model, validation): (&Model, &Rows),
        origin: Origin,
        told: (&[Epoch], &[Cycle]),
    ) -> Result<(PathBuf, Option<String>)> {
        let TaskOptions { task, adapters, gate, .. } = self.options;
        let candidate = Candidate {
            task,
            adapters,
            labels: &self.labels,
            held_out: &self.held_out,
            accuracy: origin.validation_accuracy,
        };
        let refused = gate.refuses(self.resident, &candidate)?;
        let dir = if refused.is_some() { &gate.held_back } else { adapters };
        Ok((self.write(dir, (model, validation), origin, told)?, refused))
    }

    /// Writes a pack, its report beside it, as the next version of the task in `dir`.
    fn write(
        &self,
        dir: &Path,
        (model, validation): (&Model, &Rows),
        origin: Origin,
        told: (&[Epoch], &[Cycle]),
    ) -> Result<PathBuf> {
        let head = model.head();
        let (train_images, validation_images) = self.images;
        let contents = Contents {
            adapters: model.packed(),
            head_weight: head.weight.iter().copied().collect(),
            head_bias: head.bias.to_vec(),
            labels: self.labels.clone(),
            preprocessing: self.resident.config.preprocessing.clone(),
            self_test: self_test(self.resident, model, validation)?,
            tolerance: SELF_TEST_TOLERANCE,
            provenance: Provenance {
                method: origin.method.into(),
                dataset: self.options.description.clone(),
                train_images,
                validation_images,
                seed: self.options.seed,
                validation_accuracy: origin.validation_accuracy,
                details: origin.details,
            },
        };
        let report = self.record().page((model, validation), &contents.provenance, told)?;
        let extras: [(&str, &[u8]); 1] = [(REPORT_FILE, report.as_bytes())];
        let task = dir.join(self.options.task.as_str());
        Ok(pack::write_with(&task, &contents, &self.resident.config, &extras)?)
    }

    fn record(&self) -> Record<'_> {
        let pruned_by = match &self.options.method {
            Method::Mimi(mimi) => Some(mimi.target),
            Method::Linear(_) => None,
        };
        Record {
            resident: self.resident,
            task: self.options.task.as_str(),
            labels: &self.labels,
            data: &self.data,
            held_out_chose: matches!(pruned_by, Some(Target::Accuracy(_))),
        }
    }
}

fn linear_details(linear: &LinearOptions) -> Map<String, Value> {
    let LinearOptions { epochs, batch, rate, decay, seed } = linear;
    let pairs = [
        ("epochs", json!(epochs)),
        ("batch", json!(batch)),
        ("learning_rate", json!(rate)),
        ("weight_decay", json!(decay)),
        ("order_seed", json!(seed)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// How a model of this training came to be, with its accuracy on the training images.
fn mimi_origin(mimi: &MimiOptions, cycles: &[Cycle], model: &Model) -> (Origin, f64) {
    // With an accuracy for target the model may be the last but one.
    let own = cycles.iter().rev().find(|cycle| cycle.neurons == model.neurons());
    let train_accuracy = own.map_or(0.0, |cycle| cycle.train_accuracy);
    let MimiOptions { sigma, target, rho, score, selection, init, first_block, .. } = mimi;
    let pairs = [
        ("sigma_0", json!(sigma)),
        ("target", json!(format!("{target:?}"))),
        ("rho", json!(rho)),
        ("score", json!(format!("{score:?}"))),
        ("selection", json!(format!("{selection:?}"))),
        ("init", json!(format!("{init:?}"))),
        ("first_block", json!(first_block)),
        ("epochs_per_cycle", json!(mimi.epochs)),
        ("batch", json!(mimi.batch)),
        ("learning_rate", json!(mimi.rate)),
        ("weight_decay", json!(mimi.step.decay)),
        ("clip", json!(mimi.step.clip)),
        ("smoothing", json!(mimi.smoothing)),
        ("augment", json!(mimi.augment)),
        ("training_seed", json!(mimi.seed)),
        ("sigma", json!(own.map(|cycle| cycle.sigma))),
        ("train_accuracy", json!(train_accuracy)),
        ("cycles", json!(cycles)),
    ];
    let details = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let method = if *target == Target::Never { "adapters" } else { "mimi" };
    let validation_accuracy = own.map_or(0.0, |cycle| cycle.validation_accuracy);
    (Origin { method, validation_accuracy, details }, train_accuracy)
}
