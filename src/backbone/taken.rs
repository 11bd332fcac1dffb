//! What an import took of a model, and where each value came from.

use serde::{Deserialize, Serialize};

/// The kind of place a value came from, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// An option of the command.
    Flag,
    /// The checkpoint itself.
    File,
    /// A JSON file beside the checkpoint.
    Config,
    /// A tensor's presence or shape.
    Shape,
    /// What the library that made the file does where nothing is told.
    Default,
    /// What most models of that shape have; nothing tells.
    Guess,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// What it is: `heads`, `activation`, ….
    pub what: String,
    /// Its value.
    pub value: String,
    /// The kind of place it came from.
    pub origin: Origin,
    /// The place.
    pub from: String,
}
