//! What a JPEG can be refused for.

use crate::image::{Error, Format};

/// The content breaks the format.
pub(super) fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Jpeg, reason: reason.into() }
}

/// The content uses what is not decoded.
pub(super) fn unsupported(feature: &str) -> Error {
    Error::UnsupportedFeature { format: Format::Jpeg, feature: feature.into() }
}
