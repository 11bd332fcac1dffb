//! Who takes part in a comparison.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::train::method::finetune::options::FinetuneOptions;
use crate::train::method::finetune::subset::Subset;
use crate::train::method::mimi::front::SHARE;
use crate::train::method::mimi::options::{MimiOptions, Target, Widths};
use crate::train::method::mimi::price::STEEPNESS;
use crate::train::method::mimi::prune::{Selection, prunings};
use crate::train::method::mimi::score::{Normaliser, Score, StartScore};
use crate::train::optim::step::StepOptions;

/// A way to train; the names are those of the paper's ablations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// A head alone.
    Probe,
    /// Adapters of the size MiMi ends with, from the start, trained as long.
    Adapters,
    /// The same with equal widths in all blocks, whatever the blocks' widths.
    Uniform,
    /// Adapters of the size MiMi begins with, never pruned, trained as long.
    Wide,
    /// MiMi.
    Mimi,
    /// MiMi with every adapter losing the same share (local neuron selection).
    Local,
    /// MiMi without the scaling factor Z.
    Unscaled,
    /// MiMi with Z = N + M.
    Widths,
    /// MiMi with scores of down-projections only (no look-ahead).
    DownOnly,
    /// MiMi with scores of gradients.
    Gradient,
    /// MiMi with scores by chance.
    Random,
    /// MiMi with the product of each neuron's two norms.
    Product,
    /// MiMi with scores of weights times gradients.
    Taylor,
    /// MiMi with scores of mean activations.
    Activation,
    /// MiMi with scores of what neurons add on average.
    Contribution,
    /// MiMi that removes early blocks whole where little of the score lies before a block.
    FrontFirst,
    /// Adapters whose neurons have gates with prices by depth: one training to the size that MiMi ends with.
    Gates,
    /// Adapters whose weakest weights by SNIP are held at zero from the start.
    Snip,
    /// Adapters whose weakest neurons by SNIP are removed before training.
    SnipNeurons,
    /// Weights held at zero by GraSP.
    Grasp,
    /// Neurons removed by GraSP.
    GraspNeurons,
    /// Weights held at zero by the magnitude of first values.
    SparseAdapter,
    /// Neurons removed by the magnitude of first values.
    SparseAdapterNeurons,
    /// The backbone's own weights, all of them.
    Full,
    /// Those of attention.
    Attention,
    /// Those of the MLPs.
    Mlp,
}

/// Every contender with its name.
const NAMES: [(Contender, &str); 26] = [
    (Contender::Probe, "probe"),
    (Contender::Adapters, "adapters"),
    (Contender::Uniform, "uniform"),
    (Contender::Wide, "wide"),
    (Contender::Mimi, "mimi"),
    (Contender::Local, "local"),
    (Contender::Unscaled, "unscaled"),
    (Contender::Widths, "widths"),
    (Contender::DownOnly, "down-only"),
    (Contender::Gradient, "gradient"),
    (Contender::Random, "random"),
    (Contender::Product, "product"),
    (Contender::Taylor, "taylor"),
    (Contender::Activation, "activation"),
    (Contender::Contribution, "contribution"),
    (Contender::FrontFirst, "front-first"),
    (Contender::Gates, "gates"),
    (Contender::Snip, "snip"),
    (Contender::SnipNeurons, "snip-neurons"),
    (Contender::Grasp, "grasp"),
    (Contender::GraspNeurons, "grasp-neurons"),
    (Contender::SparseAdapter, "sparse-adapter"),
    (Contender::SparseAdapterNeurons, "sparse-adapter-neurons"),
    (Contender::Full, "full"),
    (Contender::Attention, "attention"),
    (Contender::Mlp, "mlp"),
];

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(contender, _)| contender == self).map_or("", |(_, name)| *name);
        f.pad(name)
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || NAMES.map(|(_, name)| name).join(", ");
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(contender, _)| *contender);
        found.ok_or_else(|| format!("unknown contender {text:?}: expected one of {}", known()))
    }
}

impl Contender {
    /// MiMi with one part changed, and adapters of other sizes: those that no method of another name is.
    pub(super) fn ablations() -> impl Iterator<Item = Self> {
        let own = |who: &Self| !matches!(who, Self::Probe | Self::Adapters | Self::Mimi);
        NAMES.into_iter().map(|(who, _)| who).filter(own)
    }

    /// Its training of the backbone's own weights: by their own recipe, for as many epochs as MiMi trains, with its batches,
    /// images and first block. None for the others.
    ///
    /// # Errors
    /// When the recipe cannot be read.
    pub(super) fn finetune(self, mimi: &MimiOptions, seed: u64) -> Result<Option<FinetuneOptions>> {
        let subset = match self {
            Self::Full => Subset::Full,
            Self::Attention => Subset::Attention,
            Self::Mlp => Subset::Mlp,
            _ => return Ok(None),
        };
        let (epochs, own) = (in_all(mimi), FinetuneOptions::of(subset)?);
        let step = StepOptions { micro_batch: mimi.step.micro_batch, ..own.step };
        let MimiOptions { first_block, batch, augment, .. } = *mimi;
        Ok(Some(FinetuneOptions { first_block, epochs, batch, augment, step, seed, ..own }))
    }

    /// Its training of adapters, derived from MiMi's; none for a head alone and for the backbone's own weights.
    pub(super) fn adapters(self, mimi: &MimiOptions, seed: u64) -> Option<MimiOptions> {
        let price = mimi.price.or(Some(STEEPNESS));
        let front = mimi.front.or(Some(SHARE));
        let mimi = MimiOptions { seed, price: None, front: None, ..mimi.clone() };
        let scored = |score| MimiOptions { score, ..mimi.clone() };
        Some(match self {
            Self::Probe | Self::Full | Self::Attention | Self::Mlp => return None,
            Self::Adapters => as_long(&mimi, end(&mimi)),
            Self::Uniform => MimiOptions { widths: Widths::Uniform, ..as_long(&mimi, end(&mimi)) },
            Self::Wide => as_long(&mimi, mimi.sigma),
            Self::Mimi => mimi,
            Self::Local => MimiOptions { selection: Selection::Local, ..mimi },
            Self::Unscaled => scored(Score::Magnitude(Normaliser::None)),
            Self::Widths => scored(Score::Magnitude(Normaliser::Widths)),
            Self::DownOnly => scored(Score::DownOnly(Normaliser::Weights)),
            Self::Gradient => scored(Score::Gradient(Normaliser::Weights)),
            Self::Random => scored(Score::Random),
            Self::Product => scored(Score::Product(Normaliser::Weights)),
            Self::Taylor => scored(Score::Taylor),
            Self::Activation => scored(Score::Activation),
            Self::Contribution => scored(Score::Contribution),
            Self::FrontFirst => MimiOptions { front, ..mimi },
            Self::Gates => MimiOptions { price, epochs: in_all(&mimi), ..mimi },
            Self::Snip => at_once(&mimi, StartScore::Snip, Selection::Unstructured),
            Self::SnipNeurons => at_once(&mimi, StartScore::Snip, Selection::Global),
            Self::Grasp => at_once(&mimi, StartScore::Grasp, Selection::Unstructured),
            Self::GraspNeurons => at_once(&mimi, StartScore::Grasp, Selection::Global),
            Self::SparseAdapter => at_once(&mimi, StartScore::Magnitude, Selection::Unstructured),
            Self::SparseAdapterNeurons => at_once(&mimi, StartScore::Magnitude, Selection::Global),
        })
    }
}

/// The mean rate MiMi ends with.
fn end(mimi: &MimiOptions) -> f64 {
    mimi.sigma / (1.0 - mimi.rho).powi(cycles(mimi) as i32)
}

/// Adapters that are never pruned, trained for all of MiMi's epochs in one go.
fn as_long(mimi: &MimiOptions, sigma: f64) -> MimiOptions {
    MimiOptions { sigma, epochs: in_all(mimi), target: Target::Never, ..mimi.clone() }
}

/// Adapters pruned before training to what MiMi ends with, trained for all of MiMi's epochs in one go. They begin as the
/// score asks, and never with zeros.
fn at_once(mimi: &MimiOptions, score: StartScore, selection: Selection) -> MimiOptions {
    let (epochs, score) = (in_all(mimi), Score::Start(score));
    MimiOptions { score, selection, epochs, init: score.init(), ..mimi.clone() }
}

/// Epochs of all of MiMi's trainings.
fn in_all(mimi: &MimiOptions) -> usize {
    mimi.epochs * (cycles(mimi) + 1)
}

/// Prunings that MiMi makes; a comparison's target is a rate.
fn cycles(mimi: &MimiOptions) -> usize {
    match mimi.target {
        Target::Sigma(target) => prunings(mimi.sigma, target, mimi.rho),
        Target::Never | Target::Parameters(_) | Target::Accuracy(_) => 0,
    }
}
