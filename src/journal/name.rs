//! Names of files, and of the process that writes them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;

/// What every file's name ends with.
const END: &str = ".jsonl";
/// How the time at which a file was begun stands in its name; names sort by it.
const TIME: &str = "%Y-%m-%dT%H%M%SZ";

/// One process among all that ever wrote to a folder: 64 random bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Boot(String);

impl Boot {
    /// Draws another one.
    pub fn random() -> Self {
        Self::from_bits(rand::random())
    }

    /// The one of these bits.
    pub fn from_bits(bits: u64) -> Self {
        Self(format!("{bits:016x}"))
    }

    /// As it stands in names and lines.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a file's name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The UTC day on which the file was begun. None of its lines is of a later one.
    pub day: Date,
    /// Who wrote it.
    pub boot: Boot,
    /// Its place among that process's files.
    pub number: u32,
}

impl Name {
    /// The name of a file that is begun at a time.
    pub fn compose(family: &str, at: Timestamp, boot: &Boot, number: u32) -> String {
        format!("{family}-{}-{boot}-{number:06}{END}", at.strftime(TIME))
    }

    /// Reads a name; none where it is not of the family.
    pub fn parse(family: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(family)?.strip_prefix('-')?.strip_suffix(END)?;
        let mut parts = rest.rsplitn(3, '-');
        let number = parts.next()?.parse().ok()?;
        let boot = Boot::from_bits(u64::from_str_radix(parts.next()?, 16).ok()?);
        let day = parts.next()?.get(..10)?.parse().ok()?;
        Some(Self { day, boot, number })
    }
}

/// Files of a family in a folder, in the order of their names.
///
/// # Errors
/// When the folder cannot be listed.
pub fn files(folder: &Path, family: &str) -> io::Result<Vec<(PathBuf, Name)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(name) = name.to_str().and_then(|name| Name::parse(family, name)) {
            found.push((entry.path(), name));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_sort_by_time() {
        let boot = Boot::from_bits(7);
        let at: Timestamp = "2026-11-26T06:15:03Z".parse().unwrap();
        let name = Name::compose("usage", at, &boot, 3);
        assert_eq!(name, "usage-2026-11-26T061503Z-0000000000000007-000003.jsonl");
        let read = Name::parse("usage", &name).unwrap();
        assert_eq!((read.day.to_string(), read.boot, read.number), ("2026-11-26".into(), boot.clone(), 3));
        assert!(Name::parse("audit", &name).is_none() && Name::parse("usage", "usage-totals.json").is_none());
        assert!(name < Name::compose("usage", "2026-11-26T06:15:04Z".parse().unwrap(), &boot, 1));
    }
}
