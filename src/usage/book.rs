//! Counters between requests and the log.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use super::charge::{Billed, Sum};
use super::labels::Labels;
use super::shards::{Counted, Ended, Shards};
use super::totals::{Totals, Used};
use crate::journal::time::day;
use crate::metrics::Metrics;

/// Counters beyond which a tenant's others are counted together, while the disk takes none.
const MOST: usize = 16_384;

/// What one line will tell.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) who: Billed,
    pub(super) from: Timestamp,
    pub(super) sum: Sum,
}

/// Whom a row is for, and in which day: no line may mix two.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Place {
    who: Billed,
    day: Date,
}

/// What was counted: rows that wait for the log, and sums of those that went there.
#[derive(Debug)]
pub(super) struct Book {
    rows: HashMap<Place, Row>,
    labels: Labels,
    pub(super) totals: Totals,
    /// When counters were last taken from requests.
    since: Timestamp,
}

impl Book {
    pub(super) fn new(metrics: Arc<Metrics>, labels: usize, now: Timestamp) -> Self {
        let labels = Labels::new(metrics, labels);
        Self { rows: HashMap::new(), labels, totals: Totals::default(), since: now }
    }

    /// Takes what requests counted since the last time; series and totals then tell it.
    pub(super) fn settle(&mut self, shards: &Shards, now: Timestamp) {
        // A clock that was set back must not give a line that ends before it begins.
        let from = self.since.min(now);
        for counters in shards.take() {
            for (who, Counted { sum, codes }) in counters {
                self.labels.add(&who.tenant, &sum);
                for Ended { code, requests } in codes {
                    self.labels.count(&who.tenant, code, requests);
                }
                self.put(who, from, &sum);
            }
        }
        self.labels.review(now);
        self.since = now;
    }

    fn put(&mut self, who: Billed, from: Timestamp, sum: &Sum) {
        let mut place = Place { who, day: day(from) };
        if self.rows.len() >= MOST && !self.rows.contains_key(&place) {
            place.who = place.who.folded();
        }
        match self.rows.get_mut(&place) {
            Some(row) => row.sum.add(sum),
            None => {
                let row = Row { who: place.who.clone(), from, sum: *sum };
                self.rows.insert(place, row);
            }
        }
    }

    /// Whether no row waits for the log.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the rows for the log, in order; they go into the totals.
    pub(super) fn take(&mut self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows.drain().map(|(_, row)| row).collect();
        rows.sort_by(|one, other| (&one.who, one.from).cmp(&(&other.who, other.from)));
        for row in &rows {
            let task = row.who.task.as_deref().unwrap_or_default();
            self.totals.add(&row.who.tenant, (task, day(row.from)), &row.sum);
        }
        rows
    }

    /// What a tenant used until now.
    pub(super) fn of(&self, tenant: &str, now: Timestamp) -> Used {
        let mut used = self.totals.of(tenant, day(now));
        used.since_start = self.labels.used(tenant);
        for row in self.rows.values().filter(|row| *row.who.tenant == *tenant) {
            let task = row.who.task.as_deref().unwrap_or_default();
            used.add(task, day(row.from), (&row.sum, day(now)));
        }
        used
    }
}
