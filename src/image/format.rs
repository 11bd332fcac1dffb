//! The formats that are decoded.

use std::fmt;

/// A format that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, baseline and progressive; grey, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// PNG; of an animation, the default image.
    Png,
    /// WebP, lossy and lossless; of an animation, the first frame.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// GIF; of an animation, the first frame.
    Gif,
    /// TIFF; of several pages, the first.
    Tiff,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
        })
    }
}
