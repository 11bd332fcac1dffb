//! How fast runs are, as measured: FLOPs a second, and what batching gains. Pure.

use std::time::{Duration, Instant};

/// Weight of the newest run in the averages.
const NEWEST: f64 = 0.1;
/// Weight of a slower run in what is the fastest.
const SINKING: f64 = 0.01;
/// Runs before the first speed is told.
const ENOUGH: u32 = 8;
/// A figure older than this is measured again.
const FRESH: Duration = Duration::from_secs(300);
/// Each doubling of a batch's rows must make a FLOP this much cheaper, or other flows' rows should not wait for it.
const GAIN: f64 = 1.25;

/// Exponential averages over runs.
#[derive(Debug, Default)]
pub(super) struct Speed {
    all: Average,
    runs: u32,
    /// By rows in a batch, from 1 on.
    by_rows: Vec<Option<Measured>>,
}

/// FLOPs over seconds, each an exponential average, so that long runs count for more.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    flops: f64,
    seconds: f64,
}

/// The fastest run of so many rows, FLOPs a second; a little of every later run enters, so that it may sink. What else
/// the machine does slows single runs, which says nothing of batching.
#[derive(Clone, Copy, Debug)]
struct Measured {
    fastest: f64,
    at: Instant,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Rows in its batch.
    pub(super) rows: usize,
    /// FLOPs that were expected of it, which is what waiting rows are counted by.
    pub(super) expected: u64,
    /// FLOPs that it took.
    pub(super) flops: u64,
    /// How long it took.
    pub(super) took: Duration,
}

impl Average {
    fn with(self, flops: u64, took: Duration) -> Self {
        let (flops, seconds) = (flops as f64, took.as_secs_f64());
        if self.seconds == 0.0 {
            return Self { flops, seconds };
        }
        let mean = |old: f64, new: f64| old + NEWEST * (new - old);
        Self { flops: mean(self.flops, flops), seconds: mean(self.seconds, seconds) }
    }

    /// FLOPs a second.
    fn speed(self) -> Option<f64> {
        (self.seconds > 0.0 && self.flops > 0.0).then(|| self.flops / self.seconds)
    }
}

impl Speed {
    /// Notes a run. Batches of more than `most` rows, which share blocks, say nothing of batching.
    pub(super) fn note(&mut self, run: Run, most: usize, now: Instant) {
        self.all = self.all.with(run.expected, run.took);
        self.runs = self.runs.saturating_add(1);
        if run.flops == 0 || run.rows == 0 || run.rows > most {
            return;
        }
        self.by_rows.resize(most.max(self.by_rows.len()), None);
        let slot = &mut self.by_rows[run.rows - 1];
        let speed = run.flops as f64 / run.took.as_secs_f64().max(f64::MIN_POSITIVE);
        let sunk = |old: f64| old + SINKING * (speed - old);
        let fastest = slot.map_or(speed, |measured| sunk(measured.fastest).max(speed));
        *slot = Some(Measured { fastest, at: now });
    }

    /// Seconds that so many expected FLOPs take one worker; none before enough runs were measured.
    pub(super) fn seconds(&self, flops: u128) -> Option<f64> {
        let speed = self.all.speed().filter(|_| self.runs >= ENOUGH)?;
        Some(flops as f64 / speed)
    }

    /// The most rows, up to `most`, with which batching gains, as far as is known. What was never measured, or long ago,
    /// is tried: single rows first, then one size after the other as long as the one before gained.
    pub(super) fn batch(&self, most: usize, now: Instant) -> usize {
        let Some(one) = self.fastest(1, now) else { return 1 };
        let mut best = 1;
        for rows in 2..=most {
            match self.fastest(rows, now) {
                Some(all) if all / one >= GAIN.powf((rows as f64).log2()) => best = rows,
                Some(_) => break,
                None => return rows,
            }
        }
        best
    }

    /// Whether it is known how fast a single row is.
    pub(super) fn knows_one(&self, now: Instant) -> bool {
        self.fastest(1, now).is_some()
    }

    /// The speed of batches of so many rows, where it was measured lately.
    fn fastest(&self, rows: usize, now: Instant) -> Option<f64> {
        let measured = (*self.by_rows.get(rows - 1)?)?;
        let is_fresh = now.saturating_duration_since(measured.at) < FRESH;
        is_fresh.then_some(measured.fastest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rows: usize, milliseconds: u64) -> Run {
        let flops = 1000 * rows as u64;
        Run { rows, expected: flops, flops, took: Duration::from_millis(milliseconds) }
    }

    #[test]
    fn nothing_is_told_before_enough_runs() {
        let (mut speed, now) = (Speed::default(), Instant::now());
        for number in 0..ENOUGH {
            assert_eq!(speed.seconds(1000), None, "{number}");
            speed.note(run(1, 100), 4, now);
        }
        assert!((speed.seconds(10_000).unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn batches_are_as_long_as_batching_gains() {
        let now = Instant::now();
        // Milliseconds of batches of 1 to 4 rows, and the most rows of which one waits.
        for (times, expected) in [
            ([100, 200, 300, 400], 1),
            ([100, 180, 270, 360], 1),
            ([100, 105, 110, 115], 4),
            ([100, 110, 300, 400], 2),
        ] {
            let mut speed = Speed::default();
            assert_eq!(speed.batch(4, now), 1, "single rows are tried first");
            speed.note(run(4, times[3]), 4, now);
            assert_eq!(speed.batch(4, now), 1, "however long full batches ran before");
            speed.note(run(1, times[0]), 4, now);
            assert_eq!(speed.batch(4, now), 2, "then one more");
            for _ in 0..20 {
                times.iter().zip(1..).for_each(|(&time, rows)| speed.note(run(rows, time), 4, now));
            }
            assert_eq!(speed.batch(4, now), expected, "{times:?}");
            assert_eq!(speed.batch(4, now + FRESH), 1, "what is old is measured again");
        }
    }
}
