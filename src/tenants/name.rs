//! Names of tenants and of keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::Error;

/// A tenant's name: `[a-z0-9][a-z0-9._-]{0,63}`, as a task's. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantName(Arc<str>);

impl TenantName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl std::borrow::Borrow<str> for TenantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let begins = text.bytes().next().is_some_and(is_plain);
        let rest = text.bytes().all(|c| is_plain(c) || matches!(c, b'.' | b'_' | b'-'));
        if begins && rest && text.len() <= 64 { Ok(Self(text.into())) } else { Err(Error::name(text)) }
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key's public name, part of the key itself: `[a-z0-9]{4,32}`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Letters of a name that is made up.
    const MADE: usize = 8;

    /// A name nobody has: 40 random bits.
    pub fn random() -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let bits: u64 = rand::random();
        let letter = |at: usize| char::from(LETTERS[(bits >> (5 * at)) as usize & 31]);
        Self((0..Self::MADE).map(letter).collect::<String>().into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Whether a text has the form of such a name.
    pub(super) fn is_valid(text: &str) -> bool {
        (4..=32).contains(&text.len()) && text.bytes().all(is_plain)
    }
}

/// So that a key's text need not be copied to be looked up.
impl std::borrow::Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A text that is not a name may be a secret: it is not repeated.
        if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(Error::KeyId) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_made_up_are_names() {
        for _ in 0..100 {
            let id = KeyId::random();
            assert_eq!(id.as_str().parse::<KeyId>().unwrap(), id);
        }
    }

    #[test]
    fn what_is_no_key_id_is_not_repeated() {
        let text = "mimi_abcd_TOPSECRET".parse::<KeyId>().unwrap_err().to_string();
        assert!(!text.contains("TOPSECRET"), "{text}");
    }
}
