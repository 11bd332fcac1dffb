//! What a trained task costs: parameters, bytes of its pack, FLOPs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::run::Cost;
use crate::backbone::BackboneConfig;
use crate::files::beside;
use crate::graph::{Plan, plan_flops, tasks_flops};
use crate::pack::{self, Contents, Decision, ProblemType, Provenance, self_test_tolerance};
use crate::train::data::rows::Rows;
use crate::train::measure::self_test::self_test;
use crate::train::method::training_method::{Trained, TrainingMethod};
use crate::train::model::Model;
use crate::train::setup::Setup;

/// Tasks that one image is run under.
pub(super) const TASKS: u64 = 8;

/// A task that was trained.
pub(super) struct Priced<'a> {
    pub setup: &'a Setup,
    pub method: &'a dyn TrainingMethod,
    pub trained: &'a Trained,
    pub labels: &'a [String],
    /// Images that may lie in the pack as its self-test.
    pub sample: &'a Rows,
}

impl Priced<'_> {
    /// What it costs; a pack is written beside `path` and removed.
    ///
    /// # Errors
    /// When the pack cannot be written or the backbone's configuration contradicts itself.
    pub fn cost(&self, path: &Path) -> Result<Cost> {
        let (config, model) = (self.setup.resident.config(), &self.trained.model);
        let head = model.head()?;
        let trained = self.trained.history.cycles.last().map_or(0, |cycle| cycle.adapter_parameters);
        let Flops { one, eight } = flops(config, model)?;
        Ok(Cost {
            trained_parameters: trained,
            head_parameters: head.weight.len() + head.bias.len(),
            pack_bytes: Some(self.bytes(path)?),
            adapter_bytes: Some(model.adapter_bytes()),
            flops: one,
            flops_of_8: eight,
        })
    }

    fn bytes(&self, path: &Path) -> Result<u64> {
        let folder = beside(path);
        let size = |written: &Path| -> Result<u64> {
            fs::read_dir(written)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
        };
        let written = pack::write(&folder, &self.contents()?, self.setup.resident.config());
        let bytes = written.map_err(anyhow::Error::from).and_then(|written| size(&written));
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        bytes
    }

    fn contents(&self) -> Result<Contents> {
        let resident = &self.setup.resident;
        let (model, head) = (&self.trained.model, self.trained.model.head()?);
        Ok(Contents {
            weights: model.weights(),
            factored: model.stored.clone(),
            small: model.small.clone(),
            depths: model.depths.clone(),
            head_weight: head.weight.iter().copied().collect(),
            head_bias: head.bias.to_vec(),
            labels: self.labels.to_vec(),
            decision: Decision {
                problem: ProblemType::SingleLabelClassification,
                thresholds: None,
                abstain_below: None,
            },
            preprocessing: resident.config().preprocessing.clone(),
            self_test: self_test(self.setup, model, self.sample)?,
            precision: resident.precision(),
            tolerance: self_test_tolerance(resident.precision()),
            provenance: self.provenance(),
        })
    }

    fn provenance(&self) -> Provenance {
        Provenance {
            method: self.method.name().into(),
            dataset: String::new(),
            train_images: self.sample.len(),
            validation_images: 0,
            seed: 0,
            validation_accuracy: 0.0,
            details: self.method.settings(),
        }
    }
}

/// FLOPs of one image.
struct Flops {
    one: u64,
    eight: u64,
}

fn flops(config: &BackboneConfig, model: &Model) -> Result<Flops> {
    let (modules, widths) = (model.modules(), model.widths());
    let width = |module| widths.get(&module).copied().unwrap_or(0);
    let one = plan_flops(config, &Plan::whole(config, modules), width)?;
    Ok(Flops { one, eight: tasks_flops(config, model.lowest_block(config), TASKS, (modules, &width))? })
}
