//! Turning an image the right way up.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::directory::Directory;

/// The tag that says how an image is turned (EXIF 2.32 and TIFF 6.0).
const ORIENTATION: u16 = 0x0112;

/// Finds how an image is turned, as Pillow's `Image.getexif` does: EXIF data say it, or else XMP does.
///
/// `exif` begins with TIFF's header, before which `Exif\0\0` may stand.
pub(super) fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    of_directory(exif.and_then(directory).as_ref(), xmp)
}

fn directory(mut exif: &[u8]) -> Option<Directory<'_>> {
    while let Some(rest) = exif.strip_prefix(b"Exif\0\0") {
        exif = rest;
    }
    Directory::first(exif)
}

/// As [`of`], of a directory that was read.
pub(super) fn of_directory(directory: Option<&Directory>, xmp: Option<&[u8]>) -> Orientation {
    let value = match directory {
        Some(directory) if directory.has(ORIENTATION) => directory.number(ORIENTATION),
        _ => xmp.and_then(of_xmp),
    };
    let value = value.and_then(|value| u8::try_from(value).ok());
    value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

/// The first digit that follows `tiff:Orientation="` or `tiff:Orientation>`.
fn of_xmp(xmp: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"tiff:Orientation";
    xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME).find_map(|(at, _)| {
        let rest = &xmp[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        value.first().filter(|digit| digit.is_ascii_digit()).map(|digit| u64::from(digit - b'0'))
    })
}

/// Applies an orientation, as Pillow's `ImageOps.exif_transpose` does.
pub(super) fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return image;
    }
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}
