//! Learning rate over time.

use std::f64::consts::PI;

/// Rate at each step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Highest rate.
    pub base: f64,
    /// Steps of linear warm-up from 0.
    pub warmup: usize,
    /// Steps of the whole run.
    pub total: usize,
}

/// Linear warm-up, then half a cosine over the whole horizon down to 0 (METHOD: the reference evaluates the
/// cosine without subtracting the warm-up, so the rate jumps slightly at the junction).
pub fn cosine_with_warmup(schedule: &Schedule, step: usize) -> f64 {
    if step < schedule.warmup {
        return schedule.base * (step + 1) as f64 / schedule.warmup as f64;
    }
    let progress = step as f64 / schedule.total.max(1) as f64;
    schedule.base * 0.5 * (1.0 + (PI * progress.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let schedule = Schedule { base: 2.0, warmup: 4, total: 100 };
        let rate = |step| cosine_with_warmup(&schedule, step);
        assert_eq!(rate(0), 0.5);
        assert_eq!(rate(3), 2.0);
        assert!((rate(50) - 1.0).abs() < 1e-12);
        assert!(rate(99) < 0.002 && rate(99) > 0.0);
    }
}
