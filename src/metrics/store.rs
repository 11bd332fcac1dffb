//! The store of packs, and the copies of packs on this disk.

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};

use super::make::{counter, counters, gauge, known, seconds_by};

/// The store of packs, and the copies of packs on this disk.
pub struct StoreMetrics {
    /// Requests to the store, by `request` and `outcome`.
    pub requests: IntCounterVec,
    /// Time of requests to the store, by `request`.
    pub seconds: HistogramVec,
    /// Whether the store does not answer.
    pub away: IntGauge,
    /// Number of the last change that was followed.
    pub seq: IntGauge,
    /// Packs wanted from the disk's copies, by whether they were there (`hit`, `miss`).
    pub cache: IntCounterVec,
    /// Bytes of the copies.
    pub cache_bytes: IntGauge,
    /// Copies removed to keep the bound.
    pub cache_evictions: IntCounter,
}

impl StoreMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        let asked = ["pointer", "pack", "changes"];
        let requests = counters(
            r,
            "mimi_store_requests_total",
            "Requests to the store of packs, by request: pointer, pack, changes, and outcome: ok, unchanged, absent, failed",
            &["request", "outcome"],
        )?;
        let help = "Time to the head of the store's answer, by request: pointer, pack, changes";
        let seconds = seconds_by(r, "mimi_store_seconds", help, &["request"])?;
        for request in asked {
            for outcome in ["ok", "unchanged", "absent", "failed"] {
                requests.with_label_values(&[request, outcome]).inc_by(0);
            }
            drop(seconds.with_label_values(&[request]));
        }
        Ok(Self {
            requests,
            seconds,
            away: gauge(r, "mimi_store_away", "1 while the store of packs does not answer; alert above 0")?,
            seq: gauge(r, "mimi_store_seq", "Number of the last change of the store that was followed")?,
            cache: known(
                r,
                "mimi_pack_cache_total",
                "Packs wanted from the copies on this disk, by outcome: hit, miss",
                ("outcome", &["hit", "miss"]),
            )?,
            cache_bytes: gauge(r, "mimi_pack_cache_bytes", "Size of the copies of packs on this disk")?,
            cache_evictions: counter(
                r,
                "mimi_pack_cache_evictions_total",
                "Copies of packs removed from this disk to stay within the bound",
            )?,
        })
    }
}
