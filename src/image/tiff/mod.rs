//! TIFF (revision 6.0, and BigTIFF): the first page, in the layouts that Pillow reads as 8- or 16-bit samples.
//!
//! Reading order: this file is the way from bytes to RGB; `layout.rs` reads the tags and refuses by name what is not
//! decoded; `strips.rs` finds strips and tiles; `unpack.rs` undoes their compression; `samples.rs` makes RGB of them.

mod error;
mod layout;
mod samples;
mod strips;
mod unpack;

use image::RgbImage;

use super::directory::Directory;
use super::{Error, Limits, orientation};
use error::malformed;
use layout::Layout;

/// The tag that holds XMP.
const XMP: u16 = 700;

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    let directory = Directory::first(bytes).ok_or_else(|| malformed("has no first directory"))?;
    if !directory.whole {
        return Err(malformed("ends inside its first directory"));
    }
    let layout = Layout::read(&directory, limits)?;
    let samples = strips::read(bytes, &directory, &layout, limits)?;
    let image = samples::to_rgb(&samples, &layout)?;
    let turn = orientation::of_directory(Some(&directory), directory.bytes(XMP));
    Ok(orientation::upright(image, turn))
}
