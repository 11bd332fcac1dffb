//! How often a change by compare-and-swap is tried, and how long it waits in between.

use std::time::Duration;

use super::error::Error;

/// Most tries. With two publishers one fails now and then; with a hundred, tens of times.
const MOST: usize = 200;
/// First longest wait; it doubles.
const FIRST: Duration = Duration::from_millis(2);
/// Longest wait.
const LONGEST: Duration = Duration::from_millis(250);

/// Tries of one change.
pub(super) struct Patience {
    what: &'static str,
    attempts: usize,
}

impl Patience {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, attempts: 0 }
    }

    /// Waits at random, so that those who collided do not collide again.
    ///
    /// # Errors
    /// [`Error::Contended`] when there were too many tries.
    pub(super) async fn wait(&mut self) -> Result<(), Error> {
        self.attempts += 1;
        if self.attempts >= MOST {
            return Err(Error::Contended { what: self.what.to_owned(), attempts: MOST });
        }
        let longest = LONGEST.min(FIRST * (1 << self.attempts.min(10)));
        tokio::time::sleep(longest.mul_f64(rand::random_range(0.0..1.0))).await;
        Ok(())
    }
}
