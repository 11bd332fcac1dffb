//! JPEG, which needs more care than the `image` crate's wrapper takes: that one fills what a truncated file lacks.

use image::RgbImage;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Error, Format, Limits, orientation};

/// Scans an image may have. Encoders write about ten; each can cost a pass over all blocks for a few bytes.
const MAX_SCANS: usize = 100;

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;

/// Decodes a JPEG. Four components are taken as Adobe's inverted CMYK or YCCK, as Pillow takes them.
///
/// # Errors
/// As [`decode`](super::decode).
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    // Damage inside a scan is tolerated, as libjpeg does; that nothing is missing was checked by `walk`.
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(refusal)?;
    let info = decoder.info().ok_or_else(|| malformed("has no frame header"))?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    limits.check_pixels(width, height)?;
    check_components(&decoder)?;
    walk(bytes)?;
    let turn = orientation::of_exif(decoder.exif().map(Vec::as_slice));
    let samples = decoder.decode().map_err(refusal)?;
    let image = RgbImage::from_raw(width, height, samples);
    let image = image.ok_or_else(|| malformed("has fewer samples than its size needs"))?;
    Ok(orientation::upright(image, turn))
}

/// Refuses components whose meaning is not defined by JFIF or Adobe.
fn check_components(decoder: &JpegDecoder<ZCursor<&[u8]>>) -> Result<(), Error> {
    use ColorSpace::{CMYK, Luma, RGB, YCCK, YCbCr};
    match decoder.input_colorspace() {
        Some(Luma | YCbCr | RGB | CMYK | YCCK) => Ok(()),
        other => Err(Error::UnsupportedFeature {
            format: Format::Jpeg,
            feature: format!("colour space {other:?}"),
        }),
    }
}

/// Walks the markers to the end of the image (ITU-T T.81, annex B), so that a truncated file is an error.
fn walk(bytes: &[u8]) -> Result<(), Error> {
    let mut rest = bytes.get(2..).unwrap_or_default();
    let mut scans = 0;
    loop {
        let (marker, after) =
            next_marker(rest).ok_or_else(|| malformed("ends before its end-of-image marker"))?;
        rest = after;
        match marker {
            END_OF_IMAGE if scans > 0 => return Ok(()),
            END_OF_IMAGE => return Err(malformed("has no scan")),
            0x01 | 0xD0..=0xD8 => continue, // TEM, RSTn and SOI stand alone
            START_OF_SCAN => scans += 1,
            _ => {}
        }
        if scans > MAX_SCANS {
            return Err(malformed(&format!("has more than {MAX_SCANS} scans")));
        }
        rest = after_segment(rest).ok_or_else(|| malformed("ends inside a segment"))?;
    }
}

/// Finds the next marker and what follows it; stuffed zeros and fill bytes are no markers.
fn next_marker(mut bytes: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let prefix = bytes.iter().position(|&byte| byte == 0xFF)?;
        match *bytes.get(prefix + 1)? {
            0x00 => bytes = &bytes[prefix + 2..],
            0xFF => bytes = &bytes[prefix + 1..],
            marker => return Some((marker, &bytes[prefix + 2..])),
        }
    }
}

/// Skips a segment, whose two-byte length counts itself.
fn after_segment(bytes: &[u8]) -> Option<&[u8]> {
    let length = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    bytes.get(usize::from(length)..)
}

fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Jpeg, reason: reason.into() }
}

/// Tells what the decoder does not know from what is broken.
fn refusal(error: DecodeErrors) -> Error {
    match error {
        DecodeErrors::Unsupported(feature) => {
            Error::UnsupportedFeature { format: Format::Jpeg, feature: format!("{feature:?}") }
        }
        other => malformed(&format!("{other:?}")),
    }
}
