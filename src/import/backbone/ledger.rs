//! What is taken and from where; sources that contradict each other are an error.

use std::fmt::Display;

use super::error::Error;
use crate::backbone::{Origin, Taken};

/// A value and the place that tells it.
#[derive(Clone, Debug)]
pub(super) struct Told<T> {
    pub(super) value: T,
    origin: Origin,
    from: String,
}

impl<T> Told<T> {
    /// By an option of the command, if it was given.
    pub(super) fn flag(value: Option<T>, name: &str) -> Option<Self> {
        value.map(|value| Self { value, origin: Origin::Flag, from: format!("--{name}") })
    }

    /// By a JSON file, if it tells.
    pub(super) fn config(value: Option<T>, place: impl Into<String>) -> Option<Self> {
        value.map(|value| Self { value, origin: Origin::Config, from: place.into() })
    }

    /// By a tensor's presence or shape.
    pub(super) fn shape(value: T, tensor: impl Into<String>) -> Option<Self> {
        Some(Self { value, origin: Origin::Shape, from: tensor.into() })
    }

    /// By nothing but what the library does then.
    pub(super) fn default(value: T, whose: impl Into<String>) -> Option<Self> {
        Some(Self { value, origin: Origin::Default, from: whose.into() })
    }

    /// Another value, told by the same place.
    pub(super) fn with<U>(self, value: U) -> Told<U> {
        Told { value, origin: self.origin, from: self.from }
    }

    /// By nothing at all.
    pub(super) fn guess(value: T, why: impl Into<String>) -> Option<Self> {
        Some(Self { value, origin: Origin::Guess, from: why.into() })
    }
}

/// The lines of the table, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    lines: Vec<Taken>,
}

impl Ledger {
    /// Continues a table.
    pub(super) fn new(lines: Vec<Taken>) -> Self {
        Self { lines }
    }

    /// The table.
    pub(super) fn into_lines(self) -> Vec<Taken> {
        self.lines
    }

    /// Notes a value that has one source.
    pub(super) fn note<T: Display>(&mut self, what: &str, told: Option<Told<T>>) {
        if let Some(Told { value, origin, from }) = told {
            self.lines.push(Taken { what: what.into(), value: value.to_string(), origin, from });
        }
    }

    /// The value that all sources agree on, noted with all of them; else the fallback, noted as what it is.
    ///
    /// # Errors
    /// [`Error::Contradiction`] with the first two that differ.
    pub(super) fn settle<T: Clone + PartialEq + Display>(
        &mut self,
        what: &str,
        sources: impl IntoIterator<Item = Option<Told<T>>>,
        fallback: Option<Told<T>>,
    ) -> Result<Option<T>, Error> {
        let mut told = sources.into_iter().flatten();
        let Some(mut first) = told.next() else {
            let value = fallback.as_ref().map(|told| told.value.clone());
            self.note(what, fallback);
            return Ok(value);
        };
        for other in told {
            if other.value != first.value {
                return Err(contradiction(what, &first, &other));
            }
            first.from = format!("{}, {}", first.from, other.from);
        }
        let value = first.value.clone();
        self.note(what, Some(first));
        Ok(Some(value))
    }
}

/// Two sources that say different things.
pub(super) fn contradiction<T: Display, U: Display>(what: &str, a: &Told<T>, b: &Told<U>) -> Error {
    let says = |from: &str, value: &dyn Display| format!("{from} says {value}");
    Error::Contradiction { what: what.into(), a: says(&a.from, &a.value), b: says(&b.from, &b.value) }
}
