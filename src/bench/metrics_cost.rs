//! What counting a request costs.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;

use super::median;
use crate::metrics::Metrics;

/// Requests timed together, so that the clock's own cost does not show.
const TOGETHER: usize = 10_000;

/// Seconds that recording one answered request takes, with the series of `tasks` tasks in the registry: every counter
/// and histogram that a request, its row and a batch of its own touch. Median of `rounds`.
///
/// # Errors
/// When the series cannot be made.
pub fn metrics_cost(tasks: usize, rounds: usize) -> Result<f64> {
    let metrics = Metrics::new()?;
    let names: Vec<String> = (0..tasks.max(1)).map(|i| format!("task-{i:04}")).collect();
    names.iter().for_each(|name| record(&metrics, name));
    let mut seconds = Vec::with_capacity(rounds);
    for round in 0..rounds.max(1) {
        let started = Instant::now();
        for i in 0..TOGETHER {
            // A step coprime to any round number visits the tasks out of order.
            let name = &names[(i * 7919 + round) % names.len()];
            record(black_box(&metrics), black_box(name));
        }
        seconds.push(started.elapsed().as_secs_f64() / TOGETHER as f64);
    }
    Ok(median(seconds))
}

/// As `http`, `engine::inbox` and `engine::worker` do it.
fn record(metrics: &Metrics, task: &str) {
    metrics.decode_seconds.observe(0.002);
    metrics.queue_rows.inc();
    metrics.queue_rows.dec();
    metrics.queue_seconds.observe(0.001);
    metrics.batch_rows.observe(1.0);
    metrics.batch_packs.observe(1.0);
    metrics.run_seconds.observe(0.2);
    metrics.flops.with_label_values(&[task]).inc_by(1);
    metrics.requests.with_label_values(&[task, "ok"]).inc();
    metrics.request_seconds.observe(0.2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_timed_is_what_a_request_records() {
        let metrics = Metrics::new().unwrap();
        record(&metrics, "a");
        record(&metrics, "a");
        record(&metrics, "b");
        let requests = |task| metrics.requests.with_label_values(&[task, "ok"]).get();
        assert_eq!((requests("a"), requests("b")), (2, 1));
        let flops = |task| metrics.flops.with_label_values(&[task]).get();
        assert_eq!((flops("a"), flops("b")), (2, 1));
        assert_eq!(metrics.queue_rows.get(), 0);
        let observed =
            [&metrics.decode_seconds, &metrics.queue_seconds, &metrics.batch_rows, &metrics.run_seconds];
        assert!(observed.iter().all(|histogram| histogram.get_sample_count() == 3));
        let seconds = metrics_cost(3, 1).unwrap();
        assert!(seconds > 0.0 && seconds.is_finite(), "{seconds}");
    }
}
