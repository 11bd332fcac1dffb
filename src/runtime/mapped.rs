//! Weights read where they lie in the mapped file.

use memmap2::Mmap;

use super::Error;
use crate::backbone::TensorEntry;

/// The floats of `entry` inside the mapped file.
pub(super) fn floats<'a>(map: &'a Mmap, name: &str, entry: &TensorEntry) -> Result<&'a [f32], Error> {
    let fail = |reason: &str| Error::Call { action: format!("read weight {name}"), reason: reason.into() };
    let end = entry.offset + entry.length;
    let bytes = map.get(entry.offset..end).ok_or_else(|| fail("it lies outside the file"))?;
    #[allow(unsafe_code)]
    // SAFETY: every bit pattern is a float; `align_to` checks alignment itself.
    let (before, floats, after) = unsafe { bytes.align_to::<f32>() };
    if before.is_empty() && after.is_empty() { Ok(floats) } else { Err(fail("it is not aligned to 4 bytes")) }
}
