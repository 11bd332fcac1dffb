//! The file of tenants, as it is written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::error::Error;
use super::scope::Scope;

/// Who may use the server, and how much of it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantsFile {
    /// Version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The tenants, by name: `[a-z0-9][a-z0-9._-]{0,63}`.
    #[serde(default)]
    pub tenants: BTreeMap<String, TenantEntry>,
    /// What requests without any key may do, while clients are given keys. Without it they are refused.
    pub anonymous: Option<AnonymousEntry>,
}

/// One tenant.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantEntry {
    /// Tasks that are its own: a name, or the beginning of names followed by `*`. No other tenant may own them.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// Tasks of others that it may use: names or patterns.
    #[serde(default)]
    pub uses: Vec<String>,
    /// Its part of the device beside other tenants that are waiting: one of weight 2 gets twice that of weight 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// Its keys, by id: `[a-z0-9]{4,32}`.
    #[serde(default)]
    pub keys: BTreeMap<String, KeyEntry>,
    /// Names in client certificates that stand for it: `DNS:a.example`, `URI:spiffe://a/b`, `email:a@b.example`, `CN:a`.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// Names in the identity header of a trusted gateway that stand for it.
    #[serde(default)]
    pub identities: Vec<String>,
    /// What its certificates and identities allow.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// Whether what frozen blocks give for its images may be kept, and found again by itself.
    #[serde(default = "yes")]
    pub prefix_cache: bool,
    /// How much it may ask for, by time.
    #[serde(default)]
    pub quota: QuotaEntry,
    /// How much it may hold.
    #[serde(default)]
    pub limits: LimitsEntry,
    /// For people.
    pub note: Option<String>,
}

/// One key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// SHA-256 of the whole key, 64 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub sha256: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it ends, RFC 3339: `2027-01-31T00:00:00Z`.
    #[serde(default, deserialize_with = "moment")]
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// For people.
    pub note: Option<String>,
}

/// What requests without a key may do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnonymousEntry {
    /// What they may do: `infer` and `read` only.
    pub scopes: Vec<Scope>,
    /// Tasks that they may use: names or patterns.
    pub uses: Vec<String>,
    /// When that ends, RFC 3339.
    #[serde(default, deserialize_with = "moment")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// Their part of the device beside tenants, all of them together.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// How much they may ask for together, by time.
    #[serde(default)]
    pub quota: QuotaEntry,
    /// How much they may hold together.
    #[serde(default)]
    pub limits: LimitsEntry,
}

/// How much may be asked for, by time. What is absent has no limit.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaEntry {
    /// Requests a second.
    pub requests_per_second: Option<f64>,
    /// Images a second, one under several tasks counting once for each.
    pub images_per_second: Option<f64>,
    /// Billions of floating-point operations a second.
    pub gflops_per_second: Option<f64>,
    /// Bytes of bodies a second, in MiB.
    pub mib_per_second: Option<f64>,
    /// Seconds' worth that may be used at once after a pause (default 10).
    pub burst_seconds: Option<f64>,
}

/// How much may be held. What is absent has no limit of its own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsEntry {
    /// Rows in flight: images being decoded, waiting or running, each under one task.
    pub rows: Option<usize>,
    /// Memory of its packs, MiB.
    pub pack_mib: Option<f64>,
    /// Tasks of its own that are published.
    pub tasks: Option<usize>,
}

impl TenantsFile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`Error::Syntax`]. It names the line and repeats nothing of it, since it may hold a secret.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().and_then(|span| text.get(..span.start));
            let line = at.map(|before| format!("line {}: ", before.matches('\n').count() + 1));
            Error::Syntax { line: line.unwrap_or_default(), reason: safe(error.message()) }
        })?;
        if file.version != 1 {
            return Err(Error::Rule(format!("version = {}: expected 1", file.version)));
        }
        Ok(file)
    }
}

/// The reason without values: someone may have pasted a key where something else belongs. Names of fields stay.
fn safe(message: &str) -> String {
    let hides = message.starts_with("unknown variant") || message.starts_with("invalid value");
    let hidden = |quote: char, at: usize, part: &str| {
        at % 2 == 1 && (quote == '"' || (hides && at == 1) || part.starts_with("mimi_") || part.len() > 40)
    };
    let without = |text: &str, quote: char| {
        let parts = text.split(quote).enumerate();
        let kept = parts.map(|(at, part)| if hidden(quote, at, part) { "..." } else { part });
        kept.collect::<Vec<_>>().join(&quote.to_string())
    };
    without(&without(message, '"'), '`').replace('\n', " ").trim().to_owned()
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// A moment as TOML's own date and time, or as a text.
fn moment<'de, D: Deserializer<'de>>(given: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Toml(toml::value::Datetime),
        Text(String),
    }
    let text = match Given::deserialize(given)? {
        Given::Toml(moment) => moment.to_string(),
        Given::Text(text) => text,
    };
    let wrong =
        |_| serde::de::Error::custom("not a date and time with an offset, such as 2027-01-31T00:00:00Z");
    text.parse().map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_both_forms() {
        for form in ["2027-01-31T00:00:00Z", "\"2027-01-31T01:00:00+01:00\""] {
            let text = format!("version = 1\n[anonymous]\nscopes = []\nuses = []\nuntil = {form}\n");
            let until = TenantsFile::parse(&text).unwrap().anonymous.unwrap().until;
            assert_eq!(until.unwrap().to_string(), "2027-01-31T00:00:00Z", "{form}");
        }
    }

    #[test]
    fn a_wrong_file_is_told_by_line_and_without_what_may_be_secret() {
        for (line, text) in [
            (3, "version = 1\n[tenants.a]\nwieght = 2\n"),
            (3, "version = 1\n[tenants.a.keys.abcd]\nsha256 = mimi_abcd_TOPSECRET\nscopes = []\n"),
            (2, "version = 1\n[tenants.a.keys.\"TOPSECRET]\n"),
            (4, "version = 1\n[tenants.a.keys.abcd]\nsha256 = \"x\"\nscopes = [\"TOPSECRET\"]\n"),
            (3, "version = 1\n[tenants.a]\ntasks = \"TOPSECRET\"\n"),
        ] {
            let told = TenantsFile::parse(text).unwrap_err().to_string();
            assert!(told.starts_with(&format!("line {line}: ")), "{told}");
            assert!(!told.contains("TOPSECRET"), "{told}");
        }
    }
}
