//! The name of a blob: SHA-256 over its bytes.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::error::Error;
use crate::backbone::hex;
use crate::pack;
use crate::text::brief;

/// Hexadecimal digits of a digest.
const CHARS: usize = 64;

/// SHA-256 in lower-case hexadecimal, so that it is safe as a name of files and objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::finished(Sha256::new_with_prefix(bytes))
    }

    /// The digest of a folder's archive.
    ///
    /// # Errors
    /// When a file of the pack is missing, unreadable or oversized.
    pub(super) fn of_pack(folder: &Path) -> Result<Self, pack::Error> {
        let mut hashing = Hashing(Sha256::new());
        pack::write_archive(folder, &mut hashing)?;
        Ok(Self::finished(hashing.0))
    }

    pub(super) fn finished(hash: Sha256) -> Self {
        Self(hex(&hash.finalize()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first two digits: objects are spread over folders by them.
    pub fn shard(&self) -> &str {
        &self.0[..2]
    }
}

/// Hashes what is written to it.
struct Hashing(Sha256);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() == CHARS && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Digest(brief(text)))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
