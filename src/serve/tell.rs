//! What serves, and within which limits, as metrics have it.

use crate::engine::EngineOptions;
use crate::metrics::{Build, Metrics};
use crate::runtime::Resident;
use crate::service::ServiceOptions;

/// Tells metrics what serves, and within which limits.
pub(super) fn tell(
    metrics: &Metrics,
    (resident, device): (&Resident, &str),
    (engine, service): (&EngineOptions, &ServiceOptions),
) {
    let precision = resident.precision().to_string();
    metrics.process.tell(&Build {
        version: env!("CARGO_PKG_VERSION"),
        backbone: &resident.config().name,
        precision: &precision,
        device,
    });
    metrics.process.queue_limit.set(number(engine.queue_limit as u64));
    metrics.process.request_bytes_limit.set(number(service.bytes_in_flight));
    metrics.process.prefix_bytes_limit.set(number(engine.prefix_memory));
}

/// A limit as a gauge has it.
pub(super) fn number(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
