//! Every Prometheus series of the server, with its unit and its buckets.
//!
//! Units are base units (seconds, bytes). Label values come from the catalog or from the fixed table of error
//! codes, never from a request's text, so that no client can add series. Histograms carry no task label: a
//! thousand tasks would make ten thousand series of each.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// Label value for requests that name no published task.
pub const NO_TASK: &str = "none";

/// Upper bounds for durations, seconds; the last finite one is far above any deadline in use.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 15.0, 60.0];
/// Upper bounds for rows or packs in a batch.
const COUNTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The series. Each server has one instance with a registry of its own.
///
/// ```
/// let metrics = mimi_server::metrics::Metrics::new()?;
/// metrics.tasks.set(3);
/// let text = String::from_utf8(metrics.render()?).unwrap();
/// assert!(text.contains("mimi_tasks 3"));
/// # Ok::<(), prometheus::Error>(())
/// ```
pub struct Metrics {
    registry: Registry,
    /// Answered requests, by task and code (`ok` or the error's code).
    pub requests: IntCounterVec,
    /// Floating-point operations spent on rows that ran, by task.
    pub flops: IntCounterVec,
    /// Floating-point operations that batches ran.
    pub engine_flops: IntCounter,
    /// Those of the server's own rows, which no tenant pays for.
    pub internal_flops: IntCounter,
    /// Those of rows whose requests had gone away before they were answered.
    pub unclaimed_flops: IntCounter,
    /// Time from a request's header to its answer.
    pub request_seconds: Histogram,
    /// Decoding and resizing one image.
    pub decode_seconds: Histogram,
    /// From a row's entering the queue to its batch's start.
    pub queue_seconds: Histogram,
    /// One batch's run.
    pub run_seconds: Histogram,
    /// Rows in a batch.
    pub batch_rows: Histogram,
    /// Distinct packs in a batch.
    pub batch_packs: Histogram,
    /// Rows waiting.
    pub queue_rows: IntGauge,
    /// Time that the waiting rows will take.
    pub backlog_seconds: Gauge,
    /// Rows dropped before compute, by reason.
    pub rows_dropped: IntCounterVec,
    /// Rows that shared their first blocks with others or with an earlier request.
    pub rows_forked: IntCounter,
    /// Images looked up among kept prefixes, by outcome (`hit` or `miss`).
    pub prefix_lookups: IntCounterVec,
    /// Memory of kept prefixes.
    pub prefix_bytes: IntGauge,
    /// Programs compiled since the start.
    pub programs_compiled: IntCounter,
    /// Programs held.
    pub programs_resident: IntGauge,
    /// Open connections.
    pub connections: IntGauge,
    /// Connections accepted.
    pub connections_accepted: IntCounter,
    /// Connections that the server closed or refused, by reason.
    pub connections_closed: IntCounterVec,
    /// Changed TLS files, by outcome (`loaded` or `failed`).
    pub tls_reloads: IntCounterVec,
    /// When the certificate that is served expires, seconds since the epoch; a series only where TLS is on.
    tls_expiry: IntGaugeVec,
    tls_revocations_due: IntGaugeVec,
    /// Failures to accept a connection.
    pub accept_failures: IntCounter,
    /// Memory that requests hold: bodies, and images being decoded.
    pub request_bytes: IntGauge,
    /// Tenants in the file that is in force.
    pub tenants: IntGauge,
    /// Times that the file of tenants was read again, by outcome (`read` or `refused`).
    pub tenants_reloads: IntCounterVec,
    /// Requests whose caller was looked for, by outcome.
    pub authentications: IntCounterVec,
    /// Published tasks.
    pub tasks: IntGauge,
    /// Packs in memory.
    pub packs_resident: IntGauge,
    /// Memory of the packs held.
    pub packs_resident_bytes: IntGauge,
    /// Memory packs may take.
    pub packs_budget_bytes: IntGauge,
    /// Packs read into memory.
    pub pack_loads: IntCounter,
    /// Packs dropped to keep the budget.
    pub pack_evictions: IntCounter,
    /// New versions, by outcome (`published` or `failed`).
    pub pack_reloads: IntCounterVec,
    /// Live versions whose files were rewritten in place.
    pub packs_rewritten: IntCounter,
    /// Self-tests, by outcome (`passed`, `failed`, or `remembered` from an earlier pass).
    pub self_tests: IntCounterVec,
    /// Failed looks at the folder of packs, by what was looked at (`root`, `task`, `version`).
    pub folder_errors: IntCounterVec,
    /// Tasks kept though the folder of packs no longer has them.
    pub folder_held: IntGauge,
    /// Folders ignored because their name is neither a task id nor a version.
    pub folder_passed_over: IntGauge,
    /// Tasks without change notices, whose folders are looked at in turn.
    pub folder_unwatched: IntGauge,
    /// Requests, by tenant and code.
    pub tenant_requests: IntCounterVec,
    /// Images, by tenant.
    pub tenant_images: IntCounterVec,
    /// Floating-point operations, by tenant.
    pub tenant_flops: IntCounterVec,
    /// Time of the device, by tenant.
    pub tenant_device_seconds: CounterVec,
    /// Bytes of bodies, by tenant and direction (`in` or `out`).
    pub tenant_bytes: IntCounterVec,
    /// Lines on the disk, by log (`usage` or `audit`).
    pub journal_lines: IntCounterVec,
    /// Bytes of lines on the disk, by log.
    pub journal_bytes: IntCounterVec,
    /// Lines that nobody will write, by log.
    pub journal_dropped: IntCounterVec,
    /// Failures to write or sync, by log.
    pub journal_failures: IntCounterVec,
    /// Age of the oldest line that is not on the disk yet, by log.
    pub journal_lag: GaugeVec,
}

impl Metrics {
    /// Says when the certificate that is served expires, seconds since the epoch.
    pub fn set_tls_expiry(&self, at: i64) {
        self.tls_expiry.with_label_values::<&str>(&[]).set(at);
    }

    /// Says when the next list of revoked client certificates is due, seconds since the epoch; its series ends without one.
    pub fn set_tls_revocations_due(&self, at: Option<i64>) {
        match at {
            Some(at) => self.tls_revocations_due.with_label_values::<&str>(&[]).set(at),
            None => self.tls_revocations_due.reset(),
        }
    }

    /// Makes the series and registers them.
    ///
    /// # Errors
    /// When a name is used twice, which a test excludes.
    pub fn new() -> Result<Self, prometheus::Error> {
        let r = Registry::new();
        Ok(Self {
            requests: counters(
                &r,
                "mimi_requests_total",
                "Answered requests, by task and code (ok or an error code)",
                &["task", "code"],
            )?,
            flops: counters(
                &r,
                "mimi_flops_total",
                "Floating-point operations spent on rows that ran, by task",
                &["task"],
            )?,
            engine_flops: counter(
                &r,
                "mimi_engine_flops_total",
                "Floating-point operations that batches ran; the sum over their rows",
            )?,
            internal_flops: counter(
                &r,
                "mimi_engine_internal_flops_total",
                "Of those, the ones of the server's own rows, which no tenant pays for",
            )?,
            unclaimed_flops: counter(
                &r,
                "mimi_engine_unclaimed_flops_total",
                "Of those, the ones of rows whose request had gone away",
            )?,
            request_seconds: seconds(
                &r,
                "mimi_request_duration_seconds",
                "Time from a request's header to its answer",
            )?,
            decode_seconds: seconds(
                &r,
                "mimi_decode_duration_seconds",
                "Time to decode and resize one image",
            )?,
            queue_seconds: seconds(&r, "mimi_queue_wait_seconds", "Time a row waits for its batch")?,
            run_seconds: seconds(&r, "mimi_run_duration_seconds", "Time of a batch's run")?,
            batch_rows: counts(&r, "mimi_batch_rows", "Rows in a batch")?,
            batch_packs: counts(&r, "mimi_batch_packs", "Distinct packs in a batch")?,
            queue_rows: gauge(&r, "mimi_queue_rows", "Rows waiting for a batch")?,
            backlog_seconds: number(
                &r,
                "mimi_backlog_seconds",
                "Time that the waiting rows will take, by the FLOPs a second measured; 0 before that",
            )?,
            rows_dropped: counters(
                &r,
                "mimi_rows_dropped_total",
                "Rows dropped before compute, by reason: abandoned, expired",
                &["reason"],
            )?,
            rows_forked: counter(
                &r,
                "mimi_rows_forked_total",
                "Rows that shared their first blocks with other rows or an earlier request",
            )?,
            prefix_lookups: counters(
                &r,
                "mimi_prefix_lookups_total",
                "Images looked up in the prefix cache, by outcome: hit, miss",
                &["outcome"],
            )?,
            prefix_bytes: gauge(&r, "mimi_prefix_resident_bytes", "Memory of the prefix cache")?,
            programs_compiled: counter(&r, "mimi_programs_compiled_total", "Programs compiled")?,
            programs_resident: gauge(&r, "mimi_programs_resident", "Programs in memory")?,
            connections: gauge(&r, "mimi_connections", "Open connections")?,
            connections_accepted: counter(&r, "mimi_connections_accepted_total", "Connections accepted")?,
            connections_closed: counters(
                &r,
                "mimi_connections_closed_total",
                "Connections the server closed or refused, by reason: header_timeout, idle_timeout, write_timeout, crowded_header, crowded_idle, crowded_body, crowded_answer, full, tls_handshake, untrusted, drain",
                &["reason"],
            )?,
            tls_reloads: counters(
                &r,
                "mimi_tls_reloads_total",
                "Changed TLS files, by outcome: loaded, failed; alert on failed",
                &["outcome"],
            )?,
            tls_expiry: late_gauge(
                &r,
                "mimi_tls_certificate_expiry_seconds",
                "When the certificate that is served expires, seconds since the epoch",
            )?,
            tls_revocations_due: late_gauge(
                &r,
                "mimi_tls_crl_next_update_seconds",
                "When the next list of revoked client certificates is due, seconds since the epoch; the first of several",
            )?,
            accept_failures: counter(&r, "mimi_accept_failures_total", "Failures to accept a connection")?,
            request_bytes: gauge(
                &r,
                "mimi_request_bytes",
                "Memory that requests hold: bodies, and images being decoded",
            )?,
            tenants: gauge(&r, "mimi_tenants", "Tenants in the file that is in force")?,
            tenants_reloads: counters(
                &r,
                "mimi_tenants_reloads_total",
                "Times the file of tenants was read again, by outcome: read, refused",
                &["outcome"],
            )?,
            authentications: counters(
                &r,
                "mimi_authentications_total",
                "Requests whose caller was looked for, by outcome: key, certificate, identity, anonymous, no_key, malformed_key, unknown_key, expired_key, unknown_name, anonymous_closed, revoked",
                &["outcome"],
            )?,
            tasks: gauge(&r, "mimi_tasks", "Published tasks")?,
            packs_resident: gauge(&r, "mimi_packs_resident", "Packs in memory")?,
            packs_resident_bytes: gauge(&r, "mimi_packs_resident_bytes", "Memory of packs in memory")?,
            packs_budget_bytes: gauge(&r, "mimi_packs_budget_bytes", "Memory that packs may take")?,
            pack_loads: counter(&r, "mimi_pack_loads_total", "Packs read into memory")?,
            pack_evictions: counter(
                &r,
                "mimi_pack_evictions_total",
                "Packs dropped to stay within the budget",
            )?,
            pack_reloads: counters(
                &r,
                "mimi_pack_reloads_total",
                "New versions tried, by outcome: published, failed",
                &["outcome"],
            )?,
            packs_rewritten: counter(
                &r,
                "mimi_packs_rewritten_total",
                "Live versions whose files were rewritten in place",
            )?,
            self_tests: counters(
                &r,
                "mimi_self_tests_total",
                "Self-tests, by outcome: passed, failed, remembered",
                &["outcome"],
            )?,
            folder_errors: counters(
                &r,
                "mimi_folder_errors_total",
                "Failed looks at the folder of packs, by what was looked at: root, task, version",
                &["at"],
            )?,
            folder_held: gauge(
                &r,
                "mimi_folder_held_tasks",
                "Tasks served although the folder lacks them; alert above 0",
            )?,
            folder_passed_over: gauge(
                &r,
                "mimi_folder_passed_over",
                "Folders ignored because their name is neither a task id nor a version",
            )?,
            folder_unwatched: gauge(
                &r,
                "mimi_folder_unwatched_tasks",
                "Tasks without change notices, compared by time",
            )?,
            tenant_requests: counters(
                &r,
                "mimi_tenant_requests_total",
                "Requests, by tenant and code (ok, an error code, or abandoned)",
                &["tenant", "code"],
            )?,
            tenant_images: counters(
                &r,
                "mimi_tenant_images_total",
                "Images answered, by tenant",
                &["tenant"],
            )?,
            tenant_flops: counters(
                &r,
                "mimi_tenant_flops_total",
                "Floating-point operations spent, by tenant",
                &["tenant"],
            )?,
            tenant_device_seconds: real_counters(
                &r,
                "mimi_tenant_device_seconds_total",
                "Time of the device, by tenant: a row has its part of its batch's run",
                &["tenant"],
            )?,
            tenant_bytes: counters(
                &r,
                "mimi_tenant_bytes_total",
                "Bytes of bodies, by tenant and direction: in, out",
                &["tenant", "direction"],
            )?,
            journal_lines: counters(
                &r,
                "mimi_journal_lines_total",
                "Lines on the disk, by log: usage, audit",
                &["log"],
            )?,
            journal_bytes: counters(
                &r,
                "mimi_journal_bytes_total",
                "Bytes of lines on the disk, by log",
                &["log"],
            )?,
            journal_dropped: counters(
                &r,
                "mimi_journal_dropped_total",
                "Lines that will not be written, by log; alert above 0",
                &["log"],
            )?,
            journal_failures: counters(
                &r,
                "mimi_journal_failures_total",
                "Failures to write or sync, by log",
                &["log"],
            )?,
            journal_lag: gauges(
                &r,
                "mimi_journal_lag_seconds",
                "Age of the oldest line that is not on the disk yet, by log",
                &["log"],
            )?,
            registry: r,
        })
    }

    /// Forgets the series of a task that is no longer published.
    pub fn forget_task(&self, task: &str, codes: &[&str]) {
        for code in codes {
            // A series that never existed is not an error here.
            let _ = self.requests.remove_label_values(&[task, code]);
        }
        let _ = self.flops.remove_label_values(&[task]);
    }

    /// The text exposition.
    ///
    /// # Errors
    /// When a series cannot be encoded.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        prometheus::TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    registered(registry, IntCounter::new(name, help)?)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn real_counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<CounterVec, prometheus::Error> {
    registered(registry, CounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec, prometheus::Error> {
    registered(registry, GaugeVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    registered(registry, IntGauge::new(name, help)?)
}

/// A gauge whose series comes with its first value.
fn late_gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGaugeVec, prometheus::Error> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), &[])?)
}

fn number(registry: &Registry, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
    registered(registry, Gauge::new(name, help)?)
}

fn seconds(registry: &Registry, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    histogram(registry, name, help, &SECONDS)
}

fn counts(registry: &Registry, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    histogram(registry, name, help, &COUNTS)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    bounds: &[f64],
) -> Result<Histogram, prometheus::Error> {
    registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec()))?)
}
