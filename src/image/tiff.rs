//! TIFF's compression, checked before it is decoded: a JPEG inside a strip declares its own size, which no limit of
//! the decoder binds.

use super::{Error, Format};

/// The tag whose value names the compression (TIFF 6.0, section 8).
const COMPRESSION: u16 = 259;

/// The field types a compression is stored as, 16 and 32 bits.
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// JPEG, in its old and its new form.
const JPEG: [u32; 2] = [6, 7];

/// Refuses an image compressed by JPEG; the rest is left to the decoder.
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    let words = Words { bytes, little: bytes.starts_with(b"II") };
    for entry in words.first_directory().into_iter().flatten() {
        if words.short(entry) == Some(COMPRESSION) && !words.is_inline_other_than_jpeg(entry) {
            let feature = "JPEG, or an unreadable value, as its compression".into();
            return Err(Error::UnsupportedFeature { format: Format::Tiff, feature });
        }
    }
    Ok(())
}

/// A file's bytes and the order they are in.
struct Words<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Words<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Where the entries of the first directory, 12 bytes each, begin.
    fn first_directory(&self) -> Option<impl Iterator<Item = usize> + use<>> {
        let at = self.long(4)? as usize;
        let count = usize::from(self.short(at)?);
        Some((0..count).map(move |entry| at + 2 + 12 * entry))
    }

    /// Whether an entry holds one number, in place, that is not JPEG's.
    fn is_inline_other_than_jpeg(&self, entry: usize) -> bool {
        let value = match self.short(entry + 2) {
            Some(SHORT) => self.short(entry + 8).map(u32::from),
            Some(LONG) => self.long(entry + 8),
            _ => None,
        };
        self.long(entry + 4) == Some(1) && value.is_some_and(|value| !JPEG.contains(&value))
    }
}
