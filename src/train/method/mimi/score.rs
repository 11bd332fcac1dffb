//! How much each adapter neuron matters: the score of Marouf et al. 2024, equation 3, its ablations and its rivals.
//!
//! ```text
//! I_ij = ( Σ_k |W_i^down[j, k]| + Σ_k |W_i^up[k, j]| ) / Z_i
//! ```

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use super::activity::Activity;
use super::neuron::{Matrices, down_magnitude, magnitude, product, taylor, up_norm};
use crate::adaptation::Init;
use crate::backbone::Module;
use crate::graph::ParameterName;
use crate::train::model::Model;
use crate::train::optim::gradients::Gradients;

/// What the sum of a neuron's weights is divided by (`Z_i`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normaliser {
    /// `2 M_i`, the number of weights that belong to the neuron: the reference implementation (docs/method.md
    /// section 3).
    #[default]
    Weights,
    /// `N_i + M_i`, the adapter's two widths.
    Widths,
    /// 1: the ablation without scaling.
    None,
}

impl Normaliser {
    /// `Z_i` of an adapter of `width` neurons (N) in a block of `block_width` (M).
    pub fn of(self, width: usize, block_width: usize) -> f64 {
        match self {
            Self::Weights => (2 * block_width) as f64,
            Self::Widths => (width + block_width) as f64,
            Self::None => 1.0,
        }
    }
}

/// Which score neurons are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// Magnitude of both matrices: MiMi.
    Magnitude(Normaliser),
    /// Magnitude of the down-projection's row alone: without the look-ahead.
    DownOnly(Normaliser),
    /// Magnitude of the gradients summed over the last epoch.
    Gradient(Normaliser),
    /// Product of the two norms, `‖down‖ · ‖up‖`.
    Product(Normaliser),
    /// `|Σ w g|` over the neuron's weights, with the gradients summed over the last epoch (Molchanov et al. 2019).
    Taylor,
    /// Mean activation over training images and their tokens, without its sign.
    Activation,
    /// What a neuron adds on average, relative to what the adapter reads: `E|act| · ‖up‖ / E‖h‖`.
    Contribution,
    /// Chance.
    Random,
    /// A score of every weight before training.
    Start(StartScore),
}

/// A score of every weight before training; the target is then reached at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartScore {
    /// `|w g|` of one minibatch, as shares of their sum (SNIP, Lee et al. 2019).
    Snip,
    /// `w · H g` of one minibatch: what the flow of gradients loses with the weight (GraSP, Wang et al. 2020).
    Grasp,
    /// `|w|` (SparseAdapter, He et al. 2022).
    Magnitude,
}

impl Default for Score {
    fn default() -> Self {
        Self::Magnitude(Normaliser::default())
    }
}

/// Scores of every neuron, by module.
pub type Scores = BTreeMap<Module, Vec<f64>>;

/// What a training left for scores to read.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Gradients summed over the last epoch.
    pub gradients: &'a Gradients,
    /// What neurons did; measured where [`Score::needs_activity`].
    pub activity: Option<&'a Activity>,
}

impl Score {
    /// Whether neurons are measured on the training images.
    pub fn needs_activity(self) -> bool {
        matches!(self, Self::Activation | Self::Contribution)
    }

    /// How adapters begin unless another way is chosen: under SNIP and GraSP with Xavier's values.
    pub fn init(self) -> Init {
        match self {
            Self::Start(StartScore::Snip | StartScore::Grasp) => Init::XavierNormal,
            _ => Init::default(),
        }
    }

    /// What scores are divided by.
    fn normaliser(self) -> Normaliser {
        match self {
            Self::Magnitude(z) | Self::DownOnly(z) | Self::Gradient(z) | Self::Product(z) => z,
            _ => Normaliser::None,
        }
    }
}

/// Scores of a model. Only the scores that need it read the `evidence` or draw a number in 0..1 by `chance`.
///
/// # Errors
/// When a gradient or an activation that is needed is missing.
pub fn scores(
    model: &Model,
    score: Score,
    evidence: Evidence<'_>,
    mut chance: impl FnMut() -> f64,
) -> Result<Scores> {
    let mut found = Scores::new();
    for module in model.widths().into_keys() {
        let adapter = model.projections(module)?;
        let width = adapter.width();
        let weights = Matrices { down: &adapter.down.values, up: &adapter.up.values, width };
        let gradients = || -> Result<Matrices<'_>> {
            let gradient = |name| evidence.gradients.get(name);
            let (down, up) = (gradient(ParameterName::down(module))?, gradient(ParameterName::up(module))?);
            Ok(Matrices { down, up, width })
        };
        let active = || {
            let own = evidence.activity.and_then(|activity| activity.get(&module));
            own.with_context(|| format!("the activations of {module} were not measured"))
        };
        let raw = match score {
            Score::Magnitude(_) => magnitude(&weights),
            Score::DownOnly(_) => down_magnitude(&weights),
            Score::Product(_) => product(&weights),
            Score::Gradient(_) => magnitude(&gradients()?),
            Score::Taylor => taylor(&weights, &gradients()?),
            Score::Activation => active()?.active.clone(),
            Score::Contribution => active()?.contribution(&up_norm(&weights)),
            Score::Random => (0..width).map(|_| chance()).collect(),
            Score::Start(_) => anyhow::bail!("{score:?} is a score before training"),
        };
        let z = score.normaliser().of(width, adapter.block_width());
        found.insert(module, raw.into_iter().map(|sum| sum / z).collect());
    }
    Ok(found)
}
