//! Whether a device answers. Pure: it lies under the inbox's lock.
//!
//! A device whose batches fail one after the other is doubted: its workers take no more of them, and run a row of zeros. If
//! that fails too the device is out, and they try again from time to time. So batches too large for its memory take no
//! device out. Where none is left, nothing is admitted.

use std::time::Duration;

use super::error::Error;
use crate::runtime;

/// Batches that fail in a row before their device is doubted.
const FAILURES: u32 = 3;
/// How long a worker leaves a device that is out alone between trials.
pub(super) const REST: Duration = Duration::from_secs(1);

/// Whether a device gets batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trust {
    /// It does.
    #[default]
    In,
    /// Not before a trial.
    Doubted,
    /// The last trial failed.
    Out,
}

/// What is known of a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    trust: Trust,
    /// Batches that failed in a row.
    failures: u32,
    /// Whether its programs no longer cover what the others' do, so that it may not come back.
    lacks: bool,
}

impl Health {
    /// Whether it gets batches.
    pub(super) fn trust(&self) -> Trust {
        self.trust
    }

    /// Whether a trial may change what it gets.
    pub(super) fn needs_trial(&self) -> bool {
        self.trust != Trust::In && !self.lacks
    }

    /// A batch ran on it.
    pub(super) fn ran(&mut self) {
        self.failures = 0;
    }

    /// A batch failed on it.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.doubt();
        }
    }

    /// Something failed on it that a sound device does not fail at.
    pub(super) fn doubt(&mut self) {
        if self.trust == Trust::In {
            self.trust = Trust::Doubted;
        }
    }

    /// A trial ran, or did not.
    pub(super) fn tried(&mut self, ran: bool) {
        self.failures = 0;
        self.trust = if ran && !self.lacks { Trust::In } else { Trust::Out };
    }

    /// Whether it goes without a program that is made for the others. Out for want of one that covers their rows, it stays
    /// out.
    pub(super) fn goes_without(&mut self, covers: bool) -> bool {
        let is_out = self.trust == Trust::Out;
        self.lacks |= is_out && covers;
        is_out
    }
}

/// Whether ONNX Runtime failed, rather than what it was given.
pub(super) fn is_of_device(error: &Error) -> bool {
    matches!(error, Error::Runtime(error) if matches!(**error, runtime::Error::Call { .. }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn three_failures_in_a_row_make_a_doubt_that_a_trial_settles() {
        let mut health = Health::default();
        for batches in [&[false, false, true, false, false][..], &[true, false, false]] {
            batches.iter().for_each(|&ran| if ran { health.ran() } else { health.failed() });
            assert_eq!(health.trust(), Trust::In);
        }
        health.failed();
        assert_eq!(health.trust(), Trust::Doubted);
        health.ran();
        assert_eq!(health.trust(), Trust::Doubted, "what was under way says nothing");
        health.tried(true);
        assert_eq!(health.trust(), Trust::In);
        health.failed();
        assert_eq!(health.trust(), Trust::In, "it counts from none");
        health.doubt();
        health.tried(false);
        health.failed();
        health.doubt();
        assert_eq!(health.trust(), Trust::Out);
        health.tried(true);
        assert_eq!(health.trust(), Trust::In);
    }

    #[test]
    fn a_device_that_is_out_goes_without_programs_and_comes_back_where_it_needs_none() {
        let mut health = Health::default();
        assert!(!health.goes_without(true), "it is in");
        health.tried(false);
        assert!(health.goes_without(false));
        health.tried(true);
        assert_eq!(health.trust(), Trust::In);
        health.tried(false);
        assert!(health.goes_without(true));
        health.tried(true);
        assert!(health.trust() == Trust::Out && !health.needs_trial());
    }

    #[test]
    fn what_is_wrong_with_a_row_says_nothing_of_the_device() {
        let input =
            runtime::Error::Input { program: "p".into(), input: "x".into(), reason: "is missing".into() };
        let call = runtime::Error::Call { action: "run".into(), reason: "device lost".into() };
        assert!(is_of_device(&Error::Runtime(Arc::new(call))));
        for error in [Error::Runtime(Arc::new(input)), Error::BankFull, Error::NotFinite] {
            assert!(!is_of_device(&error), "{error}");
        }
    }
}
