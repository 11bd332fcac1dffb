//! Image files, read within the limits that the server has too.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::image::{self, Limits, RgbImage};

/// The bytes of an image file; one that is too large is not read.
///
/// # Errors
/// When it cannot be read, is no regular file, or has more bytes than allowed.
pub fn bytes(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let data = fs::metadata(path)?;
    ensure!(data.is_file(), "not a regular file");
    let bytes = usize::try_from(data.len()).unwrap_or(usize::MAX);
    if bytes > limits.max_bytes {
        return Err(image::Error::TooManyBytes { bytes, max_bytes: limits.max_bytes }.into());
    }
    Ok(fs::read(path)?)
}

/// The image in a file.
///
/// # Errors
/// As [`bytes`], or when it cannot be decoded.
pub fn picture(path: &Path, limits: &Limits) -> Result<RgbImage> {
    Ok(image::decode(&bytes(path, limits)?, limits)?)
}
