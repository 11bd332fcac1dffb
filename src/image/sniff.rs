//! Telling a format by the bytes it begins with.

use super::{Error, Format, others};

/// Bytes of the content quoted when it is not recognised.
const QUOTED: usize = 16;

impl Format {
    /// Recognises the format by its signature; a file's name or declared type plays no part.
    ///
    /// # Errors
    /// [`Error::KnownFormat`] names a format that is not decoded; [`Error::UnsupportedFormat`] when no signature fits.
    pub fn sniff(bytes: &[u8]) -> Result<Self, Error> {
        match bytes {
            [0xFF, 0xD8, 0xFF, 0xF7, ..] => Err(Error::KnownFormat { name: "JPEG-LS" }),
            [0xFF, 0xD8, 0xFF, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Ok(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self::Tiff),
            [b'B', b'M', ..] => Ok(Self::Bmp),
            _ if let Some(name) = others::name(bytes) => Err(Error::KnownFormat { name }),
            _ => {
                let beginning = bytes[..bytes.len().min(QUOTED)].escape_ascii().to_string();
                Err(Error::UnsupportedFormat { beginning })
            }
        }
    }
}
