//! The command line: what was typed, and what it means. The only place that reads the environment.

mod bench;
mod compare;
mod images;
mod import_pack;
mod tasks;
mod train;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use mimi_server::backbone::import::PreprocessingName;
use mimi_server::backbone::{Activation, Pool, Precision};
use mimi_server::bench::Goal;
use mimi_server::engine::EngineOptions;
use mimi_server::http::HttpOptions;
use mimi_server::image::Limits;
use mimi_server::runtime::{Device, RuntimeOptions, WeightOptions};
use mimi_server::serve;

pub use bench::BenchArgs;
pub use compare::CompareArgs;
pub use import_pack::ImportPackArgs;
pub use tasks::Listed;
pub use train::TrainArgs;

/// Multi-tenant inference server for adapted vision transformers.
#[derive(Debug, Parser)]
#[command(name = "server", version, about, args_override_self = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log filter, e.g. `info`, `mimi_server=debug,onnxruntime=info`.
    #[arg(long, env = "MIMI_LOG", default_value = "info,ort=warn", global = true)]
    pub log: String,
    /// Write the log as one JSON object a line.
    #[arg(long, env = "MIMI_LOG_JSON", global = true)]
    pub log_json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve every task of a folder of packs on one resident backbone.
    Serve(Box<ServeArgs>),
    /// Import a checkpoint (timm or Hugging Face safetensors or .pth, or ONNX) as a backbone.
    ImportBackbone(ImportArgs),
    /// Convert a checkpoint of the reference MiMi implementation into a pack.
    ImportPack(Box<ImportPackArgs>),
    /// Show a backbone or a pack: sites, widths, parameters, FLOPs.
    Inspect(InspectArgs),
    /// Train a task from labelled images and write its pack.
    TrainTask(Box<TrainArgs>),
    /// Compare MiMi with a head alone and with plain adapters, over seeds; write a table and a plot.
    Compare(Box<CompareArgs>),
    /// Measure a pack on labelled images.
    Eval(Box<EvalArgs>),
    /// Measure this machine: the bare program, batches through the engine, memory, or training steps.
    Bench(BenchArgs),
    /// Ask a running server for its health; exits with 0 when it is ready.
    Health(HealthArgs),
}

/// Where the runtime and the backbone are; shared by all commands that run a network.
#[derive(Debug, Args)]
pub struct RuntimeArgs {
    /// The ONNX Runtime library; `make runtime` fetches it here.
    #[arg(
        long,
        env = "MIMI_ONNXRUNTIME",
        default_value = "vendor/onnxruntime/libonnxruntime.so.1.31.1",
        value_name = "FILE"
    )]
    pub onnxruntime: PathBuf,
    /// Where programs run: cpu, cuda or cuda:N. There is no fallback: an absent device is an error.
    #[arg(long, env = "MIMI_DEVICE", default_value = "cpu")]
    pub device: Device,
    /// Threads inside one operator: the worker itself and others that all workers share. 0 means that workers and
    /// shared threads together are as many as the cores this process may use, by its affinity and its cgroup's CPU quota
    /// (rounded down).
    #[arg(long, env = "MIMI_THREADS", default_value_t = 0)]
    pub threads: usize,
    /// Folder of backbones.
    #[arg(long, env = "MIMI_MODELS", default_value = "models", value_name = "DIR")]
    pub models: PathBuf,
    /// Which backbone, by its folder's name.
    #[arg(long, env = "MIMI_BACKBONE", default_value = "clip-vit-b16", value_name = "NAME")]
    pub backbone: String,
    /// Keep no second copy of the weights in the kernels' own layout: less memory, 6-13 % slower at one row.
    #[arg(long, env = "MIMI_NO_PREPACK")]
    pub no_prepack: bool,
    /// Numbers in which the backbone multiplies. Adapters and heads are fp32 in each, and a pack trained at one
    /// precision is served at the other with a warning.
    #[arg(long, env = "MIMI_PRECISION", value_enum, default_value_t = PrecisionArg::Fp32)]
    pub precision: PrecisionArg,
}

/// Precisions by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PrecisionArg {
    /// 32-bit floats.
    Fp32,
    /// 8-bit integers, on the CPU only: fast where it has VNNI instructions. Train packs at it for its best accuracy.
    Int8,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::Fp32 => Self::Fp32,
            PrecisionArg::Int8 => Self::Int8,
        }
    }
}

impl RuntimeArgs {
    /// Folder of the backbone.
    pub fn backbone_folder(&self) -> PathBuf {
        self.models.join(&self.backbone)
    }

    /// How the backbone's weights are kept.
    pub fn weights(&self) -> WeightOptions {
        WeightOptions { prepack: !self.no_prepack, precision: self.precision.into() }
    }

    /// Settings of the runtime.
    pub fn options(&self) -> RuntimeOptions {
        self.options_for(1)
    }

    /// The same options as another process is to be given them, but for the threads.
    pub fn typed(&self) -> Vec<OsString> {
        let mut typed: Vec<OsString> = vec!["--device".into(), self.device.to_string().into()];
        typed.extend(["--onnxruntime".into(), self.onnxruntime.clone().into()]);
        typed.extend(["--models".into(), self.models.clone().into()]);
        typed.extend(["--backbone".into(), self.backbone.clone().into()]);
        typed.extend(["--precision".into(), Precision::from(self.precision).name().into()]);
        typed.extend(self.no_prepack.then(|| "--no-prepack".into()));
        typed
    }

    /// Settings of a runtime whose programs so many threads run at once.
    pub fn options_for(&self, workers: usize) -> RuntimeOptions {
        let threads = if self.threads == 0 { threads_beside(workers, cores()) } else { self.threads };
        RuntimeOptions { library: self.onnxruntime.clone(), device: self.device, threads }
    }
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Address to listen on.
    #[arg(long, env = "MIMI_HOST", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 lets the system choose.
    #[arg(long, short, env = "MIMI_PORT", default_value_t = 8080)]
    port: u16,
    /// Folder of packs.
    #[arg(long, env = "MIMI_ADAPTERS", default_value = "adapters", value_name = "DIR")]
    adapters: PathBuf,
    /// Most memory for packs, MiB. Packs beyond it are dropped, least used first, and read again when called.
    #[arg(long, env = "MIMI_PACK_MEMORY", default_value_t = 1024, value_name = "MIB")]
    pack_memory: u64,
    /// Most rows in one batch; 0 chooses by device: 4 on the CPU, where batching saves little, 32 on CUDA.
    #[arg(long, env = "MIMI_MAX_BATCH", default_value_t = 0)]
    max_batch: usize,
    /// Longest a row waits for others that are already on their way, microseconds; a lone row never waits.
    #[arg(long, env = "MIMI_MAX_WAIT_US", default_value_t = 2000)]
    max_wait_us: u64,
    /// Most rows in the building (decoding, waiting, running); more are answered 429 at once.
    #[arg(long, env = "MIMI_QUEUE_LIMIT", default_value_t = 128)]
    queue_limit: usize,
    /// Threads that run batches. One with all cores is best for latency; one a core with `--threads 1` is best
    /// for throughput on the CPU.
    #[arg(long, env = "MIMI_WORKERS", default_value_t = 1)]
    workers: usize,
    /// Measure before serving, for some ten seconds, and choose workers, threads and the largest batch by it; see the log.
    #[arg(long, env = "MIMI_TUNE", value_name = "GOAL", conflicts_with_all = ["workers", "threads", "max_batch"])]
    tune: Option<GoalArg>,
    /// Programs kept besides the one with every site; each costs about 20 MB. Tasks whose adapters begin at the same
    /// block share two, by which an image's first blocks run once for all of them.
    #[arg(long, env = "MIMI_MAX_PROGRAMS", default_value_t = 12)]
    max_programs: usize,
    /// Memory for what frozen blocks gave for images, MiB, used when an image comes again under a task whose adapters
    /// begin later; 0 keeps nothing, and a request keeps out of it by `x-mimi-prefix-cache: off`.
    #[arg(long, env = "MIMI_PREFIX_MEMORY", default_value_t = 256, value_name = "MIB")]
    prefix_memory: u64,
    /// Largest request body, MiB.
    #[arg(long, env = "MIMI_PAYLOAD_LIMIT", default_value_t = 32, value_name = "MIB")]
    payload_limit: usize,
    /// Largest image, megapixels; larger ones are refused by their header, before any memory is taken.
    #[arg(long, env = "MIMI_MAX_MEGAPIXELS", default_value_t = 40)]
    max_megapixels: u64,
    /// Most images in one request.
    #[arg(long, env = "MIMI_MAX_IMAGES", default_value_t = 32)]
    max_images: usize,
    /// Most tasks in one request.
    #[arg(long, env = "MIMI_MAX_TASKS", default_value_t = 64)]
    max_tasks: usize,
    /// Deadline of a request that sets none by `x-mimi-timeout-ms`, milliseconds.
    #[arg(long, env = "MIMI_TIMEOUT_MS", default_value_t = 30_000)]
    timeout_ms: u64,
    /// How often the folder of packs is looked at, milliseconds.
    #[arg(long, env = "MIMI_POLL_MS", default_value_t = 1000)]
    poll_ms: u64,
    /// Longest wait for open requests at the end, seconds.
    #[arg(long, env = "MIMI_EXIT_TIMEOUT_SECS", default_value_t = 60)]
    exit_timeout_secs: u64,
}

impl ServeArgs {
    /// Where to listen.
    pub fn address(&self) -> (IpAddr, u16) {
        (self.host, self.port)
    }

    /// What `--tune` asked for.
    pub fn goal(&self) -> Option<Goal> {
        self.tune.map(Goal::from)
    }

    /// What the options mean.
    pub fn config(&self) -> serve::Config {
        let runtime = self.runtime.options_for(self.workers.max(1));
        let max_batch = match (self.max_batch, runtime.device) {
            (0, Device::Cpu) => 4,
            (0, Device::Cuda(_)) => 32,
            (chosen, _) => chosen,
        };
        serve::Config {
            backbone: self.runtime.backbone_folder(),
            adapters: self.adapters.clone(),
            runtime,
            weights: self.runtime.weights(),
            engine: EngineOptions {
                max_batch,
                max_wait: Duration::from_micros(self.max_wait_us),
                queue_limit: self.queue_limit.max(1),
                workers: self.workers.max(1),
                max_programs: self.max_programs,
                prefix_memory: self.prefix_memory << 20,
            },
            http: self.http(),
            pack_memory: self.pack_memory << 20,
            poll: Duration::from_millis(self.poll_ms.max(10)),
            exit_timeout: Duration::from_secs(self.exit_timeout_secs),
        }
    }

    fn http(&self) -> HttpOptions {
        let payload_limit = self.payload_limit << 20;
        HttpOptions {
            payload_limit,
            max_images: self.max_images,
            max_tasks: self.max_tasks,
            timeout: Duration::from_millis(self.timeout_ms),
            decoders: cores(),
            keeps_prefixes: self.prefix_memory > 0,
            image: Limits { max_bytes: payload_limit, max_pixels: self.max_megapixels * 1_000_000 },
        }
    }
}

/// Goals by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum GoalArg {
    /// Most rows a second among layouts whose full batch takes at most 1.5 times the shortest.
    Latency,
    /// Most rows a second.
    Throughput,
}

impl From<GoalArg> for Goal {
    fn from(arg: GoalArg) -> Self {
        match arg {
            GoalArg::Latency => Self::Latency,
            GoalArg::Throughput => Self::Throughput,
        }
    }
}

/// Options of `import-backbone`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The checkpoint: .safetensors, .onnx, .pth or .pt (nothing in it is executed). config.json and preprocessor_config.json beside it are read too.
    #[arg(long, env = "MIMI_WEIGHTS", value_name = "FILE")]
    pub weights: PathBuf,
    /// Name of the backbone: packs refer to it.
    #[arg(long)]
    pub name: String,
    /// Folder of backbones.
    #[arg(long, env = "MIMI_MODELS", default_value = "models", value_name = "DIR")]
    pub models: PathBuf,
    /// Side of the input, pixels; another than the checkpoint's resamples the positions.
    #[arg(long)]
    pub image_size: Option<usize>,
    /// Attention heads, where neither config.json nor a width of 64 a head tells.
    #[arg(long)]
    pub heads: Option<usize>,
    /// Non-linearity, where the family leaves it open.
    #[arg(long)]
    pub activation: Option<ActivationArg>,
    /// Pooling, where it is not the family's own.
    #[arg(long)]
    pub pool: Option<PoolArg>,
    /// Epsilon of the layer norms, where it is not the family's own.
    #[arg(long)]
    pub layer_norm_eps: Option<f32>,
    /// Preprocessing, where neither the files nor the family tell.
    #[arg(long)]
    pub preprocessing: Option<PreprocessingArg>,
    /// Replace an existing backbone of that name.
    #[arg(long)]
    pub overwrite: bool,
}

/// Non-linearities by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ActivationArg {
    /// Exact GELU.
    Gelu,
    /// CLIP's QuickGELU.
    QuickGelu,
    /// GELU by its tanh approximation.
    GeluTanh,
}

impl From<ActivationArg> for Activation {
    fn from(arg: ActivationArg) -> Self {
        match arg {
            ActivationArg::Gelu => Self::Gelu,
            ActivationArg::QuickGelu => Self::QuickGelu,
            ActivationArg::GeluTanh => Self::GeluTanh,
        }
    }
}

/// Poolings by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum PoolArg {
    /// The class token.
    Cls,
    /// The mean of the patches, after the norm.
    Mean,
    /// The mean of the patches, then the norm.
    MeanThenNorm,
    /// The mean of class and distillation token (distilled DeiT).
    ClassAndDistillation,
    /// A learned query's attention and an MLP (SigLIP).
    Attention,
}

impl From<PoolArg> for Pool {
    fn from(arg: PoolArg) -> Self {
        match arg {
            PoolArg::Cls => Self::Cls,
            PoolArg::Mean => Self::Mean,
            PoolArg::MeanThenNorm => Self::MeanThenNorm,
            PoolArg::ClassAndDistillation => Self::ClassAndDistillation,
            PoolArg::Attention => Self::Attention,
        }
    }
}

/// Preprocessings by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PreprocessingArg {
    /// CLIP's mean and deviation, short side to the input's.
    Clip,
    /// ImageNet's mean and deviation, short side to 8/7 of the input's.
    Imagenet,
    /// Mean and deviation 0.5, short side to 8/7 of the input's.
    Half,
    /// Mean and deviation 0.5, both sides to the input's.
    Siglip,
}

impl From<PreprocessingArg> for PreprocessingName {
    fn from(arg: PreprocessingArg) -> Self {
        match arg {
            PreprocessingArg::Clip => Self::Clip,
            PreprocessingArg::Imagenet => Self::Imagenet,
            PreprocessingArg::Half => Self::Half,
            PreprocessingArg::Siglip => Self::Siglip,
        }
    }
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Folder of a backbone (`models/NAME`) or of a pack (`adapters/TASK/VERSION`).
    pub path: PathBuf,
    /// Folder of backbones, where a pack's backbone is looked for.
    #[arg(long, env = "MIMI_MODELS", default_value = "models", value_name = "DIR")]
    pub models: PathBuf,
}

/// Options of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// The pack's folder (`adapters/TASK/VERSION`).
    #[arg(long, value_name = "DIR")]
    pub pack: PathBuf,
    /// Labelled images in any form that train-task takes, with the pack's labels. Of divided data the test images
    /// are measured, or else the validation images.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
}

/// Options of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Address of the server.
    #[arg(long, env = "MIMI_HOST", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port of the server.
    #[arg(long, short, env = "MIMI_PORT", default_value_t = 8080)]
    pub port: u16,
}

/// Cores this process may use: its affinity mask and its cgroup's quota (`cpu.max`, `cpu.cfs_quota_us`) are respected.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads inside one operator with which every core has something to do and none has two: each of the workers is one of
/// its operator's threads, the others are shared.
fn threads_beside(workers: usize, cores: usize) -> usize {
    cores.saturating_sub(workers.saturating_sub(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_and_shared_threads_are_as_many_as_cores() {
        for (workers, cores, threads) in
            [(1, 1, 1), (1, 8, 8), (2, 8, 7), (4, 8, 5), (8, 8, 1), (9, 8, 1), (0, 2, 2)]
        {
            assert_eq!(threads_beside(workers, cores), threads, "{workers} worker(s) on {cores} core(s)");
        }
    }
}
