//! What is written.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::charge::Sum;

/// What the names of the log's files begin with.
pub const FAMILY: &str = "usage";
/// The format's version.
pub(super) const VERSION: u32 = 1;

/// One line of the log: what one tenant used under one key and task between two times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What was used.
    #[serde(flatten)]
    pub sum: Sum,
}

/// The same as it is read: flat, since serde reads nested parts several times as slowly.
#[derive(Deserialize)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    boot: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    task: Option<Cow<'a, str>>,
    #[serde(default)]
    requests: u64,
    #[serde(default)]
    images: u64,
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    flops: u64,
    #[serde(default)]
    device_us: u64,
    #[serde(default)]
    bytes_in: u64,
    #[serde(default)]
    bytes_out: u64,
    #[serde(default)]
    refused: u64,
}

impl From<Read<'_>> for Line {
    fn from(read: Read<'_>) -> Self {
        let Read { v, boot, seq, from, to, tenant, key, task, .. } = read;
        let Read { requests, images, rows, flops, device_us, bytes_in, bytes_out, refused, .. } = read;
        let [boot, from, to, tenant] = [boot, from, to, tenant].map(Cow::into_owned);
        let [key, task] = [key, task].map(|name| name.map(Cow::into_owned));
        let sum = Sum { requests, images, rows, flops, device_us, bytes_in, bytes_out, refused };
        Self { v, boot, seq, from, to, tenant, key, task, sum }
    }
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let read: Read<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let line = Self::from(read);
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
