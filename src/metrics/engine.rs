//! Queue, batches, programs and what images share.

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use super::make::{counter, counts, gauge, known, number, seconds};

/// Queue, batches, programs and what images share.
pub struct EngineMetrics {
    /// Floating-point operations that batches ran.
    pub engine_flops: IntCounter,
    /// Those of the server's own rows, which no tenant pays for.
    pub internal_flops: IntCounter,
    /// Those of rows whose requests had gone away before they were answered.
    pub unclaimed_flops: IntCounter,
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
    /// Memory of images' states on the devices.
    pub states_bytes: IntGauge,
    /// Batches whose images' states went by the host for want of room on the device.
    pub states_by_host: IntCounter,
    /// Runs that were captured as CUDA graphs.
    pub graphs_captured: IntCounter,
    /// Runs that such graphs replayed.
    pub batches_replayed: IntCounter,
    /// Memory of packs' tensors on the devices.
    pub bank_bytes: IntGauge,
    /// Packs copied there since the start.
    pub bank_packs_copied: IntCounter,
    /// Programs compiled since the start.
    pub programs_compiled: IntCounter,
    /// Programs held.
    pub programs_resident: IntGauge,
    /// Devices that take no batches, since their last ones failed.
    pub devices_out: IntGauge,
}

impl EngineMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            engine_flops: counter(
                r,
                "mimi_engine_flops_total",
                "Floating-point operations that batches ran; the sum over their rows",
            )?,
            internal_flops: counter(
                r,
                "mimi_engine_internal_flops_total",
                "Of those, the ones of the server's own rows, which no tenant pays for",
            )?,
            unclaimed_flops: counter(
                r,
                "mimi_engine_unclaimed_flops_total",
                "Of those, the ones of rows whose request had gone away",
            )?,
            queue_seconds: seconds(r, "mimi_queue_wait_seconds", "Time a row waits for its batch")?,
            run_seconds: seconds(r, "mimi_run_duration_seconds", "Time of a batch's run")?,
            batch_rows: counts(r, "mimi_batch_rows", "Rows in a batch")?,
            batch_packs: counts(r, "mimi_batch_packs", "Distinct packs in a batch")?,
            queue_rows: gauge(r, "mimi_queue_rows", "Rows waiting for a batch")?,
            backlog_seconds: number(
                r,
                "mimi_backlog_seconds",
                "Time that the waiting rows will take, by the FLOPs a second measured; 0 before that",
            )?,
            rows_dropped: known(
                r,
                "mimi_rows_dropped_total",
                "Rows dropped before compute, by reason: abandoned, expired",
                ("reason", &["abandoned", "expired"]),
            )?,
            rows_forked: counter(
                r,
                "mimi_rows_forked_total",
                "Rows that shared their first blocks with other rows or an earlier request",
            )?,
            prefix_lookups: known(
                r,
                "mimi_prefix_lookups_total",
                "Images looked up in the prefix cache, by outcome: hit, miss",
                ("outcome", &["hit", "miss"]),
            )?,
            prefix_bytes: gauge(r, "mimi_prefix_resident_bytes", "Memory of the prefix cache on the host")?,
            states_bytes: gauge(r, "mimi_states_resident_bytes", "Memory of images' states on the devices")?,
            states_by_host: counter(
                r,
                "mimi_states_by_host_total",
                "Batches whose images' states went by the host for want of room on the device",
            )?,
            graphs_captured: counter(
                r,
                "mimi_graphs_captured_total",
                "Runs of small batches that were captured as CUDA graphs",
            )?,
            batches_replayed: counter(
                r,
                "mimi_batches_replayed_total",
                "Runs of small batches that such CUDA graphs replayed",
            )?,
            bank_bytes: gauge(r, "mimi_bank_resident_bytes", "Memory of packs' tensors on the devices")?,
            bank_packs_copied: counter(
                r,
                "mimi_bank_packs_copied_total",
                "Packs whose tensors were copied to a device; one that a batch finds there is not copied",
            )?,
            programs_compiled: counter(r, "mimi_programs_compiled_total", "Programs compiled")?,
            programs_resident: gauge(r, "mimi_programs_resident", "Programs in memory")?,
            devices_out: gauge(
                r,
                "mimi_devices_out",
                "Devices that take no batches, since their last ones failed",
            )?,
        })
    }
    /// Counts a look for an image among kept prefixes.
    pub(crate) fn looked_up_prefix(&self, is_hit: bool) {
        let outcome = if is_hit { "hit" } else { "miss" };
        self.prefix_lookups.with_label_values(&[outcome]).inc();
    }
}
