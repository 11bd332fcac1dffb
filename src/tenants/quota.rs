//! What quotas and limits measure.

use std::time::Instant;

use super::bucket::Bucket;
use super::error::Error;
use super::file::{LimitsEntry, QuotaEntry};

/// Seconds' worth that may be used at once, unless the file says otherwise.
const BURST: f64 = 10.0;
/// Bytes of a MiB.
const MIB: f64 = 1024.0 * 1024.0;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Requests.
    Requests,
    /// Images, each under one task.
    Images,
    /// Floating-point operations, a multiply-add counting as 2.
    Flops,
    /// Bytes of bodies.
    Bytes,
    /// Rows in flight.
    Rows,
}

impl Measure {
    /// Those that come by time.
    pub const ALL: [Self; 4] = [Self::Requests, Self::Images, Self::Flops, Self::Bytes];

    /// The word in messages, headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Images => "images",
            Self::Flops => "flops",
            Self::Bytes => "bytes",
            Self::Rows => "rows",
        }
    }
}

/// A tenant's quotas, checked: each a positive number a second, in the measure's own unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Quota {
    rates: [Option<f64>; Measure::ALL.len()],
    burst: f64,
}

impl Quota {
    pub(super) fn new(entry: &QuotaEntry) -> Result<Self, Error> {
        let QuotaEntry { requests_per_second, images_per_second, gflops_per_second, mib_per_second, .. } =
            entry;
        let named = [
            ("requests_per_second", requests_per_second, 1.0),
            ("images_per_second", images_per_second, 1.0),
            ("gflops_per_second", gflops_per_second, 1e9),
            ("mib_per_second", mib_per_second, MIB),
        ];
        let mut rates = [None; Measure::ALL.len()];
        for (rate, (name, given, unit)) in rates.iter_mut().zip(named) {
            *rate = given.map(|given| positive(name, given)).transpose()?.map(|given| given * unit);
        }
        let burst = entry.burst_seconds.map(|given| positive("burst_seconds", given)).transpose()?;
        Ok(Self { rates, burst: burst.unwrap_or(BURST) })
    }

    pub(super) fn bucket(&self, measure: Measure, now: Instant) -> Option<Bucket> {
        self.rates[measure as usize].map(|rate| Bucket::new(rate, self.burst, now))
    }
}

fn positive(name: &str, value: f64) -> Result<f64, Error> {
    // Between one in eleven days and more than any machine does.
    if (1e-6..=1e12).contains(&value) {
        Ok(value)
    } else {
        Err(Error::Rule(format!("{name} = {value}: expected 0.000001 to 1000000000000")))
    }
}

/// How much a tenant may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) rows: Option<usize>,
    pub(super) tasks: Option<usize>,
    pub(super) pack_bytes: Option<u64>,
}

impl Limits {
    pub(super) fn new(entry: &LimitsEntry) -> Result<Self, Error> {
        let mib = entry.pack_mib.map(|given| positive("pack_mib", given)).transpose()?;
        // A number of bytes far below 2^64.
        let pack_bytes = mib.map(|mib| (mib * MIB) as u64);
        Ok(Self { rows: entry.rows, tasks: entry.tasks, pack_bytes })
    }
}
