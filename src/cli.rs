//! The command line: what was typed, and what it means. The only place that reads the environment.

mod access;
mod augment;
mod auto;
mod bench;
mod candidates;
mod clouds;
mod compare;
mod connections;
mod environment;
mod folder;
mod graphs;
mod images;
mod import_backbone;
mod import_pack;
mod in_process;
mod journal;
mod keys;
mod limits;
mod lines;
mod methods;
mod mimi;
mod moment;
mod named;
mod packs;
mod pairs;
mod predict;
mod pruning;
mod publishing;
mod recipe;
mod runtime;
mod serve;
mod shard;
mod study;
mod tasks;
mod tls;
mod traces;
mod train;
mod usage;
mod verify;
mod walk;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use bench::BenchArgs;
pub use clouds::settings;
pub use compare::CompareArgs;
pub use environment::{is_set, parse, typed};
pub use folder::FolderArgs;
pub use import_backbone::ImportArgs;
pub use import_pack::ImportPackArgs;
pub use keys::{KeysArgs, KeysCommand, NewArgs as NewKeyArgs};
pub use limits::LimitArgs;
pub use lines::LinesArgs;
pub use packs::PacksArgs;
pub use predict::PredictArgs;
pub use publishing::{GcArgs, PublishArgs, RollbackArgs, VersionsArgs};
pub use runtime::{RuntimeArgs, batch_rows, cores, worker_count};
pub use serve::ServeArgs;
pub use study::StudyArgs;
pub use tasks::Listed;
pub use traces::Traces;
pub use train::TrainArgs;
pub use usage::UsageArgs;
pub use verify::VerifyArgs;
pub use walk::WalkArgs;

/// Multi-tenant inference server for adapted vision transformers.
#[derive(Debug, Parser)]
#[command(name = "server", version, about, args_override_self = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log filter, such as `info` or `mimi_server=debug,onnxruntime=info`.
    #[arg(long, env = "MIMI_LOG", default_value = "info,ort=warn", global = true)]
    pub log: String,
    /// Write the log as JSON, one object per line.
    #[arg(long, env = "MIMI_LOG_JSON", global = true)]
    pub log_json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve every task of a folder of packs on one resident backbone.
    Serve(Box<ServeArgs>),
    /// Import a checkpoint (timm or Hugging Face; safetensors, .pth or ONNX) as a backbone.
    ImportBackbone(ImportArgs),
    /// Convert a checkpoint of the reference MiMi implementation into a pack.
    ImportPack(Box<ImportPackArgs>),
    /// Show a backbone or a pack: sites, widths, parameters, FLOPs.
    Inspect(InspectArgs),
    /// Train a task from labelled images and write its pack.
    TrainTask(Box<TrainArgs>),
    /// Compare methods over sets of images and seeds, or MiMi with its ablations. Writes tables and plots.
    Compare(Box<CompareArgs>),
    /// Run a protocol: arms on sets of images with seeds, resumable. Writes a report with intervals and tests.
    Study(Box<StudyArgs>),
    /// Measure a pack on labelled images.
    Eval(Box<EvalArgs>),
    /// Score a folder of images under tasks, here or by a running server. Writes JSON lines or CSV.
    Predict(Box<PredictArgs>),
    /// Measure this machine: bare program, batches through the engine, memory, or training steps.
    Bench(BenchArgs),
    /// Publish a version of a task to a folder of packs or a store, or write it as one .mipack file.
    Publish(PublishArgs),
    /// Have another version of a task answer, by default the one before.
    Rollback(RollbackArgs),
    /// List a task's versions and labels.
    Versions(VersionsArgs),
    /// Remove old versions that no label names, and what crashes left behind.
    Gc(GcArgs),
    /// Read, check and self-test every version in a source: after a restore, or before an upgrade.
    Verify(VerifyArgs),
    /// Make, revoke and list the keys of tenants.
    Keys(KeysArgs),
    /// Sum a usage log: what each tenant used.
    Usage(UsageArgs),
    /// Ask a running server for its health. Exits with 0 when it is ready.
    Health(HealthArgs),
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Folder of a backbone (`models/NAME`) or of a pack (`adapters/TASK/VERSION`).
    pub path: PathBuf,
    /// Folder of backbones, to find the pack's backbone.
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
    /// Labelled images in any form that train-task reads, with the pack's labels. If the data have splits, the test
    /// images are measured, else the validation images.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    #[command(flatten)]
    pub walk: WalkArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
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
    /// The server's port for health and metrics. If given, it is asked instead.
    #[arg(long, env = "MIMI_ADMIN_PORT", value_name = "PORT")]
    pub admin_port: Option<u16>,
    /// The certificate that the server serves by TLS, PEM. The server must show the first one of this file.
    #[arg(long, env = "MIMI_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Authorities of the server's certificate, PEM. The server must show a certificate of theirs for --tls-name;
    /// --tls-cert is then not looked at.
    #[arg(long, env = "MIMI_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Name or address in the server's certificate. The default is the address that is asked.
    #[arg(long, env = "MIMI_TLS_NAME", value_name = "NAME")]
    pub tls_name: Option<String>,
    /// The admin port speaks without TLS.
    #[arg(long, env = "MIMI_ADMIN_PLAIN")]
    pub admin_plain: bool,
}
