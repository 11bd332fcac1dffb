//! The settings that a method has, as its recipe lists them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::value::Value;

/// A setting of a method: its default, and what else it may be.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    /// The default, whose kind every value has.
    pub(super) value: Value,
    /// Least number.
    least: Option<f64>,
    /// Largest number.
    most: Option<f64>,
    /// Every word that it may be.
    #[serde(default)]
    words: Vec<String>,
    /// Where the default comes from.
    #[serde(rename = "source")]
    _source: String,
}

/// Of a recipe, what concerns settings.
#[derive(Deserialize)]
struct Recipe {
    #[serde(default)]
    settings: BTreeMap<String, Known>,
}

/// The settings of a recipe, by name.
pub(super) fn known(recipe: &str) -> Result<BTreeMap<String, Known>, serde_json::Error> {
    serde_json::from_str::<Recipe>(recipe).map(|recipe| recipe.settings)
}

impl Known {
    /// Reads a value as it was typed.
    pub(super) fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.value {
            Value::Flag(_) => text.parse().ok().map(Value::Flag),
            Value::Count(_) => text.parse().ok().map(Value::Count),
            Value::Number(_) => text.parse().ok().map(Value::Number),
            Value::Word(_) => Some(Value::Word(text.to_owned())),
        };
        value.ok_or_else(|| self.expected()).and_then(|value| self.check(value))
    }

    /// The value as this setting has it.
    pub(super) fn check(&self, value: Value) -> Result<Value, String> {
        let value = match (&self.value, value) {
            // JSON has one kind of number.
            (Value::Number(_), Value::Count(count)) => Value::Number(count as f64),
            (_, value) => value,
        };
        let fits = match (&self.value, &value) {
            (Value::Flag(_), Value::Flag(_)) => true,
            (Value::Count(_), Value::Count(count)) => self.holds(*count as f64),
            (Value::Number(_), Value::Number(number)) => self.holds(*number),
            (Value::Word(_), Value::Word(word)) => self.words.contains(word),
            _ => false,
        };
        if fits { Ok(value) } else { Err(self.expected()) }
    }

    fn holds(&self, number: f64) -> bool {
        number.is_finite()
            && self.least.is_none_or(|least| number >= least)
            && self.most.is_none_or(|most| number <= most)
    }

    fn expected(&self) -> String {
        let kind = match self.value {
            Value::Flag(_) => return "expected true or false".into(),
            Value::Word(_) => return format!("expected one of {}", self.words.join(", ")),
            Value::Count(_) => "a whole number",
            Value::Number(_) => "a number",
        };
        match (self.least, self.most) {
            (Some(least), Some(most)) => format!("expected {kind} from {least} to {most}"),
            (Some(least), None) => format!("expected {kind} of at least {least}"),
            _ => format!("expected {kind}"),
        }
    }
}
