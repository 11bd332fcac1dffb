//! How large an image may be.

use super::Error;

/// Bytes a pixel takes in the widest layout that is decoded, RGBA of 16 bits.
const WIDEST_PIXEL: u64 = 8;

/// Memory a decoder may use besides the pixels (tables, rows, chunks), in bytes.
const DECODER_OVERHEAD: u64 = 16 << 20;

/// How large an image may be. Both limits are checked before memory for pixels is taken: bytes first, then
/// the header's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest encoded image, in bytes.
    pub max_bytes: usize,
    /// Largest width x height, in pixels. Decoding takes at most 16 bytes a pixel at its peak.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 32 MiB and 40 million pixels: a photograph from a current telephone fits, and the peak is about 0.6
    /// GB.
    fn default() -> Self {
        Self { max_bytes: 32 << 20, max_pixels: 40_000_000 }
    }
}

impl Limits {
    /// Checks the encoded size.
    pub(super) fn check_bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        match bytes.len() {
            0 => Err(Error::Empty),
            len if len > self.max_bytes => Err(Error::TooManyBytes { bytes: len, max_bytes: self.max_bytes }),
            _ => Ok(()),
        }
    }

    /// Checks the size that a header declares.
    pub(super) fn check_pixels(&self, width: u32, height: u32) -> Result<(), Error> {
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(Error::TooLarge { width, height, max_pixels: self.max_pixels });
        }
        Ok(())
    }

    /// The same bound in the words of the `image` crate, for chunks and tables that a header does not announce.
    pub(super) fn of_decoder(&self) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_alloc =
            Some(self.max_pixels.saturating_mul(WIDEST_PIXEL).saturating_add(DECODER_OVERHEAD));
        limits
    }
}
