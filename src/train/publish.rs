//! From a trained model to a pack in a folder, its report beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::data::dataset::left_out::by_reason;
use super::data::dataset::partition::Partition;
use super::measure::abstain::{Abstention, calibrate};
use super::measure::examine::Examination;
use super::measure::gate::Candidate;
use super::measure::judged::Answers;
use super::measure::self_test::self_test;
use super::method::training_method::Snapshot;
use super::options::TaskOptions;
use super::outcome::Counts;
use super::report::compose::Composer;
use super::report::page::REPORT_FILE;
use super::report::story::DataStory;
use super::setup::Setup;
use crate::pack::{self, Contents, Decision, Provenance, self_test_tolerance};

/// What is the same for every pack of a training.
pub struct Publisher<'a> {
    /// Backbone and limits.
    pub setup: &'a Setup,
    /// What is trained.
    pub options: &'a TaskOptions,
    /// The images.
    pub images: &'a Partition,
    /// How many could be read.
    pub counts: Counts,
    /// The images, as reports describe them.
    pub data: DataStory,
}

/// Where a pack was put.
pub struct Published {
    /// Folder of the new version.
    pub folder: PathBuf,
    /// Why it is held back there.
    pub refused: Option<String>,
    /// Answers on the held-out images.
    pub held_out: Answers,
    /// Answers on the test images.
    pub test: Answers,
}

impl Publisher<'_> {
    /// Writes the pack of a training between two prunings, if those are kept.
    ///
    /// # Errors
    /// When a run fails or the pack cannot be written.
    pub fn keep(&self, snapshot: &Snapshot<'_>) -> Result<()> {
        match &self.options.cycles {
            Some(dir) => self.write(dir, snapshot).map(drop),
            None => Ok(()),
        }
    }

    /// Writes the final pack to the folder that the server watches or, if the gate refuses it, to the other.
    ///
    /// # Errors
    /// When a run fails or the pack cannot be written.
    pub fn publish(&self, snapshot: &Snapshot<'_>) -> Result<Published> {
        let TaskOptions { task, adapters, gate, .. } = self.options;
        let candidate = Candidate {
            task,
            adapters,
            labels: &self.images.labels,
            held_out: &self.images.validation,
            truths: &self.images.truths,
            accuracy: snapshot.accuracies.held_out,
        };
        let examined = self.composer().examine(snapshot)?;
        let abstention = self.abstention(&examined);
        let refused = match abstention {
            Some(Err(ref reason)) => Some(reason.clone()),
            _ => gate.refuses(self.setup, &candidate)?,
        };
        let dir = if refused.is_some() { &gate.held_back } else { adapters };
        let folder = self.write_examined(dir, snapshot, &examined)?;
        let (held_out, test) = (self.answers(&examined), self.test_answers(&examined));
        Ok(Published { folder, refused, held_out, test })
    }

    /// Writes a pack, its report beside it, as the next version of the task in `dir`.
    fn write(&self, dir: &Path, snapshot: &Snapshot<'_>) -> Result<PathBuf> {
        self.write_examined(dir, snapshot, &self.composer().examine(snapshot)?)
    }

    fn write_examined(&self, dir: &Path, snapshot: &Snapshot<'_>, examined: &Examination) -> Result<PathBuf> {
        let config = self.setup.resident.config();
        let contents = self.contents(snapshot, examined)?;
        let report = self.composer().page(snapshot, &contents, examined)?;
        let extras: [(&str, &[u8]); 1] = [(REPORT_FILE, report.as_bytes())];
        let task = dir.join(self.options.task.as_str());
        Ok(pack::write_with(&task, &contents, config, &extras)?)
    }

    fn contents(&self, snapshot: &Snapshot<'_>, examined: &Examination) -> Result<Contents> {
        let resident = &self.setup.resident;
        let model = &snapshot.model.in_own_units(self.images.truths.scales());
        let head = model.head()?;
        Ok(Contents {
            weights: model.weights(),
            factored: model.stored.clone(),
            small: model.small.clone(),
            depths: model.depths.clone(),
            head_weight: head.weight.iter().copied().collect(),
            head_bias: head.bias.to_vec(),
            labels: self.images.labels.clone(),
            decision: self.decision(examined),
            preprocessing: resident.config().preprocessing.clone(),
            self_test: self_test(self.setup, model, snapshot.held_out)?,
            precision: resident.precision(),
            tolerance: self_test_tolerance(resident.precision()),
            provenance: self.provenance(snapshot, examined),
        })
    }

    /// How outputs become answers, as the held-out images suggest.
    fn decision(&self, examined: &Examination) -> Decision {
        Decision {
            problem: self.images.truths.problem(),
            thresholds: examined.scorer.thresholds(),
            abstain_below: self.abstention(examined).and_then(Result::ok).map(|found| found.below),
        }
    }

    /// How sure an answer must be, or why no threshold does; none where every answer counts.
    fn abstention(&self, examined: &Examination) -> Option<Result<Abstention, String>> {
        let accuracy = self.options.abstain_accuracy?;
        let reason = || format!("no threshold keeps answers of which {accuracy:.4} are right");
        Some(calibrate(examined.scorer.confidences(), accuracy).ok_or_else(reason))
    }

    /// Answers on the held-out images.
    fn answers(&self, examined: &Examination) -> Answers {
        Answers::of(&examined.scorer, &self.images.labels, &self.decision(examined))
    }

    /// Answers on the test images.
    fn test_answers(&self, examined: &Examination) -> Answers {
        Answers::of(&self.data.test_scorer, &self.images.labels, &self.decision(examined))
    }

    fn provenance(&self, snapshot: &Snapshot<'_>, examined: &Examination) -> Provenance {
        Provenance {
            method: self.options.method.get().name().into(),
            dataset: self.options.description.clone(),
            train_images: self.counts.trained,
            validation_images: self.counts.held_out,
            seed: self.options.images.seed,
            validation_accuracy: snapshot.accuracies.held_out,
            details: self.details(snapshot, examined),
        }
    }

    /// Settings of the method, and what came of them.
    fn details(&self, snapshot: &Snapshot<'_>, examined: &Examination) -> Map<String, Value> {
        let history = snapshot.history;
        let mut details = self.options.method.get().settings();
        let mut tell = |name: &str, value: Value| drop(details.insert(name.into(), value));
        if let Some(own) = history.cycle_of(snapshot.model) {
            tell("sigma", json!(history.cycles[own].sigma));
        }
        tell("train_accuracy", json!(snapshot.accuracies.train));
        if !history.cycles.is_empty() {
            tell("cycles", json!(history.cycles));
        }
        for (part, answers) in [("held_out", self.answers(examined)), ("test", self.test_answers(examined))] {
            if !answers.judged.is_empty() {
                tell(part, json!(answers.judged));
            }
            if let Some(found) = answers.abstention {
                tell(&format!("{part}_abstention"), json!(found));
            }
        }
        if let Some(test) = self.data.test {
            tell("test_accuracy", json!(test.measure.accuracy));
            tell("test_images", json!(test.images));
        }
        let reasons = by_reason(&self.data.left_out).into_iter();
        let reasons: BTreeMap<String, usize> = reasons.map(|(reason, n)| (reason.to_string(), n)).collect();
        tell("left_out", json!(reasons));
        details
    }

    fn composer(&self) -> Composer<'_> {
        Composer {
            setup: self.setup,
            task: self.options.task.as_str(),
            labels: &self.images.labels,
            data: &self.data,
            held_out_chose: self.options.method.get().is_chosen_by_held_out(),
        }
    }
}
