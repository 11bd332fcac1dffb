//! Changes of a pointer, as functions of values: whoever applies one writes the result by compare-and-swap.

use super::error::Error;
use super::pointer::{HIGHEST, MAX_VERSIONS, Pointer, STABLE, Stored, check_label};
use crate::pack::TaskId;

/// What a change of a pointer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is another pointer now.
    Changed {
        /// The version that the change was about.
        version: u64,
    },
    /// It was so before.
    AsBefore {
        /// The version that the change was about.
        version: u64,
    },
}

impl Done {
    /// The version that the change was about.
    pub fn version(self) -> u64 {
        match self {
            Self::Changed { version } | Self::AsBefore { version } => version,
        }
    }

    /// Whether anything is different now.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Changed { .. })
    }
}

/// A change of a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds a version.
    Add {
        /// Its number; none takes the next one.
        version: Option<u64>,
        /// Where its bytes are.
        stored: Stored,
        /// What names it from now on.
        label: Option<String>,
    },
    /// Moves a label.
    Label {
        /// The label.
        label: String,
        /// To this version; none takes the one before the one that it names.
        version: Option<u64>,
    },
    /// Takes away versions that no label names, all but the newest.
    Keep {
        /// How many of the newest stay.
        newest: usize,
    },
}

impl Edit {
    /// Applies it. A pointer that is left as it was needs no writing.
    ///
    /// # Errors
    /// [`Error::Refused`] with the rule that it would break, [`Error::NoVersion`], [`Error::NoTask`].
    pub fn apply(&self, task: &TaskId, pointer: &mut Pointer) -> Result<Done, Error> {
        let done = match self {
            Self::Add { version, stored, label } => add(task, pointer, (*version, stored), label.as_deref())?,
            Self::Label { label, version } => relabel(task, pointer, label, *version)?,
            Self::Keep { newest } => keep(pointer, *newest),
        };
        pointer.seq += u64::from(done.is_change());
        Ok(done)
    }

    /// The same change with the version that it was found to be about.
    #[must_use]
    pub fn settled(self, done: Done) -> Self {
        match self {
            Self::Label { label, .. } => Self::Label { label, version: Some(done.version()) },
            other => other,
        }
    }
}

fn refuse<T>(task: &TaskId, reason: String) -> Result<T, Error> {
    Err(Error::Refused { task: task.clone(), reason })
}

fn add(
    task: &TaskId,
    pointer: &mut Pointer,
    (version, stored): (Option<u64>, &Stored),
    label: Option<&str>,
) -> Result<Done, Error> {
    if let Some(Err(reason)) = label.map(check_label) {
        return refuse(task, reason);
    }
    let newest = pointer.newest().unwrap_or(0);
    // The same bytes again are the same version: a publisher that was not told how it ended may repeat itself.
    let same = pointer.versions.iter().rev().find(|(_, own)| own.digest == stored.digest);
    let version = version.or(same.map(|(version, _)| *version)).unwrap_or(newest + 1);
    let is_there = match pointer.versions.get(&version) {
        Some(own) if own.digest == stored.digest => true,
        Some(_) => return refuse(task, format!("version {version} has other bytes; versions never change")),
        None => false,
    };
    if !is_there {
        check_number(pointer, version).or_else(|reason| refuse(task, reason))?;
        pointer.versions.insert(version, stored.clone());
    }
    // A repeated publication must not take back what somebody else published meanwhile.
    let is_ahead = |label: &&str| is_there && pointer.labels.get(*label) >= Some(&version);
    let moved = label.filter(|label| !is_ahead(label)).map(str::to_owned);
    let is_moved = moved.is_some_and(|label| pointer.labels.insert(label, version) != Some(version));
    Ok(if is_there && !is_moved { Done::AsBefore { version } } else { Done::Changed { version } })
}

/// Whether a new version may have a number.
fn check_number(pointer: &Pointer, version: u64) -> Result<(), String> {
    let newest = pointer.newest().unwrap_or(0);
    if version == 0 || version > HIGHEST {
        return Err(format!("version {version} is not in 1..={HIGHEST}"));
    }
    if version <= newest {
        return Err(format!("version {version} is not newer than version {newest}"));
    }
    if pointer.versions.len() >= MAX_VERSIONS {
        return Err(format!("it has {MAX_VERSIONS} versions: `server gc` takes old ones away"));
    }
    Ok(())
}

fn relabel(task: &TaskId, pointer: &mut Pointer, label: &str, version: Option<u64>) -> Result<Done, Error> {
    if let Err(reason) = check_label(label) {
        return refuse(task, reason);
    }
    let now = pointer.labels.get(label).copied();
    let before = |now: u64| pointer.versions.range(..now).next_back().map(|(version, _)| *version);
    let version = match (version, now) {
        (Some(version), _) => version,
        (None, Some(now)) => match before(now) {
            Some(version) => version,
            None => return refuse(task, format!("no version is older than {label}, which is version {now}")),
        },
        (None, None) => return refuse(task, format!("it has no label {label}: name a version")),
    };
    if !pointer.versions.contains_key(&version) {
        return Err(Error::NoVersion { task: task.clone(), version });
    }
    pointer.labels.insert(label.to_owned(), version);
    Ok(if now == Some(version) { Done::AsBefore { version } } else { Done::Changed { version } })
}

fn keep(pointer: &mut Pointer, newest: usize) -> Done {
    let version = pointer.newest().unwrap_or_default();
    let kept: Vec<u64> = pointer.versions.keys().rev().take(newest.max(1)).copied().collect();
    let before = pointer.versions.len();
    let Pointer { labels, versions, .. } = pointer;
    // The version before the stable one stays: a rollback without a number goes there.
    let stable = labels.get(STABLE).and_then(|stable| versions.range(..*stable).next_back());
    let before_stable = stable.map(|(version, _)| *version);
    let is_named =
        |version: &u64| labels.values().any(|named| named == version) || Some(*version) == before_stable;
    versions.retain(|version, _| kept.contains(version) || is_named(version));
    if versions.len() == before { Done::AsBefore { version } } else { Done::Changed { version } }
}
