//! Every Prometheus series of the server, with its unit and its buckets.
//!
//! Units are base units (seconds, bytes). Label values come from the catalog or from fixed tables, never from a request's
//! text, so that no client can add series. A task has two series or more of counters; histograms carry a task's label for
//! a bounded number of tasks.
//!
//! | file | holds |
//! |---|---|
//! | `requests` | what is asked and answered |
//! | `tasks`, `task_times`, `task_labels` | requests and FLOPs by task; how long answers take, by task |
//! | `engine` | queue, batches, programs and what images share |
//! | `connections` | connections and TLS |
//! | `tenants` | who asks, and what each tenant uses |
//! | `packs` | tasks, packs and their folder |
//! | `store` | the store of packs and this disk's copies |
//! | `journal` | logs of use and of events |
//! | `process` | what runs here, on what, and within which limits |
//! | `make` | series, made and registered |

mod connections;
mod engine;
mod journal;
mod make;
mod packs;
mod process;
mod requests;
mod store;
mod task_labels;
mod task_times;
mod tasks;
mod tenants;

use prometheus::Registry;

pub use connections::ConnectionMetrics;
pub use engine::EngineMetrics;
pub use journal::JournalMetrics;
pub use packs::PackMetrics;
pub use process::{Build, ProcessMetrics};
pub use requests::RequestMetrics;
pub use store::StoreMetrics;
pub use task_labels::TaskLabels;
pub use task_times::TaskTimes;
pub use tasks::TaskCounters;
pub use tenants::TenantMetrics;

/// Label value for requests that name no published task.
pub const NO_TASK: &str = "none";

/// The series. Each server has one instance with a registry of its own.
///
/// ```
/// let metrics = mimi_server::metrics::Metrics::new()?;
/// metrics.packs.tasks.set(3);
/// let text = String::from_utf8(metrics.render()?).unwrap();
/// assert!(text.contains("mimi_tasks 3"));
/// # Ok::<(), prometheus::Error>(())
/// ```
pub struct Metrics {
    registry: Registry,
    /// What is asked and answered.
    pub requests: RequestMetrics,
    /// Queue, batches, programs.
    pub engine: EngineMetrics,
    /// Connections and TLS.
    pub connections: ConnectionMetrics,
    /// Who asks.
    pub tenants: TenantMetrics,
    /// Tasks and packs.
    pub packs: PackMetrics,
    /// The store of packs.
    pub store: StoreMetrics,
    /// Logs of use and of events.
    pub journal: JournalMetrics,
    /// What runs here.
    pub process: ProcessMetrics,
}

impl Metrics {
    /// Makes the series and registers them.
    ///
    /// # Errors
    /// When a name is used twice, which a test excludes.
    pub fn new() -> Result<Self, prometheus::Error> {
        Self::with(TaskLabels::default())
    }

    /// The same with times by task for so many tasks.
    ///
    /// # Errors
    /// As [`Metrics::new`].
    pub fn with(labels: TaskLabels) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        Ok(Self {
            requests: RequestMetrics::new(r, labels)?,
            engine: EngineMetrics::new(r)?,
            connections: ConnectionMetrics::new(r)?,
            tenants: TenantMetrics::new(r)?,
            packs: PackMetrics::new(r)?,
            store: StoreMetrics::new(r)?,
            journal: JournalMetrics::new(r)?,
            process: ProcessMetrics::new(r)?,
            registry,
        })
    }

    /// Forgets the series of a task that is no longer published.
    pub fn forget_task(&self, task: &str) {
        self.requests.tasks.forget(task);
        self.requests.times.forget(task);
    }

    /// The text exposition.
    ///
    /// # Errors
    /// When a series cannot be encoded.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.process.look();
        let mut text = String::new();
        prometheus::TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text)?;
        self.requests.tasks.write(&mut text);
        self.requests.times.write(&mut text, std::time::Instant::now());
        Ok(text.into_bytes())
    }
}
