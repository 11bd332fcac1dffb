//! What counting a request costs.

use std::hint::black_box;
use std::time::{Duration, Instant};

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

/// Seconds that a scrape of so many tasks takes. Median of `rounds`.
///
/// # Errors
/// When the series cannot be made or written.
pub fn scrape_cost(tasks: usize, rounds: usize) -> Result<f64> {
    let metrics = Metrics::new()?;
    (0..tasks).for_each(|i| record(&metrics, &format!("task-{i:05}")));
    let mut seconds = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        black_box(metrics.render()?);
        seconds.push(started.elapsed().as_secs_f64());
    }
    Ok(median(seconds))
}

/// As `http`, `engine::inbox` and `engine::worker` do it.
fn record(metrics: &Metrics, task: &str) {
    metrics.requests.decode_seconds.observe(0.002);
    metrics.engine.queue_rows.inc();
    metrics.engine.queue_rows.dec();
    metrics.engine.queue_seconds.observe(0.001);
    metrics.engine.batch_rows.observe(1.0);
    metrics.engine.batch_packs.observe(1.0);
    metrics.engine.run_seconds.observe(0.2);
    metrics.requests.tasks.spent(task, 1);
    metrics.requests.tasks.request(task, "ok");
    metrics.requests.times.observe(task, Duration::from_millis(200));
    metrics.requests.request_seconds.observe(0.2);
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
        let requests = |task| metrics.requests.tasks.requests(task, "ok");
        assert_eq!((requests("a"), requests("b")), (2, 1));
        let flops = |task| metrics.requests.tasks.flops(task);
        assert_eq!((flops("a"), flops("b")), (2, 1));
        assert_eq!(metrics.engine.queue_rows.get(), 0);
        let observed = [
            &metrics.requests.decode_seconds,
            &metrics.engine.queue_seconds,
            &metrics.engine.batch_rows,
            &metrics.engine.run_seconds,
        ];
        assert!(observed.iter().all(|histogram| histogram.get_sample_count() == 3));
        let seconds = metrics_cost(3, 1).unwrap();
        assert!(seconds > 0.0 && seconds.is_finite(), "{seconds}");
    }
}
