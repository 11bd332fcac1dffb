//! The interface of an adaptation.

use rand_chacha::ChaCha8Rng;

use super::Error;
use super::factor::{Factor, First};
use super::fit::Fit;
use super::init::Init;
use super::random::{normal, truncated_normal, uniform};
use super::settings::Settings;
use crate::backbone::{BackboneConfig, Module, ModuleSet, Part};
use crate::graph::{self, Dim, Graph, ParameterName, Wire, trained};

/// What is trained beside a frozen backbone, and what is served of it.
pub trait Adaptation: Send + Sync {
    /// Its name in commands, packs and results.
    fn name(&self) -> &'static str;

    /// Its settings with their sources, as JSON: `recipes/<name>.json`.
    fn recipe(&self) -> &'static str;

    /// The modules that are served, over the whole backbone.
    fn modules(&self, config: &BackboneConfig, settings: &Settings) -> ModuleSet;

    /// The tensors of a module that are trained under their own names, in order. Unless a method says otherwise, those
    /// that are served.
    fn trained(&self, module: Module) -> Vec<Part> {
        module.form.parts().to_vec()
    }

    /// First values of such a tensor: zeros unless a method says otherwise.
    fn begin(&self, _part: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        draw.constant(0.0)
    }

    /// Whether the width follows the rate σ rather than the rank.
    fn follows_sigma(&self) -> bool {
        false
    }

    /// Whether served tensors of some of `modules` are made from smaller ones. A pack then keeps the smaller ones, and widths
    /// are fixed: there are no neurons to prune.
    fn is_factorised(&self, _modules: ModuleSet) -> bool {
        false
    }

    /// The smaller tensors of a factorised method, once [`check`](Self::check) has passed.
    fn factors(&self, _fit: Fit<'_>) -> Vec<Factor> {
        Vec::new()
    }

    /// Whether the method fits the backbone and the widths of its modules.
    ///
    /// # Errors
    /// [`Error::Misfit`] with the module and the numbers that do not fit.
    fn check(&self, _fit: Fit<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Wires the tensor that serves as `name` out of trained ones, which are inputs of the graph under names of
    /// parameters. Unless a method says otherwise, what is served is what is trained.
    ///
    /// # Errors
    /// When a name is used twice, or shapes do not fit.
    fn served(
        &self,
        _fit: Fit<'_>,
        g: &mut Graph,
        name: ParameterName,
        shape: Vec<Dim>,
    ) -> Result<Wire, graph::Error> {
        trained(g, name, shape)
    }
}

/// Numbers by chance for one tensor.
pub struct Drawn<'a> {
    /// The backbone.
    pub config: &'a BackboneConfig,
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
    /// As `first` says.
    pub fn by(&mut self, first: First) -> Vec<f32> {
        first.draw(self.random, self.count)
    }

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
