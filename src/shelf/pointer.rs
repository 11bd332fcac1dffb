//! A task's pointer: the small object that says which versions there are and which of them answers.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::archive::Archive;
use super::digest::Digest;
use super::error::Error;
use crate::pack::{MAX_ARCHIVE_BYTES, TaskId};
use crate::text::brief;

/// The label of the version that answers.
pub const STABLE: &str = "stable";
/// Largest pointer that is read, bytes; [`MAX_VERSIONS`] versions fit.
pub const MAX_POINTER_BYTES: u64 = 256 << 10;
/// Most versions of a task. `gc` takes old ones away.
pub const MAX_VERSIONS: usize = 1024;
/// Most labels of a task.
const MAX_LABELS: usize = 16;
/// Longest name of a label.
const MAX_LABEL: usize = 32;
/// Highest number of a version or a change: the next ones must have numbers too.
pub const HIGHEST: u64 = u64::MAX / 2;
/// Version of the format.
const FORMAT: u32 = 1;

/// Where a version's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// SHA-256 of the blob, which names it.
    pub digest: Digest,
    /// Size of the blob, bytes.
    pub bytes: u64,
    /// What newer programs keep here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Stored {
    /// The blob that an archive becomes.
    pub(super) fn of(archive: &Archive) -> Self {
        Self { digest: archive.digest().clone(), bytes: archive.bytes(), other: Map::default() }
    }
}

/// Versions of a task and names for them. What this program does not know stays as it is: newer ones keep more here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    format: u32,
    task: String,
    /// Grows by one with every change.
    pub seq: u64,
    /// Versions by label; [`STABLE`] answers.
    #[serde(deserialize_with = "labels")]
    pub labels: BTreeMap<String, u64>,
    /// The versions.
    #[serde(deserialize_with = "versions")]
    pub versions: BTreeMap<u64, Stored>,
    /// What newer programs keep here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Pointer {
    /// The pointer of a task without versions.
    pub fn new(task: &TaskId) -> Self {
        Self {
            format: FORMAT,
            task: task.to_string(),
            seq: 0,
            labels: BTreeMap::new(),
            versions: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// Reads the pointer of a task, trusting nothing in it.
    ///
    /// # Errors
    /// [`Error::Pointer`], with what is wrong.
    pub fn parse(task: &TaskId, bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Pointer { task: task.clone(), reason };
        if bytes.len() as u64 > MAX_POINTER_BYTES {
            return Err(wrong(format!("{} bytes, more than the {MAX_POINTER_BYTES} allowed", bytes.len())));
        }
        let pointer: Self = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        pointer.check(task).map_err(wrong)?;
        Ok(pointer)
    }

    fn check(&self, task: &TaskId) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format {} is not known; this program reads {FORMAT}", self.format));
        }
        if self.task != task.as_str() {
            return Err(format!("it belongs to task {:?}", brief(&self.task)));
        }
        if self.seq > HIGHEST {
            return Err(format!("change {} is beyond {HIGHEST}", self.seq));
        }
        if self.versions.len() > MAX_VERSIONS || self.labels.len() > MAX_LABELS {
            return Err(format!("more than {MAX_VERSIONS} versions or {MAX_LABELS} labels"));
        }
        for (version, stored) in &self.versions {
            if *version == 0 || *version > HIGHEST {
                return Err(format!("version {version} is not in 1..={HIGHEST}"));
            }
            if stored.bytes == 0 || stored.bytes > MAX_ARCHIVE_BYTES {
                let bytes = stored.bytes;
                return Err(format!("version {version} has {bytes} bytes, not 1..={MAX_ARCHIVE_BYTES}"));
            }
        }
        self.labels.iter().try_for_each(|(label, version)| self.check_label(label, *version))
    }

    fn check_label(&self, label: &str, version: u64) -> Result<(), String> {
        check_label(label)?;
        if self.versions.contains_key(&version) {
            return Ok(());
        }
        Err(format!("label {label} names version {version}, which is not there"))
    }

    /// The pointer as bytes.
    ///
    /// # Errors
    /// [`Error::Pointer`] when it would not be read again.
    pub fn bytes(&self, task: &TaskId) -> Result<Vec<u8>, Error> {
        let wrong = |reason: String| Error::Pointer { task: task.clone(), reason };
        self.check(task).map_err(wrong)?;
        let bytes = serde_json::to_vec(self).map_err(|e| wrong(e.to_string()))?;
        if bytes.len() as u64 > MAX_POINTER_BYTES {
            return Err(wrong(format!("it would have {} bytes, more than {MAX_POINTER_BYTES}", bytes.len())));
        }
        Ok(bytes)
    }

    /// The version that answers.
    pub fn stable(&self) -> Option<u64> {
        self.labels.get(STABLE).copied()
    }

    /// The highest number.
    pub fn newest(&self) -> Option<u64> {
        self.versions.keys().next_back().copied()
    }
}

/// Whether a text can be a label.
///
/// # Errors
/// Why it cannot.
pub fn check_label(label: &str) -> Result<(), String> {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(is_plain) {
        return Ok(());
    }
    let told = brief(label);
    Err(format!("invalid label {told:?}: expected 1 to {MAX_LABEL} of a-z, 0-9, '-'"))
}

/// Entries by name. A name that comes twice is an error, and so are more entries than a pointer may have.
fn unique<'de, D, K, V>(deserializer: D, key: fn(&str) -> Option<K>) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Ord,
    V: Deserialize<'de>,
{
    struct Entries<K, V>(fn(&str) -> Option<K>, PhantomData<V>);
    impl<'de, K: Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("entries by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, V>()? {
                let wrong = |why: &str| serde::de::Error::custom(format!("{:?} {why}", brief(&name)));
                let key = (self.0)(&name).ok_or_else(|| wrong("is not a name that is allowed here"))?;
                if found.len() >= MAX_VERSIONS {
                    return Err(wrong("is one too many"));
                }
                if found.insert(key, value).is_some() {
                    return Err(wrong("comes twice"));
                }
            }
            Ok(found)
        }
    }
    deserializer.deserialize_map(Entries(key, PhantomData))
}

fn versions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, Stored>, D::Error> {
    unique(deserializer, crate::pack::parse_version)
}

pub(super) fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    unique(deserializer, |name| check_label(name).ok().map(|()| name.to_owned()))
}
