//! What was typed after `serve` about what the server writes down.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use mimi_server::access::AccessOptions;
use mimi_server::audit::AuditOptions;
use mimi_server::metrics::TaskLabels;
use mimi_server::usage::UsageOptions;

/// Options of `serve` about its logs of use and of events.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is written down")]
pub struct JournalArgs {
    /// Folder for the usage log: JSON lines of what each tenant used, which `server usage` sums. Several servers may share
    /// it.
    #[arg(long, env = "MIMI_USAGE_LOG", value_name = "DIR")]
    usage_log: Option<PathBuf>,
    /// How often the usage log gets its lines, milliseconds. A server that is killed loses at most what it counted since.
    #[arg(long, env = "MIMI_USAGE_FLUSH_MS", default_value_t = 1000, value_parser = value_parser!(u64).range(10..=60_000))]
    usage_flush_ms: u64,
    /// Days after which files of the usage log are deleted. Without it, all are kept.
    #[arg(long, env = "MIMI_USAGE_KEEP_DAYS", value_name = "DAYS", value_parser = value_parser!(u32).range(1..=36_500))]
    usage_keep_days: Option<u32>,
    /// Folder for the audit log: JSON lines of who published, confirmed, changed tenants, or failed to authenticate.
    #[arg(long, env = "MIMI_AUDIT_LOG", value_name = "DIR")]
    audit_log: Option<PathBuf>,
    /// Most that the audit log keeps, MiB. The oldest files go first.
    #[arg(long, env = "MIMI_AUDIT_KEEP", default_value_t = 1024, value_name = "MIB", value_parser = value_parser!(u64).range(1..=1 << 20))]
    audit_keep: u64,
    /// Folder for the access log: a JSON line for each request, or for a part of them.
    #[arg(long, env = "MIMI_ACCESS_LOG", value_name = "DIR")]
    access_log: Option<PathBuf>,
    /// The share of requests that get a line in the access log, 0 to 1.
    #[arg(long, env = "MIMI_ACCESS_LOG_SAMPLE", default_value_t = 1.0, value_name = "PART", value_parser = part)]
    access_log_sample: f64,
    /// Most that the access log keeps, MiB. The oldest files go first.
    #[arg(long, env = "MIMI_ACCESS_LOG_KEEP", default_value_t = 1024, value_name = "MIB", value_parser = value_parser!(u64).range(1..=1 << 20))]
    access_log_keep: u64,
    /// Longest time until a line of these logs is on the disk, milliseconds. A machine that loses power loses at most what
    /// came since.
    #[arg(long, env = "MIMI_JOURNAL_SYNC_MS", default_value_t = 1000, value_parser = value_parser!(u64).range(0..=60_000))]
    journal_sync_ms: u64,
    /// Most tenants with a label of their own in metrics. The others are counted as `other`.
    #[arg(long, env = "MIMI_TENANT_LABELS", default_value_t = 100, value_parser = value_parser!(u32).range(0..=10_000))]
    tenant_labels: u32,
    /// Tasks with latencies of their own in metrics: `top:K` for the K that answer most, `all` for 10,000 at most, or
    /// `none`. The others are counted as `other`. A task has 13 lines.
    #[arg(long, env = "MIMI_METRICS_TASKS", default_value = "top:50", value_name = "WHICH")]
    metrics_tasks: TaskLabels,
}

impl JournalArgs {
    /// How use is counted and written.
    pub fn usage(&self) -> UsageOptions {
        UsageOptions {
            folder: self.usage_log.clone(),
            flush: Duration::from_millis(self.usage_flush_ms),
            sync: Duration::from_millis(self.journal_sync_ms),
            keep_days: self.usage_keep_days,
            labels: self.tenant_labels as usize,
        }
    }

    /// Which tasks have latencies of their own.
    pub fn task_labels(&self) -> TaskLabels {
        self.metrics_tasks
    }

    /// Which requests are written.
    pub fn access(&self) -> AccessOptions {
        AccessOptions {
            folder: self.access_log.clone(),
            sample: self.access_log_sample,
            sync: Duration::from_millis(self.journal_sync_ms),
            keep_bytes: self.access_log_keep << 20,
        }
    }

    /// How events are written.
    pub fn audit(&self) -> AuditOptions {
        AuditOptions {
            folder: self.audit_log.clone(),
            sync: Duration::from_millis(self.journal_sync_ms),
            keep_bytes: self.audit_keep << 20,
        }
    }
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| format!("{text:?}: expected 0 to 1"))
}
