//! The interface of an adaptation.

use rand_chacha::ChaCha8Rng;

use super::init::Init;
use super::random::{normal, truncated_normal, uniform};
use crate::backbone::{BackboneConfig, Module, ModuleSet, Part};
use crate::graph::Express;

/// What is trained beside a frozen backbone.
pub trait Adaptation: Express + Send + Sync {
    /// Its name in commands, packs and results.
    fn name(&self) -> &'static str;

    /// Its settings with their sources, as JSON: `recipes/<name>.json`.
    fn recipe(&self) -> &'static str;

    /// The modules that are served, over the whole backbone.
    fn modules(&self, config: &BackboneConfig) -> ModuleSet;

    /// The tensors that are trained for a module, in order. Unless a method says otherwise, those that are served.
    fn trained(&self, module: Module) -> Vec<Part> {
        module.form.parts().to_vec()
    }

    /// First values of a tensor.
    fn begin(&self, part: Part, draw: &mut Drawn<'_>) -> Vec<f32>;

    /// Whether the width follows the rate σ rather than the rank.
    fn follows_sigma(&self) -> bool {
        false
    }
}

/// Numbers by chance for one tensor.
pub struct Drawn<'a> {
    /// Where they come from.
    pub random: &'a mut ChaCha8Rng,
    /// How many are needed.
    pub count: usize,
    /// Inputs that each output sums.
    pub fan_in: usize,
    /// How MiMi's adapters begin.
    pub init: Init,
}

impl Drawn<'_> {
    /// So many of one number.
    pub fn constant(&self, value: f32) -> Vec<f32> {
        vec![value; self.count]
    }

    /// Normal about `mean`.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> Vec<f32> {
        (0..self.count).map(|_| (mean + deviation * normal(self.random)) as f32).collect()
    }

    /// Normal about 0, cut at two deviations.
    pub fn truncated_normal(&mut self, deviation: f64) -> Vec<f32> {
        (0..self.count).map(|_| (deviation * truncated_normal(self.random)) as f32).collect()
    }

    /// Uniform within `±1/√fan_in`: PyTorch's default of a linear layer, Kaiming's with a = √5.
    pub fn uniform(&mut self) -> Vec<f32> {
        uniform(self.random, self.count, self.fan_in)
    }
}
