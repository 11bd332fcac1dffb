//! What is written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::charge::Sum;

/// What the names of the log's files begin with.
pub const FAMILY: &str = "usage";
/// The format's version.
pub(super) const VERSION: u32 = 1;

/// One line of the log: what one tenant used under one key and task between two times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The format's version.
    pub v: u32,
    /// The process that wrote it.
    pub boot: String,
    /// Its number; unique together with `boot`.
    pub seq: u64,
    /// The beginning, RFC 3339. The line counts in this UTC day and month.
    pub from: String,
    /// The end.
    pub to: String,
    /// The tenant.
    pub tenant: String,
    /// The key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What was used.
    #[serde(flatten)]
    pub sum: Sum,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let line: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if line.v != VERSION {
            return Err(format!("version {} of the format: expected {VERSION}", line.v));
        }
        line.from.parse::<Timestamp>().map_err(|error| format!("from: {error}"))?;
        Ok(line)
    }

    /// When the line begins. Lines that were parsed have a time.
    pub fn at(&self) -> Timestamp {
        self.from.parse().unwrap_or_default()
    }
}
