//! What can be wrong with an image or with the preprocessing it is given to.

use super::Format;

/// Why bytes did not become pixels. The operands are enough to tell a client what to change.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no bytes.
    #[error("image is empty: it has no bytes")]
    Empty,
    /// The encoded image is larger than [`Limits::max_bytes`](super::Limits::max_bytes).
    #[error("image of {bytes} bytes is larger than the {max_bytes} bytes allowed")]
    TooManyBytes {
        /// Bytes received.
        bytes: usize,
        /// Bytes allowed.
        max_bytes: usize,
    },
    /// The format is known but not decoded.
    #[error("{name} is not supported: expected JPEG, PNG, WebP, BMP, GIF or TIFF")]
    KnownFormat {
        /// The format's name.
        name: &'static str,
    },
    /// The format is unknown.
    #[error(
        "unsupported image format: the content begins with \"{beginning}\"; expected JPEG, PNG, WebP, BMP, GIF or TIFF"
    )]
    UnsupportedFormat {
        /// The first bytes, escaped to printable ASCII.
        beginning: String,
    },
    /// The format is decoded, but not this variant of it.
    #[error("{format} with {feature} is not supported")]
    UnsupportedFeature {
        /// Format of the content.
        format: Format,
        /// What the image uses.
        feature: String,
    },
    /// The header declares more pixels than [`Limits::max_pixels`](super::Limits::max_pixels).
    #[error("image of {width}x{height} pixels is larger than the {max_pixels} pixels allowed")]
    TooLarge {
        /// Declared width, in pixels.
        width: u32,
        /// Declared height, in pixels.
        height: u32,
        /// Pixels allowed.
        max_pixels: u64,
    },
    /// The content breaks its own format: truncated, corrupt or self-contradictory.
    #[error("malformed {format} image: {reason}")]
    Malformed {
        /// Format of the content.
        format: Format,
        /// What is wrong, in the decoder's words.
        reason: String,
    },
    /// The image is too long and thin: resizing would leave no pixels, or need far more memory than the image.
    #[error(
        "image of {width}x{height} pixels is too long and thin to be resized to {image_size}x{image_size}"
    )]
    TooElongated {
        /// Width, in pixels.
        width: u32,
        /// Height, in pixels.
        height: u32,
        /// Side of the backbone's input, in pixels.
        image_size: u32,
    },
    /// A preprocessing that is impossible, or that this crate does not implement exactly.
    #[error("invalid preprocessing: {field}: {reason}")]
    InvalidPreprocessing {
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}
