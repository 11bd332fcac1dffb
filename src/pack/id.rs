//! Names of tasks and numbers of versions.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::Error;
use crate::text::brief;

/// What cannot be parsed as a name.
const NOBODY: &str = "-";

/// The name clients call a task by: `[a-z0-9][a-z0-9._-]{0,63}`. Cheap to clone.
///
/// ```
/// use mimi_server::pack::TaskId;
///
/// let task: TaskId = "fashion-mnist".parse()?;
/// assert_eq!(task.as_str(), "fashion-mnist");
/// assert!("../secret".parse::<TaskId>().is_err());
/// # Ok::<(), mimi_server::pack::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Arc<str>);

/// Ordered and hashed as its text is.
impl Borrow<str> for TaskId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TaskId {
    /// The name of no task, which none can have.
    pub fn none() -> Self {
        Self(NOBODY.into())
    }

    /// Whether it is the name of no task.
    pub fn is_none(&self) -> bool {
        self.as_str() == NOBODY
    }

    /// The name, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let begins = text.bytes().next().is_some_and(alphanumeric);
        let rest = text.bytes().all(|c| alphanumeric(c) || matches!(c, b'.' | b'_' | b'-'));
        if begins && rest && text.len() <= 64 {
            Ok(Self(text.into()))
        } else {
            Err(Error::TaskId(brief(text)))
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version's number from its folder's name: decimal, from 1, without leading zeros.
///
/// ```
/// use mimi_server::pack::parse_version;
///
/// assert_eq!(parse_version("12"), Some(12));
/// assert_eq!(parse_version("v1"), None);
/// ```
pub fn parse_version(name: &str) -> Option<u64> {
    let digits = name.bytes().all(|c| c.is_ascii_digit()) && !name.starts_with('0');
    digits.then(|| name.parse().ok()).flatten()
}

/// Versions in a task's folder, ascending. Any other name is ignored.
///
/// # Errors
/// When the folder cannot be listed.
pub fn versions(task: &Path) -> Result<Vec<u64>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(task).map_err(Error::io(task))? {
        let entry = entry.map_err(Error::io(task))?;
        found.extend(entry.file_name().to_str().and_then(parse_version));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_the_folder_or_hide_are_refused() {
        for good in ["a", "fashion-mnist", "0", "a.b_c-d", &"x".repeat(64)] {
            assert!(good.parse::<TaskId>().is_ok(), "{good}");
        }
        for bad in
            ["", ".", "..", "../a", "a/b", "a\\b", ".hidden", "-a", "A", "é", "a b", "a\0", &"x".repeat(65)]
        {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
        assert!(NOBODY.parse::<TaskId>().is_err() && TaskId::none().is_none());
    }

    #[test]
    fn versions_are_plain_positive_numbers() {
        assert_eq!(parse_version("12"), Some(12));
        for bad in ["", "0", "01", "-1", "1.0", "v1", ".1.partial", "99999999999999999999999"] {
            assert_eq!(parse_version(bad), None, "{bad}");
        }
    }
}
