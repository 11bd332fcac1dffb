//! Training a task from a folder to a pack.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::checkpoint;
use super::cycle::Trainer;
use super::dataset::{LeftOut, Origin, Partition, by_reason, summary};
use super::gate::{Candidate, Gate};
use super::linear::{LinearOptions, fit_heard};
use super::load::{bound, check, describe, load};
use super::making::{Making, linear_details, mimi_making};
use super::model::Model;
use super::options::{MimiOptions, Target};
use super::predict::{Measure, Predictor};
use super::prefix::Rows;
use super::progress::{Cycle, Epoch, Observer, Progress, Step};
use super::record::Record;
use super::report::{DataStory, REPORT_FILE};
use super::resident::Resident;
use super::self_test::self_test;
use super::source::Source;
use super::state::State;
use super::tested::measure_images;
use crate::backbone::SiteSet;
use crate::pack::{self, Contents, Provenance, TaskId, self_test_tolerance};

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
    /// Images, and how they are divided.
    pub images: Origin,
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
    /// Most bytes that training takes beside the backbone (see [`Fit`]); no bound without it.
    pub memory: Option<u64>,
    /// What the pack must reach to be written to the folder of packs.
    pub gate: Gate,
    /// How.
    pub method: Method,
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
    /// What the test images, which chose nothing, gave at the end, and how many they are.
    pub test: Option<(Measure, usize)>,
    /// Images trained on and held out.
    pub images: (usize, usize),
    /// Where the held-out images came from.
    pub held_out: String,
    /// What of the data was left out, and why.
    pub left_out: Vec<LeftOut>,
    /// Trainings between prunings, in order.
    pub cycles: Vec<Cycle>,
}

/// Trains a task and writes its pack as the next version. `observe` hears how it goes.
///
/// # Errors
/// When the data cannot be trained on, a run fails, or the pack cannot be written.
pub fn train(resident: &Resident, options: &TaskOptions, observe: &mut Observer<'_>) -> Result<Report> {
    match &options.method {
        Method::Linear(linear) => linear.check()?,
        Method::Mimi(mimi) => mimi.check(&resident.config)?,
    }
    let images = Partition::open(&options.images)?;
    let left_out = summary(&images.left_out);
    left_out.iter().chain(&images.warnings).for_each(|text| observe(Progress::Note(text)));
    let fit = bound(resident, &images, options, observe)?;
    let options = &options.with_micro_batch(fit.micro_batch);
    let (train, validation) = load(resident, (&images, &fit), options, observe)?;
    let data = describe(&images, (&train, &validation));
    options.images.walk.write(&data.left_out)?;
    check(train.classes(), train.unreadable(), &images.labels)?;
    ensure!(!validation.is_empty(), "no held-out image could be read: {}", images.held_out);
    let job = Job { resident, options, images, counts: (train.classes().len(), validation.len()), data };
    match (&options.method, train) {
        (Method::Linear(linear), Source::Kept(train)) => job.linear(linear, (&train, &validation), observe),
        (Method::Linear(_), Source::Changing(_)) => bail!("a head alone is trained on kept features"),
        (Method::Mimi(mimi), train) => job.mimi(mimi, (train, validation), observe),
    }
}

impl TaskOptions {
    fn with_micro_batch(&self, micro_batch: usize) -> Self {
        let mut options = self.clone();
        if let Method::Mimi(mimi) = &mut options.method {
            mimi.step.micro_batch = micro_batch;
        }
        options
    }
}

/// What does not change while a task is trained.
struct Job<'a> {
    resident: &'a Resident,
    options: &'a TaskOptions,
    images: Partition,
    /// Images trained on and held out that could be read.
    counts: (usize, usize),
    data: DataStory,
}

impl Job<'_> {
    fn linear(
        mut self,
        linear: &LinearOptions,
        (train, validation): (&Rows, &Rows),
        observe: &mut Observer<'_>,
    ) -> Result<Report> {
        let mut predictor = Predictor::new(self.resident, train.block, SiteSet::EMPTY)?;
        let (mut epochs, started) = (Vec::new(), Instant::now());
        let head = fit_heard(train, self.images.labels.len(), linear, |epoch, seen, head| -> Result<()> {
            let held_out = predictor.measure(&Model::from_head(head), validation)?;
            let rate = (train.len() * (epoch + 1)) as f64 / started.elapsed().as_secs_f64();
            epochs.push(Epoch::new((0, epoch), (seen, held_out), rate));
            observe(Progress::Step(&Step {
                epoch,
                epochs: linear.epochs,
                trainings: Some(1),
                done: train.len(),
                count: train.len(),
                loss: seen.loss,
                accuracy: seen.accuracy,
                rate,
                ..Step::default()
            }));
            Ok(())
        })?;
        let model = Model::from_head(&head);
        let train_accuracy = predictor.measure(&model, train)?.accuracy;
        let validation_accuracy = predictor.measure(&model, validation)?.accuracy;
        self.test(&model)?;
        let mut details = linear_details(linear);
        details.insert("train_accuracy".into(), json!(train_accuracy));
        let making = Making { method: "linear", validation_accuracy, details };
        let (folder, refused) = self.publish((&model, validation), making, (&epochs, &[]))?;
        Ok(Report { folder, refused, cycles: Vec::new(), ..self.report(train_accuracy, validation_accuracy) })
    }

    fn mimi(
        mut self,
        mimi: &MimiOptions,
        (train, validation): (Source, Rows),
        observe: &mut Observer<'_>,
    ) -> Result<Report> {
        let identity = self.identity(mimi, (&train, &validation));
        let earlier = self.options.resume.then(|| checkpoint::load(&self.options.checkpoint, &identity));
        let earlier = earlier.transpose()?.flatten();
        let fresh = || State::new(&self.resident.config, self.images.labels.len(), mimi);
        let mut state = earlier.unwrap_or_else(fresh);
        let mut trainer = Trainer::new(self.resident, mimi.clone(), train, validation);
        while !state.finished {
            let ended = trainer.epoch(&mut state, observe)?;
            // The pack first: interrupted between the two, a training writes it once more rather than never.
            if let (Some(model), Some(dir)) = (ended, &self.options.cycles) {
                let (making, _) = mimi_making(mimi, &state.cycles, &model);
                self.write(dir, (&model, trainer.validation()), making, (&state.epochs, &state.cycles))?;
            }
            checkpoint::save(&self.options.checkpoint, &state, &identity)?;
        }
        self.test(&state.model)?;
        let (making, train_accuracy) = mimi_making(mimi, &state.cycles, &state.model);
        let validation_accuracy = making.validation_accuracy;
        let told = (&state.epochs[..], &state.cycles[..]);
        let (folder, refused) = self.publish((&state.model, trainer.validation()), making, told)?;
        fs::remove_file(&self.options.checkpoint)
            .with_context(|| self.options.checkpoint.display().to_string())?;
        let cycles = state.cycles;
        Ok(Report { folder, refused, cycles, ..self.report(train_accuracy, validation_accuracy) })
    }

    /// Measures the final model on the test images, if there are some.
    fn test(&mut self, model: &Model) -> Result<()> {
        let (measured, unreadable) = measure_images(self.resident, model, &self.images.test)?;
        self.data.test = measured;
        self.data.left_out.extend(unreadable);
        self.options.images.walk.write(&self.data.left_out)
    }

    /// What came of it, but for the pack.
    fn report(self, train_accuracy: f64, validation_accuracy: f64) -> Report {
        Report {
            folder: PathBuf::new(),
            refused: None,
            train_accuracy,
            validation_accuracy,
            test: self.data.test,
            images: self.counts,
            held_out: self.data.held_out,
            left_out: self.data.left_out,
            cycles: Vec::new(),
        }
    }

    /// What is trained on what: a checkpoint of anything else is refused.
    fn identity(&self, mimi: &MimiOptions, (train, validation): (&Source, &Rows)) -> String {
        let mut data = Sha256::new();
        for (class, path) in train.classes().iter().zip(train.paths()) {
            data.update(format!("{class} {}\n", path.display()));
        }
        data.update(format!("{:?}", validation.paths));
        let data: String = data.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let backbone = self.resident.identity();
        format!("{mimi:?} on backbone {backbone}, {} classes, images {data}", self.images.labels.len())
    }

    /// Writes the final pack where the server looks, or where it does not if the gate says so, with its reason.
    fn publish(
        &self,
        (model, validation): (&Model, &Rows),
        making: Making,
        told: (&[Epoch], &[Cycle]),
    ) -> Result<(PathBuf, Option<String>)> {
        let TaskOptions { task, adapters, gate, .. } = self.options;
        let candidate = Candidate {
            task,
            adapters,
            labels: &self.images.labels,
            held_out: &self.images.validation,
            accuracy: making.validation_accuracy,
        };
        let refused = gate.refuses(self.resident, &candidate)?;
        let dir = if refused.is_some() { &gate.held_back } else { adapters };
        Ok((self.write(dir, (model, validation), making, told)?, refused))
    }

    /// Writes a pack, its report beside it, as the next version of the task in `dir`.
    fn write(
        &self,
        dir: &Path,
        (model, validation): (&Model, &Rows),
        making: Making,
        told: (&[Epoch], &[Cycle]),
    ) -> Result<PathBuf> {
        let (head, mut details) = (model.head(), making.details);
        if let Some((measure, count)) = self.data.test {
            details.insert("test_accuracy".into(), json!(measure.accuracy));
            details.insert("test_images".into(), json!(count));
        }
        let reasons = by_reason(&self.data.left_out).into_iter();
        let reasons: BTreeMap<String, usize> = reasons.map(|(reason, n)| (reason.to_string(), n)).collect();
        details.insert("left_out".into(), json!(reasons));
        let (train_images, validation_images) = self.counts;
        let contents = Contents {
            adapters: model.packed(),
            head_weight: head.weight.iter().copied().collect(),
            head_bias: head.bias.to_vec(),
            labels: self.images.labels.clone(),
            preprocessing: self.resident.config.preprocessing.clone(),
            self_test: self_test(self.resident, model, validation)?,
            precision: self.resident.store.precision(),
            tolerance: self_test_tolerance(self.resident.store.precision()),
            provenance: Provenance {
                method: making.method.into(),
                dataset: self.options.description.clone(),
                train_images,
                validation_images,
                seed: self.options.images.seed,
                validation_accuracy: making.validation_accuracy,
                details,
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
            labels: &self.images.labels,
            data: &self.data,
            held_out_chose: matches!(pruned_by, Some(Target::Accuracy(_))),
        }
    }
}
