//! Turning an image the right way up.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

/// Reads the orientation, 1 to 8, out of a raw EXIF block (tag 0x0112 of EXIF 2.32); upright when there is none.
pub(super) fn of_exif(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
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
