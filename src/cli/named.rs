//! Settings that are judged after the command line was read.

use std::ops::RangeInclusive;

use anyhow::{Result, anyhow};

/// An option and its variable, for messages.
#[derive(Clone, Copy)]
pub(super) struct Named(pub(super) &'static str, pub(super) &'static str);

impl Named {
    /// What is wrong with a value that is not a secret.
    pub(super) fn wrong(self, text: &str, expected: &str) -> anyhow::Error {
        let Self(option, variable) = self;
        anyhow!("{option} or {variable}={text}: expected {expected}")
    }

    /// A number in a range.
    pub(super) fn number(self, text: &str, range: RangeInclusive<u64>) -> Result<u64> {
        let found = text.parse().ok().filter(|number| range.contains(number));
        found.ok_or_else(|| self.wrong(text, &format!("{} to {}", range.start(), range.end())))
    }

    /// Refuses all but one value.
    pub(super) fn one_of(self, text: &str, known: &str) -> Result<()> {
        if text == known { Ok(()) } else { Err(self.wrong(text, known)) }
    }
}
