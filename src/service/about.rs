//! What runs here, and how much waits.

use super::handle::Service;
use crate::backbone::{BackboneConfig, Precision};
use crate::runtime::Device;
use crate::tenants::{Caller, Scope};

/// What serves.
#[derive(Debug)]
pub struct About<'a> {
    /// The backbone.
    pub backbone: &'a BackboneConfig,
    /// What it multiplies in.
    pub precision: Precision,
    /// Where it runs.
    pub devices: &'a [Device],
    /// FLOPs of one row without modules before each block, and of all blocks.
    pub flops_before: &'a [u64],
}

/// What the whole server has run since its start, and what waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Rows that ran.
    pub rows: u64,
    /// Batches that ran.
    pub batches: u64,
    /// Rows that wait for a batch.
    pub waiting_rows: u64,
    /// Seconds that the waiting rows will take.
    pub backlog_seconds: f64,
}

impl Service {
    /// What serves.
    pub fn about(&self) -> About<'_> {
        let engine = &self.shared.engine;
        About {
            backbone: engine.config(),
            precision: engine.precision(),
            devices: engine.devices(),
            flops_before: engine.flops_before(),
        }
    }

    /// Whether a caller may know of what runs beside its own rows.
    pub fn may_know_load(&self, caller: &Caller) -> bool {
        self.shared.options.tells_load || caller.has(Scope::Admin)
    }

    /// What the whole server runs, which tells of everybody's rows.
    pub fn load(&self) -> Load {
        let metrics = &self.shared.metrics;
        Load {
            rows: metrics.engine.batch_rows.get_sample_sum() as u64,
            batches: metrics.engine.batch_rows.get_sample_count(),
            waiting_rows: u64::try_from(metrics.engine.queue_rows.get()).unwrap_or_default(),
            backlog_seconds: metrics.engine.backlog_seconds.get(),
        }
    }
}
