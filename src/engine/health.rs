//! Whether a device answers. Pure, but for the counts that its workers share.
//!
//! A device whose batches fail one after the other is taken out: its workers take no more of them, and try it until a row
//! of zeros runs. Where none answers, nothing is admitted.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::Error;
use crate::runtime;

/// Batches that fail in a row before their device is taken out: one may have been too large for its memory.
pub(super) const FAILURES: u32 = 3;
/// How long a device that is out is left alone between trials.
pub(super) const REST: Duration = Duration::from_secs(1);

/// What became of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It stays as it was.
    None,
    /// It is out from now on.
    Out,
    /// It is in again.
    Back,
}

/// What is known of a device.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Batches and trials that failed in a row.
    failures: u32,
    /// Whether the others have a program that it lacks, so that it may not come back.
    lacks: bool,
}

impl State {
    fn is_out(&self) -> bool {
        self.lacks || self.failures >= FAILURES
    }
}

impl Health {
    /// Whether no batch should go to it.
    pub(super) fn is_out(&self) -> bool {
        self.lock().is_out()
    }

    /// Whether a trial may bring it back.
    pub(super) fn may_come_back(&self) -> bool {
        !self.lock().lacks
    }

    /// Notes what became of a batch or a trial. What the device did not fail at says nothing of it.
    pub(super) fn note<T>(&self, result: &Result<T, Error>) -> Change {
        self.change(|state| match result {
            Ok(_) => state.failures = 0,
            Err(error) if is_of_device(error) => state.failures = state.failures.saturating_add(1),
            Err(_) => {}
        })
    }

    /// Takes it out, until a trial succeeds.
    pub(super) fn distrust(&self) -> Change {
        self.change(|state| state.failures = FAILURES)
    }

    fn change(&self, of: impl FnOnce(&mut State)) -> Change {
        let mut state = self.lock();
        let was_out = state.is_out();
        of(&mut state);
        match (was_out, state.is_out()) {
            (false, true) => Change::Out,
            (true, false) => Change::Back,
            _ => Change::None,
        }
    }

    /// Whether it goes without a program that is made for the others now: only if it is out, and then it stays out.
    pub(super) fn goes_without(&self) -> bool {
        let mut state = self.lock();
        state.lacks |= state.is_out();
        state.lacks
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether ONNX Runtime failed, rather than what it was given.
fn is_of_device(error: &Error) -> bool {
    matches!(error, Error::Runtime(error) if matches!(**error, runtime::Error::Call { .. }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn failed() -> Result<(), Error> {
        let error = runtime::Error::Call { action: "run".into(), reason: "device lost".into() };
        Err(Error::Runtime(Arc::new(error)))
    }

    #[test]
    fn a_device_is_out_after_three_failures_in_a_row_and_back_after_one_answer() {
        let health = Health::default();
        let notes = |results: &[Result<(), Error>]| -> Vec<Change> {
            results.iter().map(|result| health.note(result)).collect()
        };
        assert_eq!(notes(&[failed(), failed(), Ok(()), failed(), failed()]), [Change::None; 5]);
        assert!(!health.is_out());
        assert_eq!(notes(&[failed(), failed(), failed()]), [Change::Out, Change::None, Change::None]);
        assert!(health.is_out());
        assert_eq!(notes(&[Ok(()), Ok(())]), [Change::Back, Change::None]);
        assert!(!health.is_out());
    }

    #[test]
    fn a_device_that_went_without_a_program_stays_out() {
        let health = Health::default();
        assert!(!health.goes_without(), "it is in");
        let notes: Vec<Change> = (0..FAILURES).map(|_| health.note(&failed())).collect();
        assert_eq!(notes.last(), Some(&Change::Out));
        assert!(health.may_come_back());
        assert!(health.goes_without());
        assert_eq!(health.note(&Ok(())), Change::None);
        assert!(health.is_out() && !health.may_come_back());
    }

    #[test]
    fn what_is_wrong_with_a_row_says_nothing_of_the_device() {
        let health = Health::default();
        let input =
            runtime::Error::Input { program: "p".into(), input: "x".into(), reason: "is missing".into() };
        for error in [Error::Runtime(Arc::new(input)), Error::BankFull, Error::NotFinite] {
            for _ in 0..2 * FAILURES {
                assert_eq!(health.note(&Err::<(), _>(error.clone())), Change::None);
            }
        }
        assert!(!health.is_out());
    }
}
