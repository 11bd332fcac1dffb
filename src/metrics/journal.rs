//! Logs of use and of events.

use prometheus::{GaugeVec, IntCounterVec, Registry};

use super::make::{counters, gauges};

/// Logs of use and of events.
pub struct JournalMetrics {
    /// Lines on the disk, by log (`usage`, `audit` or `access`).
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

impl JournalMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            journal_lines: counters(
                r,
                "mimi_journal_lines_total",
                "Lines on the disk, by log: usage, audit, access",
                &["log"],
            )?,
            journal_bytes: counters(
                r,
                "mimi_journal_bytes_total",
                "Bytes of lines on the disk, by log",
                &["log"],
            )?,
            journal_dropped: counters(
                r,
                "mimi_journal_dropped_total",
                "Lines that will not be written, by log; alert above 0",
                &["log"],
            )?,
            journal_failures: counters(
                r,
                "mimi_journal_failures_total",
                "Failures to write or sync, by log",
                &["log"],
            )?,
            journal_lag: gauges(
                r,
                "mimi_journal_lag_seconds",
                "Age of the oldest line that is not on the disk yet, by log",
                &["log"],
            )?,
        })
    }
}
