//! From encoded bytes to an upright 8-bit RGB image.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ImageDecoder, ImageError, RgbImage};

use super::{Error, Format, Limits, bmp, flatten, gif, jpeg, orientation, png, tiff, webp};

/// Version of the decoder. It grows when an accepted image gets different pixels. Packs record the version
/// they were trained with.
///
/// 1: JPEG within 5 levels of Pillow, 43 at edges; rare forms of TIFF, GIF, BMP and PNG unlike Pillow. 2:
/// everything as Pillow 13.0.0 shows it.
pub const DECODER_VERSION: u32 = 2;

/// Decodes an image of any [`Format`] into 8-bit RGB, the right way up.
///
/// The answer is that of Pillow's `ImageOps.exif_transpose(image).convert("RGB")`, bit for bit, with transparency
/// composited on white and 16-bit samples cut to their high byte. Colour profiles and gamma are not applied, as Pillow
/// does not apply them. `docs/images.md` lists what is decoded, and what is refused by name.
///
/// ```
/// use mimi_server::image::{Error, Limits, decode};
///
/// let pixel = b"BM:\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\
///               \0\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\x02\x01\0";
/// let image = decode(pixel, &Limits::default())?;
/// assert_eq!(image.get_pixel(0, 0).0, [1, 2, 3]);
/// assert_eq!(decode(b"", &Limits::default()), Err(Error::Empty));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`], [`Error::TooManyBytes`] and [`Error::TooLarge`] from the header alone;
/// [`Error::KnownFormat`], [`Error::UnsupportedFormat`] and [`Error::UnsupportedFeature`] for what is not decoded;
/// [`Error::Malformed`] for the rest, a truncated image included.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    limits.check_bytes(bytes)?;
    match Format::sniff(bytes)? {
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::Png => png::decode(bytes, limits),
        Format::WebP => decode_webp(bytes, limits),
        Format::Bmp => bmp::decode(bytes, limits),
        Format::Gif => gif::decode(bytes, limits),
        Format::Tiff => tiff::decode(bytes, limits),
    }
}

/// Decodes the one image, or the first frame, of a WebP.
fn decode_webp(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    let form = webp::check(bytes, limits)?;
    let mut decoder = WebPDecoder::new(Cursor::new(form.bytes)).map_err(refusal)?;
    let (width, height) = decoder.dimensions();
    limits.check_pixels(width, height)?;
    decoder.set_limits(limits.of_decoder()).map_err(refusal)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    Ok(orientation::upright(flatten::to_rgb8(decoded), orientation::of(form.exif, form.xmp)))
}

/// Separates what the decoder does not support from what is broken.
fn refusal(error: ImageError) -> Error {
    let format = Format::WebP;
    match error {
        ImageError::Unsupported(unsupported) => {
            Error::UnsupportedFeature { format, feature: unsupported.to_string() }
        }
        other => Error::Malformed { format, reason: other.to_string() },
    }
}
