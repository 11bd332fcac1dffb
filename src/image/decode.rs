//! From encoded bytes to an upright 8-bit RGB image.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ImageDecoder, ImageError, RgbImage};

use super::{Error, Format, Limits, bmp, flatten, gif, jpeg, orientation, png, tiff, webp};

/// Decodes an image of any [`Format`] into 8-bit RGB, the right way up.
///
/// The answer is that of Pillow's `ImageOps.exif_transpose(image).convert("RGB")`, with transparency composited on
/// white and 16-bit samples cut to their high byte. PNG, BMP, GIF, WebP and TIFF are exact, but for CMYK, which is
/// within one level of 255. JPEG is within two levels, within five where colour is stored at half resolution, because
/// its inverse transform and upsampling are not libjpeg-turbo's; there the last column is upsampled with the encoder's
/// padding and is within 43 on colour noise, as are images less than five pixels wide within 89. Colour profiles are
/// not applied, as Pillow does not apply them.
///
/// # Errors
/// [`Error::Empty`], [`Error::TooManyBytes`] and [`Error::TooLarge`] from the header alone;
/// [`Error::UnsupportedFormat`] and [`Error::UnsupportedFeature`] for what cannot be decoded exactly;
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

/// Tells what the decoder does not know from what is broken.
fn refusal(error: ImageError) -> Error {
    let format = Format::WebP;
    match error {
        ImageError::Unsupported(unsupported) => {
            Error::UnsupportedFeature { format, feature: unsupported.to_string() }
        }
        other => Error::Malformed { format, reason: other.to_string() },
    }
}
