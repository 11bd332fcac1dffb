//! Accuracies that others published, for the ranking beside ours.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::standings::Standings;

/// Published accuracies by method's name, %.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Published {
    /// Where they come from, and of what they are.
    pub source: String,
    /// By method.
    pub accuracies: BTreeMap<String, f64>,
}

impl Published {
    /// Those there are.
    ///
    /// # Errors
    /// When the file in this program cannot be read.
    pub fn read() -> Result<Self> {
        serde_json::from_str(include_str!("published.json")).context("published accuracies")
    }

    /// Whether a method of a table is among them.
    pub fn knows(&self, standings: &Standings) -> bool {
        standings.lines.iter().any(|line| self.accuracies.contains_key(&line.method))
    }
}
