//! By what an image is known from one request to the next.

use sha2::{Digest, Sha256};

/// Version of the encoding below; raised with every change to what is hashed.
const ENCODING: &[u8] = b"mimi image key 1";

/// The key of an image as its pixels enter the backbone: its encoded bytes, and how they were prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageKey([u8; 32]);

impl ImageKey {
    /// The key of encoded bytes prepared as `preparation` says (`Preprocessing::identity`).
    ///
    /// SHA-256 over the encoding's name, the length of `preparation` (8 bytes, little-endian), `preparation`, and the
    /// encoded image.
    pub fn new(encoded: &[u8], preparation: impl AsRef<[u8]>) -> Self {
        let preparation = preparation.as_ref();
        let digest = Sha256::new()
            .chain_update(ENCODING)
            .chain_update((preparation.len() as u64).to_le_bytes())
            .chain_update(preparation)
            .chain_update(encoded);
        Self(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_one_that_is_written_down() {
        // hashlib.sha256(b"mimi image key 1" + (2).to_bytes(8, "little") + b"ab" + b"image").hexdigest()
        let hex: String = ImageKey::new(b"image", "ab").0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "29d15f290fdce888dbe0746ca6d003ac2030e99f19cf9f513c5a255a62e9a024");
    }
}
