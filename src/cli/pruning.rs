//! By what neurons or weights are kept, as typed after `train-task` and `compare`.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use mimi_server::train::{Init, Normaliser, SHARE, STEEPNESS, Score, Selection, StartScore};

/// Options of pruning, and of the first values that it depends on.
#[derive(Debug, Args)]
pub struct PruningArgs {
    /// Score by which neurons are kept. The last three are taken before training; the target is then reached at once.
    #[arg(long, default_value = "magnitude")]
    pub score: ScoreArg,
    /// Divisor Z of the scores magnitude, down-only, gradient and product.
    #[arg(long, default_value = "weights")]
    pub normaliser: NormaliserArg,
    /// Among what the weakest are removed.
    #[arg(long, default_value = "global")]
    pub selection: SelectionArg,
    /// What goes first.
    #[arg(long, default_value = "neurons")]
    pub cut: CutArg,
    /// Share of the score that may lie in the early blocks that --cut front-first removes whole, 0 to 1 [default: 0.05].
    #[arg(long, value_name = "SHARE")]
    pub tau: Option<f64>,
    /// How steeply the prices of --cut gates rise towards early blocks: 0 not at all, 1 as what many tasks cost there, up to 8
    /// [default: 0.5].
    #[arg(long, value_name = "EXPONENT")]
    pub price: Option<f64>,
    /// First values of the adapters [default: normal; xavier with the scores snip and grasp].
    #[arg(long)]
    pub init: Option<InitArg>,
}

/// What neurons are kept by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScoreArg {
    /// Magnitude of a neuron's row and column.
    Magnitude,
    /// Magnitude of its row in the down-projection.
    DownOnly,
    /// Magnitude of its gradients in the last epoch.
    Gradient,
    /// Product of the norms of its row and its column.
    Product,
    /// Weights times gradients of the last epoch, summed over the neuron.
    Taylor,
    /// Mean activation on the training images.
    Activation,
    /// Mean activation times the norm of its column, over the mean norm of what the adapter reads.
    Contribution,
    /// By chance.
    Random,
    /// Before training: weights times gradients of one minibatch.
    Snip,
    /// Before training: weights times the Hessian times gradients of one minibatch.
    Grasp,
    /// Before training: magnitude of the first values.
    SparseAdapter,
}

/// What scores are divided by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NormaliserArg {
    /// 2 M, the weights of a neuron.
    Weights,
    /// N + M, the adapter's widths.
    Widths,
    /// 1.
    None,
}

/// Among what the weakest are sought.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SelectionArg {
    /// Among all neurons; adapters may vanish.
    Global,
    /// Among the neurons of each adapter.
    Local,
    /// Among all single weights, with snip, grasp or sparse-adapter. They are held at zero; nothing gets faster.
    Unstructured,
}

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CutArg {
    /// Neurons, wherever they are.
    Neurons,
    /// First the blocks before the largest one before which at most --tau of the score lies, then neurons: many tasks then share
    /// more blocks of an image.
    FrontFirst,
    /// Neurons whose gates close under a price by depth (--price): one training instead of prunings, to their final size. See
    /// docs/method.md.
    Gates,
}

/// How adapters begin.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum InitArg {
    /// Normal, deviation 0.02.
    Normal,
    /// Uniform within 1/√fan-in.
    Kaiming,
    /// Normal, variance 2/(fan-in + fan-out).
    Xavier,
    /// The first matrix normal, the second zero: training starts from the backbone itself.
    Identity,
}

impl PruningArgs {
    /// The score.
    pub fn score(&self) -> Score {
        let normaliser = match self.normaliser {
            NormaliserArg::Weights => Normaliser::Weights,
            NormaliserArg::Widths => Normaliser::Widths,
            NormaliserArg::None => Normaliser::None,
        };
        match self.score {
            ScoreArg::Magnitude => Score::Magnitude(normaliser),
            ScoreArg::DownOnly => Score::DownOnly(normaliser),
            ScoreArg::Gradient => Score::Gradient(normaliser),
            ScoreArg::Product => Score::Product(normaliser),
            ScoreArg::Taylor => Score::Taylor,
            ScoreArg::Activation => Score::Activation,
            ScoreArg::Contribution => Score::Contribution,
            ScoreArg::Random => Score::Random,
            ScoreArg::Snip => Score::Start(StartScore::Snip),
            ScoreArg::Grasp => Score::Start(StartScore::Grasp),
            ScoreArg::SparseAdapter => Score::Start(StartScore::Magnitude),
        }
    }

    /// Among what the weakest are sought.
    pub fn selection(&self) -> Selection {
        match self.selection {
            SelectionArg::Global => Selection::Global,
            SelectionArg::Local => Selection::Local,
            SelectionArg::Unstructured => Selection::Unstructured,
        }
    }

    /// Refuses what would have no effect.
    ///
    /// # Errors
    /// When tau or a price was given without its cut, or a cut to a method that does not prune.
    pub fn check(&self, prunes: bool) -> Result<()> {
        let (is_front, is_gates) = (self.cut == CutArg::FrontFirst, self.cut == CutArg::Gates);
        ensure!(is_front || self.tau.is_none(), "--tau is of --cut front-first");
        ensure!(is_gates || self.price.is_none(), "--price is of --cut gates");
        ensure!(prunes || self.cut == CutArg::Neurons, "--cut is of a method that prunes");
        Ok(())
    }

    /// Share of the score that may lie in early blocks which a pruning removes whole.
    pub fn front(&self) -> Option<f64> {
        (self.cut == CutArg::FrontFirst).then_some(self.tau.unwrap_or(SHARE))
    }

    /// How steeply the prices of gates rise, where gates choose neurons.
    pub fn price(&self) -> Option<f64> {
        (self.cut == CutArg::Gates).then_some(self.price.unwrap_or(STEEPNESS))
    }

    /// How adapters begin under a score.
    pub fn init(&self, score: Score) -> Init {
        match self.init {
            None => score.init(),
            Some(InitArg::Normal) => Init::Normal,
            Some(InitArg::Kaiming) => Init::KaimingUniform,
            Some(InitArg::Xavier) => Init::XavierNormal,
            Some(InitArg::Identity) => Init::Identity,
        }
    }
}
