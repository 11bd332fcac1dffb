//! What was typed after `bench`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use mimi_server::backbone::Site;
use mimi_server::engine::bank_bytes;
use mimi_server::runtime::Device;
use mimi_server::train::study::SpeedOptions;

use super::RuntimeArgs;
use super::graphs;
use super::lines::LinesArgs;

/// Classes of the made-up task.
const CLASSES: usize = 10;

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Rows in a batch.
    #[arg(long, default_value_t = 8)]
    pub batch: usize,
    /// Adapter width at every site.
    #[arg(long, default_value_t = 8)]
    pub width: usize,
    /// Rounds. Figures are medians over them.
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// Also measure the memory of programs and packs.
    #[arg(long)]
    pub memory: bool,
    /// Instead measure one image under several tasks, with adapters in the last third of the blocks.
    #[arg(long, conflicts_with = "train")]
    pub fork: bool,
    /// Instead measure for so many seconds each what a light flow feels of one that floods the engine, and how flows
    /// share it. Prints lines of JSON.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["train", "fork", "memory"])]
    pub flood: Option<u64>,
    /// Instead run this many workers at once, over batches of 1, 2, 4 … rows while that pays, and print a
    /// line of JSON for each. `serve --tune` does this.
    #[arg(long, conflicts_with_all = ["train", "fork", "memory", "flood"])]
    pub workers: Option<usize>,
    /// End with this process, whose number it is, even if it is killed; `serve --tune` asks for it.
    #[arg(long, hide = true, value_name = "PROCESS")]
    pub parent: Option<u32>,
    /// Instead time the bare program in every precision, in turns.
    #[arg(long, conflicts_with_all = ["train", "fork", "memory", "workers"])]
    pub precisions: bool,
    /// Also compare these images' features with those of fp32, by their cosine.
    #[arg(long, requires = "precisions", num_args = 1.., value_name = "FILE")]
    pub images: Vec<PathBuf>,
    /// Instead time training steps, and print a line of JSON for each.
    #[arg(long)]
    pub train: bool,
    /// Where lies what later runs go on from: with --train parameters and moments, with --fork outputs of shared blocks. On a
    /// GPU that is the device, on a CPU the host.
    #[arg(long, value_name = "WHERE", conflicts_with_all = ["flood", "workers", "precisions"])]
    pub state: Option<StateArg>,
    /// Most rows of a batch that a GPU replays as a CUDA graph, as `serve --cuda-graphs` does.
    #[arg(long, default_value_t = 0, value_name = "ROWS",
          conflicts_with_all = ["train", "flood", "workers", "precisions", "memory"])]
    cuda_graphs: usize,
    #[command(flatten)]
    pub steps: StepArgs,
    #[command(flatten)]
    pub lines: LinesArgs,
}

/// Options of `bench --train`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training steps")]
pub struct StepArgs {
    /// Width of the blocks over width of the adapters (σ).
    #[arg(long, default_value_t = 8.0, value_name = "RATE", requires = "train")]
    pub sigma: f64,
    /// Sites without an adapter, such as blocks.0.attn,blocks.0.mlp.
    #[arg(long, value_delimiter = ',', value_name = "SITES", requires = "train")]
    pub leave_out: Vec<String>,
    /// Start before the lowest adapter, as a training without augmentation does.
    #[arg(long, requires = "train")]
    pub kept: bool,
    /// Images that run together.
    #[arg(long, default_value_t = 8, requires = "train")]
    pub micro_batch: usize,
}

/// Where what later runs go on from lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateArg {
    /// In the host's memory: copied to the device at each run.
    Host,
    /// On the device.
    Device,
}

impl BenchArgs {
    /// Whether what later runs go on from stays on the device, unless it was said.
    pub fn stays_on_device(&self, device: Device) -> bool {
        self.state.map_or(device.is_apart(), |state| state == StateArg::Device)
    }

    /// Most rows of a batch that is replayed.
    ///
    /// # Errors
    /// Where nothing can be replayed.
    pub fn replayed_rows(&self) -> Result<usize> {
        let device = self.runtime.device();
        graphs::rows(self.cuda_graphs, device, bank_bytes(device))
    }

    /// Which training steps to time, on a device.
    ///
    /// # Errors
    /// When a site is unknown.
    pub fn speed(&self, device: Device) -> Result<SpeedOptions> {
        let site = |name: &String| {
            Site::parse(name)
                .with_context(|| format!("unknown site {name}: expected for instance blocks.0.attn"))
        };
        ensure!(self.steps.sigma > 0.0 && self.steps.sigma.is_finite(), "sigma is {}", self.steps.sigma);
        Ok(SpeedOptions {
            sigma: self.steps.sigma,
            leave_out: self.steps.leave_out.iter().map(site).collect::<Result<_>>()?,
            kept: self.steps.kept,
            batch: self.batch.max(1),
            micro_batch: self.steps.micro_batch.max(1),
            classes: CLASSES,
            steps: self.rounds,
            stays_on_device: self.stays_on_device(device),
        })
    }
}
