//! Parameters of requests, tensors and answers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::Priority;
use crate::service::Error;
use crate::text::brief;

/// Longest deadline that a request may set.
const MAX_TIMEOUT: Duration = Duration::from_secs(600);
/// Most parameters in one place.
const MAX_PARAMETERS: usize = 64;

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
}

/// Parameters by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Parameter>);

impl Parameters {
    /// No more of them are taken than anybody needs.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there are more.
    pub fn new(values: BTreeMap<String, Parameter>) -> Result<Self, Error> {
        let count = values.len();
        if count > MAX_PARAMETERS {
            return Err(Error::Invalid(format!("{count} parameters: at most {MAX_PARAMETERS} are taken")));
        }
        Ok(Self(values))
    }

    /// Adds one, as an answer's.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: Parameter) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// A value.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.get(name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A yes or no.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is neither.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Parameter::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong(name, other, "true or false")),
        }
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is something else.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Parameter::Int(number)) if *number >= 0 => Ok(Some(number.unsigned_abs())),
            Some(other) => Err(wrong(name, other, "a whole number from 0")),
        }
    }

    /// A number from 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is something else.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, Error> {
        match self.number(name)? {
            Some(0) => Err(wrong(name, &Parameter::Int(0), "a number from 1")),
            number => Ok(number.map(|number| usize::try_from(number).unwrap_or(usize::MAX))),
        }
    }

    /// How long an answer is of use, from the request's arrival: `timeout`, in microseconds; 0 sets none.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is something else.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, Error> {
        let given = self.number("timeout")?.filter(|given| *given > 0).map(Duration::from_micros);
        match given.filter(|given| *given > MAX_TIMEOUT) {
            Some(given) => {
                let (given, most) = (given.as_micros(), MAX_TIMEOUT.as_micros());
                Err(Error::Invalid(format!("timeout = {given}: expected microseconds, at most {most}")))
            }
            None => Ok(given),
        }
    }

    /// How urgent a request is among its tenant's: `priority`, of which 1 is the highest level and 0 the default.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is something else.
    pub(super) fn priority(&self) -> Result<Priority, Error> {
        let Some(level) = self.number("priority")?.filter(|level| *level != 0) else {
            return Ok(Priority::default());
        };
        let found = usize::try_from(level - 1).ok().and_then(|index| Priority::ALL.get(index));
        found.copied().ok_or_else(|| {
            let lowest = Priority::ALL.len();
            Error::Invalid(format!(
                "priority = {level}: expected 0 for the default, or 1 (highest) to {lowest}"
            ))
        })
    }
}

fn wrong(name: &str, value: &Parameter, expected: &str) -> Error {
    let told = match value {
        Parameter::Bool(flag) => flag.to_string(),
        Parameter::Int(number) => number.to_string(),
        Parameter::Float(number) => number.to_string(),
        Parameter::Text(text) => format!("{:?}", brief(text)),
    };
    Error::Invalid(format!("parameter {name} = {told}: expected {expected}"))
}
