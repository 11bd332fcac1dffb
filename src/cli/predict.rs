//! What was typed after `predict`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use mimi_server::engine::{EngineOptions, bank_bytes, states_bytes};
use mimi_server::pack::TaskId;
use mimi_server::predict::{Question, RemoteOptions};
use mimi_server::runtime::Device;
use mimi_server::serve;

use super::in_process::in_process;
use super::{LimitArgs, RuntimeArgs, batch_rows, cores, worker_count};

/// Room in a request's body beside its image, bytes.
const FORM_BYTES: usize = 1 << 20;

/// Options of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// The tasks, separated by commas. They share one pass over the blocks that none of them adapts.
    #[arg(long = "task", value_delimiter = ',', required = true, value_name = "TASKS")]
    pub tasks: Vec<TaskId>,
    /// A folder, whose images and those of folders in it are scored; or a file with a path a line, relative to its own
    /// folder. `-` reads such a list from standard input.
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// File to write, .jsonl or .csv. It appears when all images are scored; the same command goes on with a run that
    /// was interrupted.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Predictions of each image under each task, likeliest first.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    top_k: u64,
    /// Write every logit too (.jsonl only).
    #[arg(long)]
    logits: bool,
    /// CSV file to write: every file of the folder that is left out, and why.
    #[arg(long, value_name = "FILE")]
    pub list_skipped: Option<PathBuf>,
    /// Longest time without an answer before the run stops, seconds.
    #[arg(long, default_value_t = 120)]
    patience_secs: u64,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub local: LocalArgs,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Options of the engine that this command runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "On this machine")]
pub struct LocalArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Folder of packs.
    #[arg(long, env = "MIMI_ADAPTERS", default_value = "adapters", value_name = "DIR")]
    adapters: PathBuf,
    /// Most memory for packs, MiB.
    #[arg(long, env = "MIMI_PACK_MEMORY", default_value_t = 1024, value_name = "MIB")]
    pack_memory: u64,
    /// Threads that run batches. 0 takes one a core, which gives most images a second.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    workers: usize,
    /// Most rows in one batch. 0 takes 4 on the CPU and 32 on CUDA, and at least one for each task.
    #[arg(long, default_value_t = 0, value_name = "ROWS")]
    max_batch: usize,
}

/// Options of a running server that is asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "By a running server")]
pub struct RemoteArgs {
    /// Ask the server at this address (scheme, host and port), and run nothing here.
    #[arg(long)]
    pub url: Option<String>,
    /// File with the key to show. MIMI_API_KEY may have the key itself.
    #[arg(long, value_name = "FILE", requires = "url")]
    key_file: Option<PathBuf>,
    /// The key to show.
    #[arg(long = "api-key", env = "MIMI_API_KEY", hide = true, hide_env_values = true)]
    key: Option<String>,
    /// Authorities of the server's certificate, PEM. Without it those of the system.
    #[arg(long, value_name = "FILE", requires = "url")]
    tls_ca: Option<PathBuf>,
    /// Images asked about at once.
    #[arg(long, default_value_t = 8, value_name = "COUNT", requires = "url")]
    connections: usize,
}

impl PredictArgs {
    /// What is asked of every image.
    ///
    /// # Errors
    /// When no prediction is wanted, or logits are wanted in a table.
    pub fn question(&self) -> Result<Question> {
        ensure!(self.top_k > 0, "--top-k 0: expected a number from 1");
        let is_table = self.out.extension().is_some_and(|extension| extension == "csv");
        ensure!(!(self.logits && is_table), "--logits needs an --out that ends in .jsonl");
        let tasks: Vec<String> = self.tasks.iter().map(ToString::to_string).collect();
        let twice = tasks.iter().enumerate().find(|(at, task)| tasks[..*at].contains(task));
        ensure!(twice.is_none(), "--task names {} twice", twice.map_or("", |(_, task)| task));
        Ok(Question { tasks, top_k: usize::try_from(self.top_k)?, logits: self.logits })
    }

    /// How long there may be no answer.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_secs)
    }

    /// Rows and images at once, on this machine: enough that batches are full while images are decoded.
    pub fn at_once(&self, config: &serve::Config) -> usize {
        let EngineOptions { workers, max_batch, .. } = config.engine;
        (2 * workers * max_batch).div_ceil(self.tasks.len()) + cores()
    }

    /// A server of this process: no client waits, so it is set for many images a second.
    pub fn config(&self) -> serve::Config {
        let (local, tasks) = (&self.local, self.tasks.len());
        let workers = match (local.workers, local.runtime.device()) {
            (0, Device::Cpu) => cores(),
            (0, device) => worker_count(0, device),
            (typed, _) => typed,
        };
        let least = if local.max_batch == 0 { tasks } else { 1 };
        let max_batch = batch_rows(local.max_batch, local.runtime.device()).max(least);
        let engine = EngineOptions {
            max_batch,
            max_wait: Duration::from_millis(2),
            queue_limit: usize::MAX >> 1,
            workers,
            max_programs: 64,
            bank_memory: bank_bytes(local.runtime.device()),
            states_memory: states_bytes(local.runtime.device(), 0),
            // Nothing is kept of images, which come once.
            ..EngineOptions::default()
        };
        let mut config = in_process(&local.runtime, local.adapters.clone(), engine, self.patience());
        config.other_devices = local.runtime.other_devices().to_vec();
        config.service.max_tasks = tasks;
        config.service.image = self.limits.limits();
        config.http.payload_limit = config.service.image.max_bytes.saturating_add(FORM_BYTES);
        config.pack_memory = local.pack_memory << 20;
        config.poll = Duration::from_secs(3600);
        config
    }

    /// The server that is asked, if one is.
    ///
    /// # Errors
    /// When the file of the key cannot be read.
    pub fn remote(&self) -> Result<Option<RemoteOptions>> {
        let RemoteArgs { url, key_file, key, tls_ca, connections } = &self.remote;
        let Some(url) = url.clone() else { return Ok(None) };
        ensure!(*connections > 0, "--connections 0: expected a number from 1");
        let read = |file: &PathBuf| std::fs::read_to_string(file).with_context(|| file.display().to_string());
        let key = match key_file {
            Some(file) => Some(read(file)?.trim().to_owned()),
            None => key.clone(),
        };
        Ok(Some(RemoteOptions {
            url,
            key,
            authorities: tls_ca.clone(),
            connections: *connections,
            patience: self.patience(),
        }))
    }
}
