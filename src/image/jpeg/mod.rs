//! JPEG (ITU-T T.81), decoded to the pixels that libjpeg-turbo gives in its default settings, to the last bit.
//!
//! The crates at hand round the inverse transform or the upsampling of colour otherwise, and fill what a truncated file
//! lacks. Reading order: this file walks the segments; `frame.rs` and `scan.rs` read headers; `bits.rs`, `huffman.rs`
//! and `progressive.rs` read coefficients; `inverse.rs` makes samples of them, `upsample.rs` brings them to full size,
//! `colour.rs` makes RGB.

mod bits;
mod colour;
mod error;
mod frame;
mod huffman;
mod inverse;
mod progressive;
mod put;
mod scan;
mod segments;
mod selection;
mod upsample;
mod zigzag;

use image::RgbImage;

use super::{Error, Limits, orientation};
use bits::marker_from;
use colour::Colours;
use error::malformed;
use frame::Frame;
use segments::{MAX_SCANS, Tables, segment};
use upsample::Rows;

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;

/// Decodes a JPEG. Four components are taken as Adobe's inverted CMYK or YCCK, as Pillow takes them.
///
/// # Errors
/// As [`decode`](super::decode).
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    let mut tables = Tables::default();
    let (mut frame, mut at) = frame(bytes, &mut tables, limits)?;
    walk(bytes)?;
    frame.allocate();
    scans(bytes, &mut at, &mut tables, &mut frame)?;
    let image = pixels(&frame, &tables)?;
    let turn = orientation::of(tables.exif.as_deref(), tables.xmp);
    Ok(orientation::upright(image, turn))
}

/// Reads the segments up to the first scan. Returns the frame and where that scan's marker is.
fn frame<'a>(bytes: &'a [u8], tables: &mut Tables<'a>, limits: &Limits) -> Result<(Frame, usize), Error> {
    let (mut at, mut frame) = (2, None);
    loop {
        let marker = marker_from(bytes, at).ok_or_else(|| malformed("ends before its first scan"))?;
        at = marker + 1;
        match bytes[marker] {
            0x01 | 0xD0..=0xD8 => {} // TEM, RSTn and SOI stand alone
            END_OF_IMAGE => return Err(malformed("has no scan")),
            START_OF_SCAN => {
                let frame = frame.ok_or_else(|| malformed("has no frame header before its first scan"))?;
                return Ok((frame, marker - 1));
            }
            kind => {
                let body = segment(bytes, &mut at)?;
                match kind {
                    0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF if frame.is_some() => {
                        return Err(malformed("has two frame headers"));
                    }
                    0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                        frame = Some(Frame::read(kind, body, limits)?);
                    }
                    _ => tables.read(kind, body)?,
                }
            }
        }
    }
}

/// Walks the markers to the end of the image (ITU-T T.81, annex B), so that a truncated file is an error.
fn walk(bytes: &[u8]) -> Result<(), Error> {
    let (mut at, mut scans) = (2, 0);
    loop {
        let marker =
            marker_from(bytes, at).ok_or_else(|| malformed("ends before its end-of-image marker"))?;
        at = marker + 1;
        match bytes[marker] {
            END_OF_IMAGE => return Ok(()),
            0x01 | 0xD0..=0xD8 => continue,
            START_OF_SCAN => scans += 1,
            _ => {}
        }
        if scans > MAX_SCANS {
            return Err(malformed(&format!("has more than {MAX_SCANS} scans")));
        }
        segment(bytes, &mut at)?;
    }
}

/// Decodes the scans: all of them where one does not hold the whole image, or else the first.
fn scans<'a>(
    bytes: &'a [u8],
    at: &mut usize,
    tables: &mut Tables<'a>,
    frame: &mut Frame,
) -> Result<(), Error> {
    while let Some(marker) = marker_from(bytes, *at) {
        *at = marker + 1;
        match bytes[marker] {
            0x01 | 0xD0..=0xD8 => {}
            END_OF_IMAGE => break,
            START_OF_SCAN => {
                let header = segment(bytes, at)?;
                tables.latch(header, frame)?;
                let header = scan::header(header, frame, tables)?;
                let whole = !frame.progressive && header.0.len() == frame.components.len();
                *at = scan::decode((bytes, *at), frame, header, tables.interval)?;
                if whole {
                    return Ok(());
                }
            }
            kind => {
                let body = segment(bytes, at)?;
                tables.read(kind, body)?;
            }
        }
    }
    if let Some(component) = frame.components.iter().find(|component| component.divisors.is_none()) {
        return Err(malformed(&format!("has no scan of its component {}", component.id)));
    }
    if frame.progressive { progressive::finish(frame) } else { Ok(()) }
}

/// Brings all components to full size and makes RGB of them.
fn pixels(frame: &Frame, tables: &Tables) -> Result<RgbImage, Error> {
    let (width, height) = frame.size;
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    let colours = Colours::of(&ids, tables.jfif, tables.adobe);
    let mut image = RgbImage::new(width as u32, height as u32);
    // The one component of a grey image has its full size, whatever its sampling says.
    let mut components: Vec<Rows> =
        frame.components.iter().map(|component| Rows::new(component, frame.sampling, width)).collect();
    for (y, target) in image.chunks_exact_mut(3 * width).enumerate() {
        let rows: Vec<&[u8]> = components.iter_mut().map(|rows| rows.get(y)).collect();
        colour::convert(colours, &rows, target);
    }
    Ok(image)
}
