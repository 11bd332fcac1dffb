//! What is counted and shown of a journal.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Gauge, IntCounter};

use crate::metrics::Metrics;

/// Counters of a journal and its present trouble, shared with whoever shows them.
#[derive(Debug)]
pub struct State {
    family: &'static str,
    pub(super) lines: IntCounter,
    pub(super) bytes: IntCounter,
    pub(super) failures: IntCounter,
    pub(super) lag: Gauge,
    dropped: IntCounter,
    trouble: Mutex<Option<String>>,
}

impl State {
    /// Counts for a family.
    pub fn new(family: &'static str, metrics: &Metrics) -> Arc<Self> {
        let of = |counters: &prometheus::IntCounterVec| counters.with_label_values(&[family]);
        Arc::new(Self {
            family,
            lines: of(&metrics.journal.journal_lines),
            bytes: of(&metrics.journal.journal_bytes),
            failures: of(&metrics.journal.journal_failures),
            dropped: of(&metrics.journal.journal_dropped),
            lag: metrics.journal.journal_lag.with_label_values(&[family]),
            trouble: Mutex::default(),
        })
    }

    /// Counts lines that nobody will write.
    pub fn drop_lines(&self, count: u64) {
        self.dropped.inc_by(count);
    }

    /// Lines that nobody will write.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Why nothing can be written now; none where all is well.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a failure; the log gets the first in a row.
    pub(super) fn fail(&self, error: &std::io::Error) {
        self.failures.inc();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            tracing::error!(log = self.family, %error, "cannot write; lines are held and tried again");
        }
        *trouble = Some(error.to_string());
    }

    /// Notes that everything held could be written.
    pub(super) fn recover(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.take().is_some() {
            tracing::info!(log = self.family, "writing again; nothing held was lost");
        }
    }
}
