//! What was typed after `train-task`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use mimi_server::train::{AugmentOptions, Gate};
use mimi_server::train::{
    Init, LinearOptions, Method, MimiOptions, Normaliser, Score, Selection, StepOptions,
};
use mimi_server::train::{Target, TaskOptions, Widths};

use super::RuntimeArgs;
use super::images::ImagesArgs;
use super::tasks::Shard;

/// Options of `train-task`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// The task's name.
    #[arg(long, required_unless_present = "tasks_file")]
    pub task: Option<String>,
    /// Images: a folder a class; or such folders under train/ and val/, validation/ or
    /// test/; or a CSV file with the columns path, label and, if you like, split (train, validation, test), paths
    /// relative to it.
    #[arg(long, value_name = "DIR", required_unless_present = "tasks_file")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub many: ManyArgs,
    #[command(flatten)]
    pub images: ImagesArgs,
    /// What the images are and where they came from, for the pack's provenance.
    #[arg(long, default_value = "")]
    pub description: String,
    /// Folder of packs; the new version appears there by a rename, where a running server finds it.
    #[arg(long, env = "MIMI_ADAPTERS", default_value = "adapters", value_name = "DIR")]
    pub adapters: PathBuf,
    /// Folder for the state of adapters in training, written after every epoch and removed at the end.
    #[arg(long, default_value = "checkpoints", value_name = "DIR")]
    pub checkpoints: PathBuf,
    /// Go on from the checkpoint of an interrupted training with the same settings and images.
    #[arg(long)]
    pub resume: bool,
    /// Most memory that training takes beside the backbone, MiB: fewer images are run together, and what frozen blocks
    /// gave for images goes to a file in --checkpoints, as far as needed. Without it nothing is bounded.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
    /// Hold the pack back unless its accuracy on the held-out images is at least this, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    pub gate: Option<f64>,
    /// Hold the pack back if the newest version does better on the same held-out images.
    #[arg(long)]
    pub not_below_live: bool,
    /// Folder for packs that are held back, in the layout of --adapters.
    #[arg(long, default_value = "held-back", value_name = "DIR")]
    pub held_back: PathBuf,
    /// How to train.
    #[arg(long, default_value = "linear")]
    pub method: MethodArg,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for a pack after each training between two prunings, in the layout of --adapters.
    #[arg(long, value_name = "DIR")]
    pub cycles: Option<PathBuf>,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub mimi: MimiArgs,
    #[command(flatten)]
    pub augment: AugmentArgs,
}

/// Many tasks in one process.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many tasks")]
pub struct ManyArgs {
    /// File of tasks to train one after the other on one resident backbone: each line holds the options in which a
    /// task differs from the command line, at least --task and --data. A task that fails does not stop the rest.
    #[arg(long, value_name = "FILE")]
    pub tasks_file: Option<PathBuf>,
    /// Train only every COUNT-th line of --tasks-file, from INDEX (0 is the first): one machine's share of many.
    #[arg(long, value_name = "INDEX/COUNT", requires = "tasks_file")]
    pub shard: Option<Shard>,
    /// Pass over tasks that have a version in --adapters.
    #[arg(long)]
    pub skip_existing: bool,
    /// Most memory for what frozen blocks gave for images that tasks share, MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB", requires = "tasks_file")]
    pub feature_memory: u64,
}

/// What linear heads and adapters have in common.
#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// Passes over the training images; with mimi, of each training between two prunings [default: 100 for
    /// linear, else 10].
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Images in one step [default: 64 for linear, else 32].
    #[arg(long)]
    pub batch: Option<usize>,
    /// Highest learning rate [default: 5e-3 for linear, else 1e-3].
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Weight decay of matrices; biases have none.
    #[arg(long, default_value_t = 0.05)]
    pub weight_decay: f64,
}

/// Options of `--method mimi` and `--method adapters`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Adapters")]
pub struct MimiArgs {
    /// Width of the blocks over width of the adapters at first (σ₀).
    #[arg(long, default_value_t = 8.0, value_name = "RATE")]
    pub sigma_0: f64,
    /// How wide each adapter is at first.
    #[arg(long, default_value = "proportional")]
    pub widths: WidthsArg,
    /// Prune until the mean rate is at least this.
    #[arg(long, default_value_t = 64.0, value_name = "RATE")]
    pub sigma: f64,
    /// Prune until the adapters have at most this many parameters, instead of --sigma.
    #[arg(long, value_name = "COUNT", conflicts_with = "accuracy")]
    pub parameters: Option<usize>,
    /// Prune as long as the held-out accuracy stays at least this, 0 to 1, instead of --sigma.
    #[arg(long, value_name = "SHARE")]
    pub accuracy: Option<f64>,
    /// Share of the neurons that a pruning removes (ρ), 0 to 1.
    #[arg(long, default_value_t = 0.5)]
    pub rho: f64,
    /// What neurons are kept by.
    #[arg(long, default_value = "magnitude")]
    pub score: ScoreArg,
    /// What scores are divided by (Z).
    #[arg(long, default_value = "weights")]
    pub normaliser: NormaliserArg,
    /// Among which neurons the weakest are sought.
    #[arg(long, default_value = "global")]
    pub selection: SelectionArg,
    /// How adapters begin.
    #[arg(long, default_value = "normal")]
    pub init: InitArg,
    /// First block with adapters; what comes before runs once an image.
    #[arg(long, default_value_t = 0, value_name = "BLOCK")]
    pub first_block: usize,
    /// Share of each target spread evenly over the classes, 0 to 1.
    #[arg(long, default_value_t = 0.1)]
    pub smoothing: f64,
    /// Largest global norm of the gradients.
    #[arg(long, default_value_t = 5.0)]
    pub clip: f64,
    /// Images run together; fewer take less memory. Does not change what is learned.
    #[arg(long, default_value_t = 8)]
    pub micro_batch: usize,
}

/// What is done to training images, for `--method mimi` and `--method adapters`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Augmentation")]
pub struct AugmentArgs {
    /// Where to begin; the options below change single amounts.
    #[arg(long, default_value = "none")]
    pub augment: AugmentArg,
    /// Smallest share of the area that a random crop takes; 1 switches crops off.
    #[arg(long, value_name = "SHARE")]
    pub crop: Option<f64>,
    /// Chance of a left-right flip.
    #[arg(long, value_name = "CHANCE")]
    pub flip: Option<f64>,
    /// Largest change of brightness, contrast and saturation; unused with RandAugment.
    #[arg(long, value_name = "AMOUNT")]
    pub jitter: Option<f64>,
    /// Magnitude of RandAugment, 0 (off) to 10.
    #[arg(long, value_name = "MAGNITUDE")]
    pub rand_augment: Option<f64>,
    /// Chance that a rectangle is replaced by noise.
    #[arg(long, value_name = "CHANCE")]
    pub erase: Option<f64>,
    /// Concentration of mixup; 0 switches it off.
    #[arg(long, value_name = "ALPHA")]
    pub mixup: Option<f64>,
    /// Concentration of cutmix; 0 switches it off.
    #[arg(long, value_name = "ALPHA")]
    pub cutmix: Option<f64>,
}

/// Where augmentation begins.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AugmentArg {
    /// Images as they are: each runs through frozen blocks once.
    None,
    /// Mild crops and flips.
    Light,
    /// The paper's recipe: strong crops, flips, RandAugment, erasing, mixup, cutmix.
    Full,
}

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MethodArg {
    /// A head on frozen features, no adapters.
    Linear,
    /// Adapters at --sigma-0, trained once.
    Adapters,
    /// Adapters trained and pruned in turn, from --sigma-0 to --sigma.
    Mimi,
}

/// How wide adapters are at first.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum WidthsArg {
    /// Wider in wider blocks.
    Proportional,
    /// All the same.
    Uniform,
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
    /// Chance.
    Random,
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

/// Among which neurons the weakest are sought.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SelectionArg {
    /// Among all; adapters may vanish.
    Global,
    /// Within each adapter.
    Local,
}

/// How adapters begin.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum InitArg {
    /// Normal, deviation 0.02.
    Normal,
    /// Uniform within 1/√fan-in.
    Kaiming,
    /// The first matrix normal, the second zero: training starts at the backbone itself.
    Identity,
}

impl TrainArgs {
    /// What to train.
    ///
    /// # Errors
    /// When the task's name is none.
    pub fn options(&self) -> Result<TaskOptions> {
        let adapters =
            || MimiOptions { augment: self.augment.options(), ..self.mimi.options(&self.recipe, self.seed) };
        let method = match self.method {
            MethodArg::Linear => Method::Linear(self.recipe.linear(self.seed)),
            MethodArg::Adapters => Method::Mimi(MimiOptions { target: Target::Never, ..adapters() }),
            MethodArg::Mimi => Method::Mimi(adapters()),
        };
        let task = self.task.as_deref().context("--task is missing")?;
        Ok(TaskOptions {
            task: task.parse()?,
            images: self.images.origin(self.data.as_deref().context("--data is missing")?, self.seed),
            description: self.description.clone(),
            adapters: self.adapters.clone(),
            cycles: self.cycles.clone(),
            checkpoint: self.checkpoints.join(format!("{task}.safetensors")),
            resume: self.resume,
            memory: self.memory.map(|mib| mib << 20),
            gate: Gate {
                accuracy: self.gate,
                not_below_live: self.not_below_live,
                held_back: self.held_back.clone(),
            },
            method,
        })
    }
}

impl RecipeArgs {
    /// How a head alone is trained.
    pub fn linear(&self, seed: u64) -> LinearOptions {
        let default = LinearOptions::default();
        LinearOptions {
            epochs: self.epochs.unwrap_or(default.epochs),
            batch: self.batch.unwrap_or(default.batch),
            rate: self.learning_rate.unwrap_or(default.rate),
            decay: self.weight_decay,
            seed,
        }
    }
}

impl AugmentArgs {
    fn options(&self) -> AugmentOptions {
        let start = match self.augment {
            AugmentArg::None => AugmentOptions::none(),
            AugmentArg::Light => AugmentOptions::light(),
            AugmentArg::Full => AugmentOptions::full(),
        };
        AugmentOptions {
            crop: self.crop.unwrap_or(start.crop),
            flip: self.flip.unwrap_or(start.flip),
            jitter: self.jitter.unwrap_or(start.jitter),
            rand_augment: self.rand_augment.unwrap_or(start.rand_augment),
            erase: self.erase.unwrap_or(start.erase),
            mixup: self.mixup.unwrap_or(start.mixup),
            cutmix: self.cutmix.unwrap_or(start.cutmix),
        }
    }
}

impl MimiArgs {
    /// How adapters are trained, on images as they are.
    pub fn options(&self, recipe: &RecipeArgs, seed: u64) -> MimiOptions {
        let default = MimiOptions::default();
        MimiOptions {
            sigma: self.sigma_0,
            widths: match self.widths {
                WidthsArg::Proportional => Widths::Proportional,
                WidthsArg::Uniform => Widths::Uniform,
            },
            target: self.target(),
            rho: self.rho,
            score: self.score(),
            selection: match self.selection {
                SelectionArg::Global => Selection::Global,
                SelectionArg::Local => Selection::Local,
            },
            init: match self.init {
                InitArg::Normal => Init::Normal,
                InitArg::Kaiming => Init::KaimingUniform,
                InitArg::Identity => Init::Identity,
            },
            first_block: self.first_block,
            epochs: recipe.epochs.unwrap_or(default.epochs),
            batch: recipe.batch.unwrap_or(default.batch),
            rate: recipe.learning_rate.unwrap_or(default.rate),
            step: StepOptions { decay: recipe.weight_decay, clip: self.clip, micro_batch: self.micro_batch },
            smoothing: self.smoothing,
            augment: AugmentOptions::none(),
            seed,
        }
    }

    fn target(&self) -> Target {
        match (self.parameters, self.accuracy) {
            (Some(parameters), _) => Target::Parameters(parameters),
            (None, Some(accuracy)) => Target::Accuracy(accuracy),
            (None, None) => Target::Sigma(self.sigma),
        }
    }

    fn score(&self) -> Score {
        let normaliser = match self.normaliser {
            NormaliserArg::Weights => Normaliser::Weights,
            NormaliserArg::Widths => Normaliser::Widths,
            NormaliserArg::None => Normaliser::None,
        };
        match self.score {
            ScoreArg::Magnitude => Score::Magnitude(normaliser),
            ScoreArg::DownOnly => Score::DownOnly(normaliser),
            ScoreArg::Gradient => Score::Gradient(normaliser),
            ScoreArg::Random => Score::Random,
        }
    }
}
