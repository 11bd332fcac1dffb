//! A token bucket that may go into debt. Pure: time is an argument.

use std::time::{Duration, Instant};

/// How long to wait.
pub type Wait = Duration;

/// Longest wait that is told.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Tokens that come at a steady rate up to a most, and may be taken in advance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: f64,
    most: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket: `rate` tokens a second, at most `seconds` seconds' worth.
    pub(super) fn new(rate: f64, seconds: f64, now: Instant) -> Self {
        let most = rate * seconds;
        Self { rate, most, tokens: most, at: now }
    }

    /// This bucket with another's rate and most. What was used stays used.
    pub(super) fn with_rate_of(mut self, other: &Self, now: Instant) -> Self {
        self.fill(now);
        let used = self.most - self.tokens;
        Self { tokens: (other.most - used).min(other.most), ..*other }
    }

    /// Tokens a second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// The most it holds.
    pub(super) fn most(&self) -> f64 {
        self.most
    }

    /// What is in it, at least 0.
    pub(super) fn left(&mut self, now: Instant) -> f64 {
        self.fill(now);
        self.tokens.max(0.0)
    }

    /// How long until it is out of debt; none where it is.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Wait> {
        self.fill(now);
        (self.tokens <= 0.0).then(|| seconds((-self.tokens / self.rate).max(1e-3)))
    }

    /// How long until it is full.
    pub(super) fn until_full(&mut self, now: Instant) -> Wait {
        self.fill(now);
        seconds((self.most - self.tokens) / self.rate)
    }

    /// Takes tokens, or gives back a negative amount of them.
    pub(super) fn add(&mut self, amount: f64, now: Instant) {
        self.fill(now);
        self.tokens = (self.tokens - amount).min(self.most);
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.most);
        self.at = self.at.max(now);
    }
}

fn seconds(time: f64) -> Duration {
    Duration::try_from_secs_f64(time).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_debt_is_paid_by_time() {
        let start = Instant::now();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut bucket = Bucket::new(10.0, 2.0, start);
        assert_eq!(bucket.wait(start), None);
        bucket.add(50.0, start);
        assert_eq!(bucket.wait(start), Some(Duration::from_secs(3)));
        assert_eq!(bucket.wait(after(3.5)), None);
        assert_eq!(bucket.left(after(100.0)), 20.0);
    }

    #[test]
    fn what_was_used_stays_used_at_another_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10.0, 2.0, start);
        bucket.add(15.0, start);
        let mut other = bucket.with_rate_of(&Bucket::new(1.0, 10.0, start), start);
        assert_eq!((other.left(start), other.wait(start)), (0.0, Some(Duration::from_secs(5))));
    }

    proptest! {
        /// Whatever is asked and when, no more is granted than the rate and the burst allow, and one request more.
        #[test]
        fn no_more_is_granted_than_rate_and_burst_allow(
            asked in proptest::collection::vec((0.1f64..20.0, 0u64..2000), 1..60)
        ) {
            let start = Instant::now();
            let (mut bucket, mut now, mut granted, mut largest) = (Bucket::new(5.0, 4.0, start), start, 0.0, 0.0f64);
            for (amount, pause) in asked {
                now += Duration::from_millis(pause);
                if bucket.wait(now).is_none() {
                    bucket.add(amount, now);
                    granted += amount;
                    largest = largest.max(amount);
                }
            }
            let allowed = 20.0 + 5.0 * (now - start).as_secs_f64() + largest;
            prop_assert!(granted <= allowed + 1e-6, "{} of {}", granted, allowed);
        }
    }
}
