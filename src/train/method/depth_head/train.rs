//! Fits the head on kept features, and leaves out the depths that the group lasso dropped.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use ndarray::{Array2, Axis, concatenate, s};
use serde_json::{Map, Value, json};

use super::lasso::{kept, least_of_none, shrink};
use super::options::DepthHeadOptions;
use crate::backbone::{BackboneConfig, ModuleSet};
use crate::pack::{Head, StoredBits};
use crate::train::data::augment::options::AugmentOptions;
use crate::train::data::columns::Columns;
use crate::train::data::intake::Intake;
use crate::train::data::load::Loaded;
use crate::train::data::source::Source;
use crate::train::history::{Epoch, History, Place};
use crate::train::measure::predict::{Measure, Predictor};
use crate::train::method::linear::{Stepped, first_gradient, fit_stepped};
use crate::train::method::training_method::{Accuracies, Course, Demand, Trained, TrainingMethod};
use crate::train::model::Model;
use crate::train::progress::{Observer, Progress};

impl TrainingMethod for DepthHeadOptions {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn settings(&self) -> Map<String, Value> {
        let mut settings = self.head.settings();
        let depths = self.depths.as_ref().map_or(json!("later half, every second"), |depths| json!(depths));
        settings.extend([("depths".to_owned(), depths), ("lasso".to_owned(), json!(self.lasso))]);
        settings
    }

    fn check(&self, config: &BackboneConfig) -> Result<()> {
        self.checked(config)
    }

    fn intake(&self, config: &BackboneConfig) -> Intake {
        Intake { block: config.behind_pooling(), augment: AugmentOptions::none(), seed: self.head.seed }
    }

    fn demand(&self, config: &BackboneConfig, classes: usize) -> Result<Demand> {
        let width = config.head_width(ModuleSet::reading(self.candidates(config)));
        Ok(Demand { parameters: classes * (width + 1), steps: None })
    }

    fn train(&self, course: Course<'_>, observe: &mut Observer<'_>) -> Result<Trained> {
        let Loaded { train: Source::Kept(train), held_out } = course.images else {
            bail!("a head alone is trained on kept features");
        };
        let resident = &course.setup.resident;
        let depths = self.candidates(resident.config());
        let columns = Columns::of(resident.config(), &depths);
        let mut predictor = Predictor::new(resident, train.block, ModuleSet::EMPTY)?;
        let (mut history, started) = (History::default(), Instant::now());
        let groups = columns.groups();
        let slopes = first_gradient((&train, &columns), course.classes, self.head.batch)?;
        let strength = self.lasso * least_of_none(slopes.view(), &groups);
        let stepped = |head: &mut Head, step: Stepped<'_>| {
            if strength > 0.0 {
                let metric: Vec<f64> = step.weight.denominators().collect();
                groups
                    .iter()
                    .for_each(|group| shrink(&mut head.weight, group, step.rate * strength, &metric));
            }
        };
        let heard = |epoch: usize, seen: Measure, head: &Head| -> Result<()> {
            let measured = predictor.measure(&model(head, &depths), &held_out)?;
            let rate = (train.len() * (epoch + 1)) as f64 / started.elapsed().as_secs_f64();
            history.epochs.push(Epoch::new(Place { cycle: 0, epoch }, seen, measured, rate));
            observe(Progress::Step(&self.head.step(epoch, train.len(), seen, rate)));
            Ok(())
        };
        let head = fit_stepped((&train, &columns), course.classes, &self.head, (stepped, heard))?;
        let model = self.kept(&head, &depths, &columns)?;
        observe(Progress::Note(&told(&depths, &model.depths)));
        let accuracies = Accuracies {
            train: predictor.measure(&model, &train)?.accuracy,
            held_out: predictor.measure(&model, &held_out)?.accuracy,
        };
        Ok(Trained { model, held_out, history, accuracies, checkpoint: None })
    }
}

impl DepthHeadOptions {
    /// The head without the depths that were dropped, as a pack keeps it.
    ///
    /// # Errors
    /// When all were dropped.
    fn kept(&self, head: &Head, depths: &[usize], columns: &Columns) -> Result<Model> {
        let groups = columns.groups();
        let left = kept(&head.weight, &groups);
        let own = left.iter().zip(&groups).filter(|(left, _)| **left);
        let blocks: Vec<_> = own.map(|(_, group)| head.weight.slice(s![.., group.clone()])).collect();
        let lasso = self.lasso;
        ensure!(
            !blocks.is_empty(),
            "lasso = {lasso} drops every depth of {depths:?}: a lower one keeps some"
        );
        let weight: Array2<f32> = concatenate(Axis(1), &blocks)?;
        let depths: Vec<usize> =
            depths.iter().zip(left).filter(|(_, left)| *left).map(|(depth, _)| *depth).collect();
        let head = Head { weight, bias: head.bias.clone() };
        Ok(model(&head, &depths).kept_at(StoredBits { adapters: None, head: self.head.head_bits }))
    }
}

fn model(head: &Head, depths: &[usize]) -> Model {
    Model { depths: depths.to_vec(), ..Model::from_head(head) }
}

/// Which depths are left.
fn told(all: &[usize], kept: &[usize]) -> String {
    let list = |depths: &[usize]| depths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let dropped: Vec<usize> = all.iter().copied().filter(|depth| !kept.contains(depth)).collect();
    match dropped.is_empty() {
        true => format!("the head reads depths {}", list(kept)),
        false => format!("the head reads depths {}; the group lasso dropped {}", list(kept), list(&dropped)),
    }
}
