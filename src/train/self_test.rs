//! Stored inputs for a pack's self-test: real images, made small.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};

use crate::image::{self, Limits, Preprocessing};

/// Longest side of a stored image, pixels: a few kilobytes, and the whole way from bytes to logits is tested.
const SIDE: u32 = 48;

/// A small PNG of the image in `path`.
pub(super) fn shrink(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let decoded = image::decode(&bytes, &Limits::default())?;
    let small = Preprocessing::clip(SIDE).resize_rgb(&decoded)?;
    let mut png = Cursor::new(Vec::new());
    small.write_to(&mut png, ::image::ImageFormat::Png)?;
    Ok(png.into_inner())
}
