//! What was typed after `train-task`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use mimi_server::pack::ProblemType;
use mimi_server::train::{
    Adaptation, DepthHeadOptions, Gate, Method, MimiOptions, Origin, Subset, TaskOptions,
};

use super::RuntimeArgs;
use super::augment::AugmentArgs;
use super::auto::AutoArgs;
use super::images::{ImagesArgs, share};
use super::mimi::MimiArgs;
use super::recipe::RecipeArgs;
use super::shard::Shard;

/// Options of `train-task`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// The task's name.
    #[arg(long, required_unless_present = "tasks_file")]
    pub task: Option<String>,
    /// Images: one folder per class; or such folders under train/, val/ and test/; or a CSV file with the
    /// columns path, label and optionally split. See docs/datasets.md.
    #[arg(long, value_name = "DIR", required_unless_present = "tasks_file")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub many: ManyArgs,
    #[command(flatten)]
    pub images: ImagesArgs,
    /// What the images are and where they came from, for the pack's provenance.
    #[arg(long, default_value = "")]
    pub description: String,
    /// Folder of packs. The new version appears there by a rename, and a running server finds it.
    #[arg(long, env = "MIMI_ADAPTERS", default_value = "adapters", value_name = "DIR")]
    pub adapters: PathBuf,
    /// Publish the new version here too, as stable: a folder of packs, or a store: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX,
    /// az://CONTAINER/PREFIX.
    #[arg(long, value_name = "SOURCE")]
    pub publish: Option<String>,
    /// Folder for the state of adapters in training. Written after every epoch, removed at the end.
    #[arg(long, default_value = "checkpoints", value_name = "DIR")]
    pub checkpoints: PathBuf,
    /// Continue from the checkpoint of an interrupted training with the same settings and images.
    #[arg(long)]
    pub resume: bool,
    /// Most memory that training takes beside the backbone, MiB. Fewer images then run together, and outputs
    /// of frozen blocks go to a file in --checkpoints. Default: no bound.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
    /// What the labels mean. Multi-label and regression need a CSV file; see docs/heads.md.
    #[arg(long, default_value = "single-label")]
    pub problem: ProblemArg,
    /// Abstain where the likeliest class is too unlikely: of the held-out images that keep their answer, at
    /// least this share is right, 0 to 1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub abstain_accuracy: Option<f64>,
    /// Hold the pack back if its score on the held-out images is below this: accuracy, mean average precision
    /// (multi-label) or R² (regression).
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub gate: Option<f64>,
    /// Hold the pack back if the newest version is better on the same held-out images.
    #[arg(long)]
    pub not_below_live: bool,
    /// Folder for packs that are held back, in the layout of --adapters.
    #[arg(long, default_value = "held-back", value_name = "DIR")]
    pub held_back: PathBuf,
    /// How to train: a head alone, on the last feature (linear) or on those of several depths; modules pruned in turn from --sigma-0 to --sigma (mimi); or the modules of one
    /// method, trained once. See docs/methods.md.
    #[arg(long, default_value = LINEAR, value_name = "METHOD", value_parser = method())]
    pub method: String,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for the pack of every cycle, in the layout of --adapters.
    #[arg(long, value_name = "DIR")]
    pub cycles: Option<PathBuf>,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub auto: AutoArgs,
    #[command(flatten)]
    pub mimi: MimiArgs,
    #[command(flatten)]
    pub augment: AugmentArgs,
}

/// Many tasks in one process.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many tasks")]
pub struct ManyArgs {
    /// File of tasks to train one after the other on one resident backbone. Each line holds the options in
    /// which a task differs from the command line, at least --task and --data. A task that fails does not
    /// stop the rest.
    #[arg(long, value_name = "FILE")]
    pub tasks_file: Option<PathBuf>,
    /// Train only every COUNT-th line of --tasks-file, from INDEX on (0 is the first): one machine's share.
    #[arg(long, value_name = "INDEX/COUNT", requires = "tasks_file")]
    pub shard: Option<Shard>,
    /// Skip tasks that have a version in --adapters. With --publish it is published if the source lacks the task.
    #[arg(long)]
    pub skip_existing: bool,
    /// Most memory for outputs of frozen blocks for images that tasks share, MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB", requires = "tasks_file")]
    pub feature_memory: u64,
}

/// What labels mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProblemArg {
    /// One class an image.
    #[value(alias = "single_label_classification")]
    SingleLabel,
    /// Any number of labels an image, separated by ; or |.
    #[value(alias = "multi_label_classification")]
    MultiLabel,
    /// A number, or several separated by ; or |.
    Regression,
}

impl From<ProblemArg> for ProblemType {
    fn from(typed: ProblemArg) -> Self {
        match typed {
            ProblemArg::SingleLabel => Self::SingleLabelClassification,
            ProblemArg::MultiLabel => Self::MultiLabelClassification,
            ProblemArg::Regression => Self::Regression,
        }
    }
}

/// A head on frozen features.
const LINEAR: &str = "linear";
/// Modules that are pruned.
const MIMI: &str = "mimi";

/// Reads a method's name; says why there is no pack of some.
fn method() -> impl TypedValueParser<Value = String> {
    let known =
        [LINEAR, DepthHeadOptions::NAME, MIMI].into_iter().chain(Adaptation::all().map(|known| known.name()));
    let known = known.map(PossibleValue::new);
    let refused = Subset::ALL.map(|subset| PossibleValue::new(subset.name()).hide(true));
    PossibleValuesParser::new(known.chain(refused)).try_map(|name: String| match Subset::named(&name) {
        Some(subset) => Err(subset.refusal()),
        None => Ok(name),
    })
}

impl TrainArgs {
    /// Refuses options that have no effect. Common ones of several tasks may have none on some.
    ///
    /// # Errors
    /// With the first.
    pub fn check_alone(&self) -> Result<()> {
        self.mimi.pruning.check(self.method == MIMI)
    }

    /// What to train.
    ///
    /// # Errors
    /// When the task's name is not a task id.
    pub fn options(&self) -> Result<TaskOptions> {
        let augment = self.augment.options();
        let method = match self.method.as_str() {
            LINEAR => {
                ensure!(self.mimi.settings.is_empty(), "{LINEAR} has no settings for --set");
                ensure!(self.mimi.bits.is_none(), "{LINEAR} has no adapters for --bits: see --head-bits");
                Method::Linear(self.recipe.linear(self.seed))
            }
            DepthHeadOptions::NAME => Method::DepthHead(self.depth_head()?),
            MIMI => Method::Mimi(MimiOptions { augment, ..self.mimi.options(&self.recipe, self.seed)? }),
            name => {
                let adaptation = Adaptation::named(name).context("there is no such method")?;
                let once = self.mimi.once(adaptation, &self.recipe, self.seed)?;
                Method::Mimi(MimiOptions { augment, ..once })
            }
        };
        let has_values = self.problem == ProblemArg::Regression;
        ensure!(
            !has_values || self.recipe.head_bits.is_none(),
            "a head of values is kept whole: no --head-bits"
        );
        let task = self.task.as_deref().context("--task is missing")?;
        Ok(TaskOptions {
            task: task.parse()?,
            images: Origin {
                problem: self.problem.into(),
                ..self.images.origin(self.data.as_deref().context("--data is missing")?, self.seed)
            },
            abstain_accuracy: self.abstain_accuracy,
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

    /// A head on several depths.
    fn depth_head(&self) -> Result<DepthHeadOptions> {
        let name = DepthHeadOptions::NAME;
        ensure!(self.mimi.bits.is_none(), "{name} has no adapters for --bits: see --head-bits");
        let mut options = DepthHeadOptions::of(self.recipe.linear(self.seed));
        self.mimi.settings.iter().try_for_each(|typed| options.set(typed))?;
        Ok(options)
    }
}
