//! Keys as clients hold them, and as the server knows them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::error::Error;
use super::name::KeyId;

/// How every key begins, so that scanners of source code find keys.
const MARK: &str = "mimi_";
/// Random bytes of a key: 256 bits cannot be guessed, so a fast hash suffices.
const BYTES: usize = 32;
/// Longest text that is looked at as a key.
const LONGEST: usize = 256;

/// A key as its holder keeps it: `mimi_ID_SECRET`. Shown once, by [`Secret::reveal`]; never by `Debug`.
pub struct Secret {
    id: KeyId,
    text: String,
}

impl Secret {
    /// A new key of this name: 256 random bits of the system's generator, as base64url.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random(id: KeyId) -> Result<Self, Error> {
        use rand::TryRng as _;
        let mut bytes = [0u8; BYTES];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|e| Error::Random(e.to_string()))?;
        let text = format!("{MARK}{id}_{}", URL_SAFE_NO_PAD.encode(bytes));
        Ok(Self { id, text })
    }

    /// The key's name.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What the server keeps of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({MARK}{}_...)", self.id)
    }
}

impl FromStr for Secret {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let id = id_in(text).ok_or(Error::Key)?;
        Ok(Self { id: id.parse()?, text: text.to_owned() })
    }
}

/// The name inside a key; none where the text has not the form of a key.
pub(super) fn id_in(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(MARK)?.split_once('_')?;
    let is_secret = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let is_key = text.len() <= LONGEST && secret.len() >= 32 && secret.bytes().all(is_secret);
    (is_key && KeyId::is_valid(id)).then_some(id)
}

/// SHA-256 of a whole key, what a file says of it: `printf %s "$KEY" | sha256sum`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of no key.
    pub(super) const NONE: Self = Self([0; 32]);

    /// The digest of a key's text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether two digests are equal, in a time that does not tell where they differ.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest says nothing of its key, and is still kept out of logs.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(...)")
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // Whoever pastes the key itself here must not find it in a log.
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(Error::Digest)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_again_and_known_by_its_digest() {
        let made = Secret::random(KeyId::random()).unwrap();
        let read: Secret = made.reveal().parse().unwrap();
        assert_eq!((read.id(), read.digest()), (made.id(), made.digest()));
        assert_eq!(made.digest().to_string().parse::<Digest>().unwrap(), made.digest());
        assert!(!made.digest().is(&Secret::random(made.id().clone()).unwrap().digest()));
    }

    #[test]
    fn a_key_is_not_shown_by_accident() {
        let made = Secret::random(KeyId::random()).unwrap();
        let secret = made.reveal().rsplit_once(made.id().as_str()).unwrap().1;
        assert!(!format!("{made:?}{:?}", made.digest()).contains(secret));
    }

    #[test]
    fn texts_that_are_no_keys_have_no_name() {
        let long = format!("mimi_abcd_{}", "a".repeat(300));
        let secret = "a".repeat(43);
        for text in ["", "mimi_", "mimi_abcd", "mimi_abcd_short", "mimi_AB_CD", &long, &secret] {
            assert_eq!(id_in(text), None, "{text}");
        }
        assert_eq!(id_in(&format!("mimi_abcd_{secret}")), Some("abcd"));
        assert_eq!(id_in(&format!("mimi_ab cd_{secret}")), None);
        assert_eq!(id_in(&format!("mimi_abcd_{secret}\n")), None);
    }

    #[test]
    fn the_digest_is_sha256s() {
        // printf %s mimi | sha256sum
        let expected = "c6b438b0c071b0875f3579207f8391b6a60e1319b25832a0ad3fe4bc0a5ae7ea";
        assert_eq!(Digest::of("mimi").to_string(), expected);
    }
}
