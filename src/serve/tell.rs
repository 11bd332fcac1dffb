//! What serves, and within which limits, as metrics have it.

use crate::engine::{Engine, EngineOptions};
use crate::metrics::{Build, Metrics};
use crate::runtime::Device;
use crate::service::ServiceOptions;

/// Tells metrics what serves, and within which limits.
pub(super) fn tell(
    metrics: &Metrics,
    engine: &Engine,
    (options, service): (&EngineOptions, &ServiceOptions),
) {
    let (precision, devices) = (engine.precision().to_string(), Device::names(engine.devices()));
    metrics.process.tell(&Build {
        version: env!("CARGO_PKG_VERSION"),
        backbone: &engine.config().name,
        precision: &precision,
        device: &devices,
    });
    metrics.process.queue_limit.set(number(options.queue_limit as u64));
    metrics.process.request_bytes_limit.set(number(service.bytes_in_flight));
    metrics.process.prefix_bytes_limit.set(number(options.prefix_memory));
}

/// A limit as a gauge has it.
pub(super) fn number(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
