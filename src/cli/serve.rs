//! What was typed after `serve`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use mimi_server::bench::Goal;
use mimi_server::engine::{EngineOptions, bank_bytes, states_bytes};
use mimi_server::http::HttpOptions;
use mimi_server::serve;
use mimi_server::service::ServiceOptions;

use super::access::AccessArgs;
use super::connections::ConnectionArgs;
use super::graphs::GraphArgs;
use super::journal::JournalArgs;
use super::tls::TlsArgs;
use super::traces::{TraceArgs, Traces};
use super::{FolderArgs, PacksArgs, RuntimeArgs, batch_rows, cores, worker_count};

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
    /// Folder of packs, where --packs names no source.
    #[arg(long, env = "MIMI_ADAPTERS", default_value = "adapters", value_name = "DIR")]
    adapters: PathBuf,
    #[command(flatten)]
    packs: PacksArgs,
    /// Most memory for packs, MiB. Packs beyond it are dropped, least recently used first, and read again on
    /// demand.
    #[arg(long, env = "MIMI_PACK_MEMORY", default_value_t = 1024, value_name = "MIB")]
    pack_memory: u64,
    /// Most rows in one batch. 0 chooses by device: 4 on the CPU, where batching saves little, 32 on CUDA.
    #[arg(long, env = "MIMI_MAX_BATCH", default_value_t = 0)]
    max_batch: usize,
    /// Longest time a row waits for others that are already on their way, microseconds. A lone row never
    /// waits.
    #[arg(long, env = "MIMI_MAX_WAIT_US", default_value_t = 2000)]
    max_wait_us: u64,
    /// Most rows in flight (being decoded, waiting or running). More are answered 429 at once.
    #[arg(long, env = "MIMI_QUEUE_LIMIT", default_value_t = 128)]
    queue_limit: usize,
    /// Threads that run batches. For latency on the CPU use one, with all cores; for throughput one per core, with
    /// `--threads 1`. 0 is one on a CPU and two on a GPU, where one lays out a batch while the other's runs.
    #[arg(long, env = "MIMI_WORKERS", default_value_t = 0)]
    workers: usize,
    /// Measure for about ten seconds before serving, and choose workers, threads and the largest batch. The
    /// log shows the figures.
    #[arg(long, env = "MIMI_TUNE", value_name = "GOAL", conflicts_with_all = ["workers", "threads", "max_batch"])]
    tune: Option<GoalArg>,
    /// Most compiled programs beside the one with every adapter; each takes 5 to 20 MB. Tasks whose adapters
    /// begin at the same block share two, which run an image's first blocks once for all of them.
    #[arg(long, env = "MIMI_MAX_PROGRAMS", default_value_t = 12)]
    max_programs: usize,
    /// Memory for outputs of frozen blocks, MiB. They are used when an image comes again under a task whose
    /// adapters begin later. On a GPU it bounds those on the host and, once more, those on each GPU. 0 keeps nothing; a
    /// request opts out with `x-mimi-prefix-cache: off`.
    #[arg(long, env = "MIMI_PREFIX_MEMORY", default_value_t = 256, value_name = "MIB")]
    prefix_memory: u64,
    /// Memory on the device for packs' tensors, MiB. A pack's tensors are copied there once, and batches read them
    /// there. 0 sends them with every batch. By default 2048 on a GPU and 0 on a CPU, which reads them where they are.
    #[arg(long, env = "MIMI_BANK_MEMORY", value_name = "MIB")]
    bank_memory: Option<u64>,
    #[command(flatten)]
    graphs: GraphArgs,
    /// Heaps that threads allocate from (glibc arenas). One keeps memory level while packs come and go. More
    /// may help when tens of images are decoded at once. 0 leaves the number, and when freed memory goes back
    /// to the system, to glibc.
    #[arg(long, env = "MIMI_HEAPS", default_value_t = 1)]
    heaps: u8,
    /// Largest request body, MiB.
    #[arg(long, env = "MIMI_PAYLOAD_LIMIT", default_value_t = 32, value_name = "MIB")]
    payload_limit: usize,
    #[command(flatten)]
    limits: super::LimitArgs,
    /// Most images in one request.
    #[arg(long, env = "MIMI_MAX_IMAGES", default_value_t = 32)]
    max_images: usize,
    /// Most tasks in one request.
    #[arg(long, env = "MIMI_MAX_TASKS", default_value_t = 64)]
    max_tasks: usize,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    connections: ConnectionArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// How often the server looks for changes in the folder of packs, milliseconds.
    #[arg(long, env = "MIMI_POLL_MS", default_value_t = 500)]
    poll_ms: u64,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    traces: TraceArgs,
}

impl ServeArgs {
    /// Where to listen.
    pub fn address(&self) -> (IpAddr, u16) {
        (self.host, self.port)
    }

    /// Where health and metrics listen, if apart from clients.
    pub fn admin_address(&self) -> Option<(IpAddr, u16)> {
        self.connections.admin_port.map(|port| (self.host, port))
    }

    /// How TLS is served, if it is.
    ///
    /// # Errors
    /// When an option lacks the one that it needs.
    pub fn tls(&self) -> Result<Option<serve::TlsOptions>> {
        self.tls.options()
    }

    /// How requests are traced, if they are.
    ///
    /// # Errors
    /// When an option is not understood.
    pub fn traces(&self) -> Result<Option<Traces>> {
        self.traces.traces()
    }

    /// Heaps that threads allocate from.
    pub fn heaps(&self) -> u8 {
        self.heaps
    }

    /// What `--tune` asked for.
    pub fn goal(&self) -> Option<Goal> {
        self.tune.map(Goal::from)
    }

    /// Most rows of a batch that a GPU replays.
    ///
    /// # Errors
    /// Where nothing can be replayed.
    pub fn replayed_rows(&self) -> Result<usize> {
        self.graphs.rows(self.runtime.device(), self.bank_bytes())
    }

    /// Bytes of each device's bank.
    fn bank_bytes(&self) -> u64 {
        self.bank_memory.map_or(bank_bytes(self.runtime.device()), |mib| mib << 20)
    }

    /// What the options mean.
    pub fn config(&self) -> serve::Config {
        let workers = worker_count(self.workers, self.runtime.device());
        let runtime = self.runtime.options_for(workers);
        let prefix_memory = self.prefix_memory << 20;
        let states_memory = states_bytes(runtime.device, prefix_memory);
        let max_batch = batch_rows(self.max_batch, runtime.device);
        serve::Config {
            backbone: self.runtime.backbone_folder(),
            adapters: self.packs.folder().unwrap_or_else(|| self.adapters.clone()),
            store: self.packs.store(self.folder.options().state),
            runtime,
            other_devices: self.runtime.other_devices().to_vec(),
            weights: self.runtime.weights(),
            engine: EngineOptions {
                max_batch,
                max_wait: Duration::from_micros(self.max_wait_us),
                queue_limit: self.queue_limit.max(1),
                workers,
                max_programs: self.max_programs,
                prefix_memory,
                bank_memory: self.bank_bytes(),
                states_memory,
                ..EngineOptions::default()
            },
            service: self.service(),
            http: self.http(),
            connections: self.connections.limits(),
            tenants: self.access.tenants(),
            tls: None,
            pack_memory: self.pack_memory << 20,
            poll: Duration::from_millis(self.poll_ms.max(10)),
            reload: self.folder.options(),
            usage: self.journal.usage(),
            audit: self.journal.audit(),
            task_labels: self.journal.task_labels(),
            access: self.journal.access(),
            sampler: None,
            spans_lost: Default::default(),
            exit_notice: self.connections.exit_notice(),
            exit_timeout: self.connections.exit_timeout(),
        }
    }

    fn service(&self) -> ServiceOptions {
        ServiceOptions {
            max_images: self.max_images,
            max_tasks: self.max_tasks,
            timeout: self.connections.timeout(),
            bytes_in_flight: self.connections.bytes_in_flight(),
            decoders: cores(),
            keeps_prefixes: self.prefix_memory > 0,
            tells_load: self.access.tell_load,
            image: self.limits.limits(),
        }
    }

    fn http(&self) -> HttpOptions {
        HttpOptions {
            payload_limit: self.payload_limit << 20,
            body_timeout: self.connections.body_timeout(),
            identity: self.access.identity(),
            publishers: self.access.publishers().into(),
            origins: self.access.origins().into(),
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
