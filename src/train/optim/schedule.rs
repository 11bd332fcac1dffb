//! Learning rate over time.

use std::f64::consts::PI;

use serde::Serialize;

/// A schedule as shares of the highest rate and of all steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shape {
    /// Share of the steps that warm up.
    pub warmup: f64,
    /// First rate of the warm-up over the highest.
    pub start: f64,
    /// Last rate over the highest.
    pub floor: f64,
}

impl Default for Shape {
    /// 20 of 100 epochs of warm-up (docs/method.md section 2), from 5e-7 to 5e-4 and down to 5e-6 (section 5).
    fn default() -> Self {
        Self { warmup: 0.2, start: 1e-3, floor: 1e-2 }
    }
}

impl Shape {
    /// The schedule of `total` steps with the highest rate `base`.
    pub fn over(self, total: usize, base: f64) -> Schedule {
        let Self { warmup, start, floor } = self;
        let warmup = (total as f64 * warmup) as usize;
        Schedule { start: base * start, base, floor: base * floor, warmup, total }
    }
}

/// Rate at each step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Rate before the first step of warm-up.
    pub start: f64,
    /// Highest rate.
    pub base: f64,
    /// Rate at the end.
    pub floor: f64,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Steps of the whole run.
    pub total: usize,
}

/// Linear warm-up, then half a cosine over the whole horizon (docs/method.md section 5: the reference evaluates the
/// cosine without subtracting the warm-up, so the rate jumps slightly at the junction).
///
/// ```text
/// t < w:  η = start + (base − start) (t + 1) / w
/// t ≥ w:  η = floor + (base − floor) ½ (1 + cos(π t / T))
/// ```
pub fn cosine_with_warmup(schedule: &Schedule, step: usize) -> f64 {
    let Schedule { start, base, floor, warmup, total } = *schedule;
    if step < warmup {
        return start + (base - start) * (step + 1) as f64 / warmup as f64;
    }
    let progress = (step as f64 / total.max(1) as f64).min(1.0);
    floor + (base - floor) * 0.5 * (1.0 + (PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let schedule = Schedule { start: 0.0, base: 2.0, floor: 0.0, warmup: 4, total: 100 };
        let rate = |step| cosine_with_warmup(&schedule, step);
        assert_eq!(rate(0), 0.5);
        assert_eq!(rate(3), 2.0);
        assert!((rate(50) - 1.0).abs() < 1e-12);
        assert!(rate(99) < 0.002 && rate(99) > 0.0);
        let schedule = Schedule { start: 0.2, floor: 0.5, ..schedule };
        assert_eq!(cosine_with_warmup(&schedule, 0), 0.2 + 1.8 / 4.0);
        assert!((cosine_with_warmup(&schedule, 100) - 0.5).abs() < 1e-12);
    }
}
