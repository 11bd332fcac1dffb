//! Identity of records on disk: checkpoints, results.
//!
//! A fingerprint is data: settings by name, each as JSON text, in the order of names. A record can be continued
//! if the fingerprints are equal; else the error names the differences.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of this encoding and of the records that bear it. Raised when an older record can no longer be continued.
const VERSION: u32 = 2;

/// Name of the field that holds [`rounding`](crate::runtime::rounding).
pub const ROUNDING: &str = "rounding";

/// Maximum number of differences in a message.
const TOLD: usize = 4;

/// Identity of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    version: u32,
    fields: BTreeMap<String, String>,
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self { version: VERSION, fields: BTreeMap::new() }
    }
}

impl Fingerprint {
    /// Adds a value, or each field of a structure as `<name>.<field>`. Replaces what has the name.
    ///
    /// # Errors
    /// When the value cannot be encoded.
    pub fn with(mut self, name: &str, value: &impl Serialize) -> Result<Self> {
        self.put(name, &serde_json::to_value(value)?);
        Ok(self)
    }

    fn put(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(field, value)| self.put(&format!("{name}.{field}"), value));
            }
            value => drop(self.fields.insert(name.to_owned(), value.to_string())),
        }
    }

    /// Why a record with the fingerprint `there` cannot be continued here; none if it can.
    pub fn refuses(&self, there: &Value) -> Option<String> {
        let Ok(there) = serde_json::from_value::<Self>(there.clone()) else { return Some(other_release()) };
        if there.version != VERSION {
            return Some(other_release());
        }
        let names =
            self.fields.keys().chain(there.fields.keys().filter(|name| !self.fields.contains_key(*name)));
        let differ: Vec<&String> =
            names.filter(|name| self.fields.get(*name) != there.fields.get(*name)).collect();
        match differ[..] {
            [] => None,
            [name] if name == ROUNDING => Some(
                "it was written on a processor that rounds differently: continue it on one of that kind, or start again"
                    .into(),
            ),
            _ => Some(self.told(&there, &differ)),
        }
    }

    fn told(&self, there: &Self, differ: &[&String]) -> String {
        let value =
            |of: &Self, name: &String| of.fields.get(name).map_or("absent", String::as_str).to_owned();
        let told =
            |name: &&String| format!("{name} is {} there, {} here", value(there, name), value(self, name));
        let mut text = differ.iter().take(TOLD).map(told).collect::<Vec<_>>().join("; ");
        if differ.len() > TOLD {
            text.push_str(&format!("; and {} more", differ.len() - TOLD));
        }
        text
    }
}

fn other_release() -> String {
    "it was written by another release of mimi-server, whose records cannot be continued: start again, or continue with that release"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Settings {
        rate: f64,
        name: &'static str,
    }

    fn fingerprint(rate: f64, name: &'static str, rounding: &str) -> Fingerprint {
        let settings = Settings { rate, name };
        Fingerprint::default().with("a", &settings).unwrap().with(ROUNDING, &rounding).unwrap()
    }

    #[test]
    fn the_encoding_is_stable() {
        let encoded = serde_json::to_string(&fingerprint(1e-3, "x", "f0")).unwrap();
        let expected = r#"{"version":2,"fields":{"a.name":"\"x\"","a.rate":"0.001","rounding":"\"f0\""}}"#;
        assert_eq!(encoded, expected);
    }

    #[test]
    fn differences_are_told_by_name() {
        let here = fingerprint(0.1, "x", "f0");
        let refused = |there: &Fingerprint| here.refuses(&serde_json::to_value(there).unwrap());
        assert_eq!(refused(&here), None);
        assert_eq!(refused(&fingerprint(0.2, "x", "f0")).unwrap(), "a.rate is 0.2 there, 0.1 here");
        assert!(refused(&fingerprint(0.1, "x", "f1")).unwrap().contains("rounds differently"));
        for old in [Value::Null, "MimiOptions { .. }".into(), serde_json::json!({"version": 0, "fields": {}})]
        {
            assert!(here.refuses(&old).unwrap().contains("another release"), "{old}");
        }
    }
}
