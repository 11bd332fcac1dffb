//! Why a file of tenants, or a key, is refused. No text repeats what may be a secret.

use std::path::PathBuf;

/// Most letters of a text that a message repeats.
const SHOWN: usize = 80;

/// Why a file of tenants, or a key, is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No tenant can have this name.
    #[error("{0:?} is not a tenant's name: expected [a-z0-9][a-z0-9._-]{{0,63}}")]
    Name(String),
    /// No task can fit this pattern.
    #[error("{0:?} is not a pattern of tasks: expected a task id, or the beginning of one followed by *")]
    Pattern(String),
    /// Not the public name of a key.
    #[error("a key's id is not [a-z0-9]{{4,32}}")]
    KeyId,
    /// Not a key.
    #[error("not a key: expected mimi_ID_SECRET with an id of [a-z0-9]{{4,32}}")]
    Key,
    /// Not a digest.
    #[error("sha256 is not 64 hexadecimal digits: `server keys hash` gives them")]
    Digest,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The file is larger than any that is read.
    #[error("{path}: larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file is not TOML, or not of this form.
    #[error("{line}{reason}")]
    Syntax {
        /// Where, as `line N: `; empty where that is not known.
        line: String,
        /// What is wrong.
        reason: String,
    },
    /// Something about a tenant is wrong.
    #[error("tenant {tenant}: {reason}")]
    Tenant {
        /// The tenant.
        tenant: String,
        /// What is wrong.
        reason: String,
    },
    /// Something else is wrong.
    #[error("{0}")]
    Rule(String),
}

impl Error {
    pub(super) fn name(text: &str) -> Self {
        Self::Name(shown(text))
    }

    pub(super) fn pattern(text: &str) -> Self {
        Self::Pattern(shown(text))
    }

    pub(super) fn of(tenant: &str, reason: impl ToString) -> Self {
        Self::Tenant { tenant: shown(tenant), reason: reason.to_string() }
    }
}

/// A text as a message repeats it: not whole, and not at all where a key may stand in it.
pub(super) fn shown(text: &str) -> String {
    if text.contains("mimi_") { "...".into() } else { text.chars().take(SHOWN).collect() }
}
