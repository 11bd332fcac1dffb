//! Every Prometheus series of the server, with its unit and its buckets.
//!
//! Units are base units (seconds, bytes). Label values come from the catalog or from the fixed table of error
//! codes, never from a request's text, so that no client can add series. Histograms carry no task label: a
//! thousand tasks would make ten thousand series of each.

use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Label value for requests that name no published task.
pub const NO_TASK: &str = "none";

/// Upper bounds for durations, seconds; the last finite one is far above any deadline in use.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 15.0, 60.0];
/// Upper bounds for rows or packs in a batch.
const COUNTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The series. One instance a server, registered in that server's own registry.
pub struct Metrics {
    registry: Registry,
    /// Answered requests, by task and code (`ok` or the error's code).
    pub requests: IntCounterVec,
    /// Floating-point operations spent on answered rows, by task.
    pub flops: IntCounterVec,
    /// From the request's head to its answer.
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
    /// Connections taken in.
    pub connections_accepted: IntCounter,
    /// Connections that the server closed or refused, by reason.
    pub connections_closed: IntCounterVec,
    /// Failures to accept a connection.
    pub accept_failures: IntCounter,
    /// Memory that requests hold: bodies, and images being decoded.
    pub request_bytes: IntGauge,
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
    /// Looks at the folder of packs that failed, by what was looked at (`root`, `task`, `version`).
    pub folder_errors: IntCounterVec,
    /// Tasks kept though the folder of packs no longer has them.
    pub folder_held: IntGauge,
    /// Folders passed over because their name is no task id or version.
    pub folder_passed_over: IntGauge,
    /// Tasks without change notices, whose folders are looked at in turn.
    pub folder_unwatched: IntGauge,
}

impl Metrics {
    /// Makes the series and registers them.
    ///
    /// # Errors
    /// When a name is used twice, which a test excludes.
    pub fn new() -> Result<Self, prometheus::Error> {
        let r = Registry::new();
        Ok(Self {
            requests: counters(&r, "mimi_requests_total", "Answered requests", &["task", "code"])?,
            flops: counters(&r, "mimi_flops_total", "Floating-point operations of answered rows", &["task"])?,
            request_seconds: seconds(&r, "mimi_request_duration_seconds", "Request, head to answer")?,
            decode_seconds: seconds(&r, "mimi_decode_duration_seconds", "Decoding and resizing one image")?,
            queue_seconds: seconds(&r, "mimi_queue_wait_seconds", "A row's wait for its batch")?,
            run_seconds: seconds(&r, "mimi_run_duration_seconds", "One batch's run")?,
            batch_rows: counts(&r, "mimi_batch_rows", "Rows in a batch")?,
            batch_packs: counts(&r, "mimi_batch_packs", "Distinct packs in a batch")?,
            queue_rows: gauge(&r, "mimi_queue_rows", "Rows waiting")?,
            rows_dropped: counters(
                &r,
                "mimi_rows_dropped_total",
                "Rows dropped before compute",
                &["reason"],
            )?,
            rows_forked: counter(&r, "mimi_rows_forked_total", "Rows that shared their first blocks")?,
            prefix_lookups: counters(
                &r,
                "mimi_prefix_lookups_total",
                "Images looked up among kept prefixes",
                &["outcome"],
            )?,
            prefix_bytes: gauge(&r, "mimi_prefix_resident_bytes", "Memory of kept prefixes")?,
            programs_compiled: counter(&r, "mimi_programs_compiled_total", "Programs compiled")?,
            programs_resident: gauge(&r, "mimi_programs_resident", "Programs held")?,
            connections: gauge(&r, "mimi_connections", "Open connections")?,
            connections_accepted: counter(&r, "mimi_connections_accepted_total", "Connections taken in")?,
            connections_closed: counters(
                &r,
                "mimi_connections_closed_total",
                "Connections that the server closed or refused",
                &["reason"],
            )?,
            accept_failures: counter(&r, "mimi_accept_failures_total", "Failures to accept a connection")?,
            request_bytes: gauge(&r, "mimi_request_bytes", "Memory that requests hold")?,
            tasks: gauge(&r, "mimi_tasks", "Published tasks")?,
            packs_resident: gauge(&r, "mimi_packs_resident", "Packs in memory")?,
            packs_resident_bytes: gauge(&r, "mimi_packs_resident_bytes", "Memory of the packs held")?,
            packs_budget_bytes: gauge(&r, "mimi_packs_budget_bytes", "Memory packs may take")?,
            pack_loads: counter(&r, "mimi_pack_loads_total", "Packs read into memory")?,
            pack_evictions: counter(&r, "mimi_pack_evictions_total", "Packs dropped to keep the budget")?,
            pack_reloads: counters(&r, "mimi_pack_reloads_total", "New versions tried", &["outcome"])?,
            packs_rewritten: counter(
                &r,
                "mimi_packs_rewritten_total",
                "Live versions whose files were rewritten",
            )?,
            self_tests: counters(&r, "mimi_self_tests_total", "Self-tests", &["outcome"])?,
            folder_errors: counters(
                &r,
                "mimi_folder_errors_total",
                "Looks at the packs that failed",
                &["at"],
            )?,
            folder_held: gauge(&r, "mimi_folder_held_tasks", "Tasks kept though the folder lacks them")?,
            folder_passed_over: gauge(
                &r,
                "mimi_folder_passed_over",
                "Folders whose name is no task id or version",
            )?,
            folder_unwatched: gauge(&r, "mimi_folder_unwatched_tasks", "Tasks without change notices")?,
            registry: r,
        })
    }

    /// Forgets the series of a task that is no longer published.
    pub fn forget_task(&self, task: &str, codes: &[&str]) {
        for code in codes {
            // A series that never existed is no error here.
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

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let made = IntCounter::new(name, help)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let made = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let made = IntGauge::new(name, help)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
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
    let made = Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec()))?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}
