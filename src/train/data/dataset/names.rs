//! Names of classes, and whether two of them may be the same class.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};

use super::entry::Part;

/// Names that a message lists.
const LISTED: usize = 10;

/// Names must differ by more than blanks around them.
///
/// # Errors
/// With two that do not.
pub(super) fn check<'a>(source: &Path, labels: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut trimmed = BTreeMap::new();
    for label in labels.collect::<BTreeSet<_>>() {
        if let Some(other) = trimmed.insert(label.trim(), label) {
            bail!("{}: the classes {other:?} and {label:?} differ only in blanks", source.display());
        }
        if label.trim().is_empty() {
            bail!("{}: the class {label:?} has a name of blanks", source.display());
        }
    }
    Ok(())
}

/// Warnings about names: blanks around them, a split's name, and two that differ only in case.
pub(super) fn oddities(labels: &[String]) -> Vec<String> {
    let blanks = labels.iter().filter(|label| label.trim() != label.as_str());
    let mut odd: Vec<String> =
        blanks.map(|label| format!("the class {label:?} has a name with blanks around it")).collect();
    let splits = labels.iter().filter(|label| Part::named(label).is_some());
    odd.extend(splits.map(|label| format!("the class {label:?} is named like a split: is it one?")));
    let mut lower = BTreeMap::new();
    for label in labels {
        if let Some(other) = lower.insert(label.trim().to_lowercase(), label) {
            odd.push(format!("the classes {other:?} and {label:?} differ only in case: are they one?"));
        }
    }
    odd
}

/// A name for messages, with its code points if two spellings could look the same.
pub(super) fn shown(label: &str) -> String {
    if label.is_ascii() { label.to_owned() } else { format!("{label} ({})", label.escape_default()) }
}

/// The first names, for messages.
pub(super) fn few(labels: &[String]) -> String {
    let shown = labels.iter().take(LISTED).map(|label| shown(label)).collect::<Vec<_>>().join(", ");
    match labels.len().saturating_sub(LISTED) {
        0 => format!("one of {shown}"),
        more => format!("one of {shown} and {more} more"),
    }
}
