//! Settings of a method beyond its rank: by name, with a default, a range and a source in the method's recipe.

mod known;
mod value;

pub use value::Value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Error;

/// What a method's settings are set to, by name. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Value>", into = "BTreeMap<String, Value>")]
pub struct Settings(Arc<BTreeMap<String, Value>>);

impl From<BTreeMap<String, Value>> for Settings {
    fn from(settings: BTreeMap<String, Value>) -> Self {
        Self(Arc::new(settings))
    }
}

impl From<Settings> for BTreeMap<String, Value> {
    fn from(settings: Settings) -> Self {
        Arc::unwrap_or_clone(settings.0)
    }
}

impl Settings {
    /// The defaults of a method's recipe.
    pub(super) fn defaults(method: &'static str, recipe: &str) -> Result<Self, Error> {
        let known = known::known(recipe).map_err(|source| Error::Recipe { method, source })?;
        Ok(known.into_iter().map(|(name, known)| (name, known.value)).collect::<BTreeMap<_, _>>().into())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every setting, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Reads `name=value`, as typed, into the settings of the method that has this recipe.
    pub(super) fn set(&mut self, method: &'static str, recipe: &str, typed: &str) -> Result<(), Error> {
        let known = known::known(recipe).map_err(|source| Error::Recipe { method, source })?;
        let (name, text) = typed.split_once('=').unwrap_or((typed, ""));
        let Some(setting) = known.get(name) else { return Err(unknown(method, name, known.keys())) };
        let refuse = |reason| Error::Setting { method, name: name.into(), value: text.into(), reason };
        Arc::make_mut(&mut self.0).insert(name.into(), setting.parse(text).map_err(refuse)?);
        Ok(())
    }

    /// The same settings, once each is one of the method's and within its range, and none is missing: a default may be
    /// another in a later release.
    pub(super) fn checked(self, method: &'static str, recipe: &str) -> Result<Self, Error> {
        let known = known::known(recipe).map_err(|source| Error::Recipe { method, source })?;
        if let Some(name) = known.keys().find(|name| !self.0.contains_key(*name)) {
            return Err(Error::Unset { method, name: name.clone() });
        }
        let check = |(name, value): (String, Value)| {
            let setting = known.get(&name).ok_or_else(|| unknown(method, &name, known.keys()))?;
            let told = value.to_string();
            match setting.check(value) {
                Ok(value) => Ok((name, value)),
                Err(reason) => Err(Error::Setting { method, name, value: told, reason }),
            }
        };
        let settings: BTreeMap<String, Value> = self.into();
        settings.into_iter().map(check).collect::<Result<BTreeMap<_, _>, _>>().map(Self::from)
    }

    /// A whole number; 0 where there is none of that name.
    pub fn count(&self, name: &str) -> usize {
        match self.0.get(name) {
            Some(Value::Count(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// A seed; 0 where there is none of that name.
    pub fn seed(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(Value::Count(count)) => *count,
            _ => 0,
        }
    }

    /// A number; 0 where there is none of that name.
    pub fn number(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(Value::Number(number)) => *number,
            _ => 0.0,
        }
    }

    /// A yes or no; no where there is none of that name.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Value::Flag(true))
    }

    /// A word; empty where there is none of that name.
    pub fn word(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(Value::Word(word)) => word,
            _ => "",
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&told.join(" "))
    }
}

fn unknown<'a>(method: &'static str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let known = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
    Error::UnknownSetting { method, name: name.into(), known }
}
