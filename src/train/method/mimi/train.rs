//! MiMi as a training method.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::checkpoint;
use super::cycle::Trainer;
use super::options::{MimiOptions, Target};
use super::state::State;
use crate::backbone::{BackboneConfig, BlockRange};
use crate::graph::training::{Loss, training_graph};
use crate::graph::{self, Express, Gated, Plan};
use crate::runtime::rounding;
use crate::train::data::intake::Intake;
use crate::train::fingerprint::{Fingerprint, ROUNDING};
use crate::train::history::{Cycle, History};
use crate::train::method::training_method::{
    Accuracies, Course, Demand, Snapshot, StepDemand, Trained, TrainingMethod,
};
use crate::train::model::Model;
use crate::train::progress::Observer;

impl TrainingMethod for MimiOptions {
    fn name(&self) -> &'static str {
        if self.target == Target::Never { self.adaptation.name() } else { "mimi" }
    }

    fn settings(&self) -> Map<String, Value> {
        let pairs = [
            ("adaptation", json!(self.adaptation)),
            ("settings", json!(self.settings)),
            ("rank", json!(self.rank)),
            ("sigma_0", json!(self.sigma)),
            ("widths", json!(self.widths)),
            ("target", json!(self.target)),
            ("rho", json!(self.rho)),
            ("score", json!(self.score)),
            ("selection", json!(self.selection)),
            ("tau", json!(self.front)),
            ("price", json!(self.price)),
            ("init", json!(self.init)),
            ("first_block", json!(self.first_block)),
            ("epochs_per_cycle", json!(self.epochs)),
            ("batch", json!(self.batch)),
            ("learning_rate", json!(self.rate)),
            ("schedule", json!(self.shape)),
            ("weight_decay", json!(self.step.decay)),
            ("clip", json!(self.step.clip)),
            ("drop_path", json!(self.step.drop_path)),
            ("smoothing", json!(self.smoothing)),
            ("augment", json!(self.augment)),
            ("bits", json!(self.bits)),
            ("training_seed", json!(self.seed)),
        ];
        // What had no effect is no setting.
        let follows = self.adaptation.follows_sigma();
        let has_effect = |key: &str| match key {
            "sigma_0" | "widths" | "init" => follows,
            "rank" => !follows,
            "settings" => !self.settings.is_empty(),
            "tau" => self.front.is_some() && self.target != Target::Never,
            "price" => self.gates().is_some(),
            "score" | "selection" => self.gates().is_none(),
            "bits" => !self.bits.is_full(),
            _ => true,
        };
        let pairs = pairs.into_iter().filter(|(key, _)| has_effect(key));
        pairs.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn check(&self, config: &BackboneConfig) -> Result<()> {
        Self::check(self, config)
    }

    fn intake(&self, _: &BackboneConfig) -> Intake {
        Intake { block: self.first_block, augment: self.augment, seed: self.seed }
    }

    fn micro_batch(&self) -> usize {
        self.step.micro_batch
    }

    fn demand(&self, config: &BackboneConfig, classes: usize) -> Result<Demand> {
        let widths = self.first_widths(config);
        // Changed images come as pixels, whatever the first block.
        let start = if self.augment.keeps_rows() { self.first_block } else { 0 };
        let blocks = BlockRange { start, end: config.depth() };
        let kind = self.kind(config);
        let bound = kind.on(config);
        let gated = Gated(&bound);
        let express: &dyn Express = if self.gates().is_some() { &gated } else { &bound };
        let plan = Plan { blocks, modules: self.modules(config) };
        let graph = training_graph(config, &plan, self.trained(express, Loss::CrossEntropy))?;
        let parameters = self.module_parameters(config) + classes * (config.feature_width() + 1);
        Ok(Demand { parameters, steps: Some(StepDemand { graph, batch: self.batch, widths }) })
    }

    fn is_chosen_by_held_out(&self) -> bool {
        matches!(self.target, Target::Accuracy(_))
    }

    fn train(&self, course: Course<'_>, observe: &mut Observer<'_>) -> Result<Trained> {
        let fingerprint = self.fingerprint(&course)?;
        let Course { setup, classes, images, micro_batch, checkpoint, keep } = course;
        let earlier = match checkpoint.resume {
            true => checkpoint::load(checkpoint.path, &fingerprint)?,
            false => None,
        };
        let mut state = earlier.unwrap_or_else(|| State::new(setup.resident.config(), classes, self));
        let mut trainer = Trainer::new(setup, self, images, micro_batch)?;
        while !state.finished {
            // The pack comes first: if interrupted here, a resumed training writes it a second time instead of never.
            if let Some(model) = trainer.epoch(&mut state, observe)? {
                let (held_out, history) = (trainer.held_out(), &state.history);
                let accuracies = accuracies(history, &model);
                keep(&Snapshot { model: &model, held_out, history, accuracies })?;
            }
            checkpoint::save(checkpoint.path, &state, &fingerprint)?;
        }
        let model = trainer.served(&state.model)?;
        Ok(Trained {
            accuracies: accuracies(&state.history, &model),
            held_out: trainer.into_held_out(),
            model,
            history: state.history,
            checkpoint: Some(checkpoint.path.to_owned()),
        })
    }
}

impl MimiOptions {
    pub(super) fn trained<'a>(&self, express: &'a dyn Express, loss: Loss) -> graph::Trained<'a> {
        graph::Trained { express, loss, drops_paths: self.step.drop_path > 0.0 }
    }

    /// Identity of a checkpoint: another setting, image, backbone or rounding would give other bits.
    fn fingerprint(&self, course: &Course<'_>) -> Result<Fingerprint> {
        let resident = &course.setup.resident;
        Fingerprint::default()
            .with("mimi", self)?
            .with("mimi.step.micro_batch", &course.micro_batch)?
            .with("backbone", &resident.identity())?
            .with("classes", &course.classes)?
            .with("images", &course.images.digest())?
            .with(ROUNDING, &rounding(resident.runtime())?)
    }
}

/// What the cycle scored that left a model.
fn accuracies(history: &History, model: &Model) -> Accuracies {
    let cycle = history.cycle_of(model).map(|cycle| &history.cycles[cycle]);
    let scored =
        |cycle: &Cycle| Accuracies { train: cycle.train_accuracy, held_out: cycle.validation_accuracy };
    cycle.map(scored).unwrap_or_default()
}
