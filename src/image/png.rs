//! PNG: samples as stored, made into RGB as Pillow does, and where a PNG keeps EXIF and XMP.

use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;
use image::RgbImage;
use png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};

use super::flatten::over_white;
use super::palette::Palette;
use super::{Error, Format, Limits, orientation};

/// Bytes that a compressed text may have when it is unpacked, as in Pillow.
const MAX_TEXT: u64 = 1 << 20;

/// Texts that may be unpacked; each can cost [`MAX_TEXT`] for a few bytes.
const MAX_TEXTS: usize = 16;

/// The texts that may say how an image is turned.
const TEXTS: [&[u8]; 2] = [XMP, RAW_EXIF];
const XMP: &[u8] = b"XML:com.adobe.xmp";
const RAW_EXIF: &[u8] = b"Raw profile type exif";

/// Decodes the image, or of an animation the default image.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    if bytes.get(12..16) == Some(b"CgBI") {
        return Err(unsupported("Apple's CgBI form of PNG"));
    }
    check(bytes, limits)?;
    let most = limits.of_decoder().max_alloc.and_then(|bytes| usize::try_from(bytes).ok());
    let mut decoder =
        Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: most.unwrap_or(usize::MAX) });
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(broken)?;
    let length = reader.output_buffer_size().ok_or_else(|| malformed("is too large"))?;
    let mut samples = vec![0; length];
    let frame = reader.next_frame(&mut samples).map_err(broken)?;
    let info = reader.info();
    let (width, height) = (frame.width, frame.height);
    if (width, height) != (info.width, info.height) {
        return Err(malformed("has a first frame of another size than its image"));
    }
    let rows = samples.chunks_exact(frame.line_size);
    let mut image = RgbImage::new(width, height);
    let texts = Texts::read(bytes);
    let convert = Rows::new(info, texts.clear);
    for (row, target) in rows.zip(image.chunks_exact_mut(3 * width as usize)) {
        convert.row(row, target.as_chunks_mut::<3>().0);
    }
    let turn = orientation::of(texts.exif.as_deref(), texts.xmp.as_deref());
    Ok(orientation::upright(image, turn))
}

/// Checks the size in the first chunk, which the decoder would call too much memory and not too many pixels.
fn check(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    let Some([width, height]) = bytes.get(16..24).map(|size| size.as_chunks::<4>().0) else { return Ok(()) };
    let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
    limits.check_pixels(width, height)?;
    if width == 0 || height == 0 {
        return Err(malformed(&format!("declares a size of {width}x{height} pixels")));
    }
    Ok(())
}

/// How a row of stored samples becomes RGB.
struct Rows {
    colours: ColorType,
    bits: BitDepth,
    /// What each value of up to 8 bits becomes, palettes and transparent greys included.
    levels: [[u8; 3]; 256],
    /// The transparent value of 16-bit grey.
    clear_grey: Option<u16>,
    /// The transparent colour.
    clear_colour: Option<[u8; 3]>,
}

impl Rows {
    /// `clear` is the body of the chunk `tRNS`.
    fn new(info: &png::Info, clear: &[u8]) -> Self {
        let alphas = clear;
        let clear: Vec<u16> = clear.as_chunks::<2>().0.iter().map(|&two| u16::from_be_bytes(two)).collect();
        let most = (1_u32 << (info.bit_depth as u32).min(8)) - 1;
        let palette = match info.color_type {
            ColorType::Indexed => {
                let mut palette = Palette::new(info.palette.as_deref().unwrap_or_default(), 3, [0, 1, 2]);
                palette.set_alphas(alphas);
                palette
            }
            _ => {
                let mut palette = Palette::grey();
                for (value, entry) in palette.0.iter_mut().enumerate() {
                    let level = (value as u32 * 255 / most).min(255) as u8;
                    let key = clear
                        .first()
                        .map(|&key| if most == 1 { u8::from(key != 0) * 255 } else { key as u8 });
                    *entry = [level, level, level, if key == Some(level) { 0 } else { 255 }];
                }
                palette
            }
        };
        let clear_colour = clear.first_chunk().map(|colour: &[u16; 3]| colour.map(|level| level as u8));
        Self {
            colours: info.color_type,
            bits: info.bit_depth,
            levels: palette.over_white(),
            clear_grey: clear.first().copied(),
            clear_colour,
        }
    }

    fn row(&self, row: &[u8], pixels: &mut [[u8; 3]]) {
        match (self.colours, self.bits) {
            (ColorType::Grayscale, BitDepth::Sixteen) => {
                for (pixel, &[high, low]) in pixels.iter_mut().zip(row.as_chunks::<2>().0) {
                    let clear = self.clear_grey == Some(u16::from_be_bytes([high, low]));
                    *pixel = if clear { [255; 3] } else { [high; 3] };
                }
            }
            (ColorType::Grayscale | ColorType::Indexed, bits) => {
                let bits = bits as usize;
                let each = 8 / bits;
                for (nth, pixel) in pixels.iter_mut().enumerate() {
                    let moved = 8 - bits - bits * (nth % each);
                    let value = row[nth / each] >> moved & (0xFF >> (8 - bits));
                    *pixel = self.levels[usize::from(value)];
                }
            }
            (_, BitDepth::Sixteen) => {
                let high: Vec<u8> = row.iter().step_by(2).copied().collect();
                self.bytes(&high, pixels);
            }
            _ => self.bytes(row, pixels),
        }
    }

    /// Samples of 8 bits, or the high bytes of 16: Pillow compares those, too, with the low byte of a transparent colour.
    fn bytes(&self, row: &[u8], pixels: &mut [[u8; 3]]) {
        match self.colours {
            ColorType::GrayscaleAlpha => {
                for (pixel, &[grey, alpha]) in pixels.iter_mut().zip(row.as_chunks::<2>().0) {
                    *pixel = over_white([grey, grey, grey, alpha]);
                }
            }
            ColorType::Rgba => {
                for (pixel, &rgba) in pixels.iter_mut().zip(row.as_chunks::<4>().0) {
                    *pixel = over_white(rgba);
                }
            }
            _ => {
                for (pixel, &colour) in pixels.iter_mut().zip(row.as_chunks::<3>().0) {
                    *pixel = if self.clear_colour == Some(colour) { [255; 3] } else { colour };
                }
            }
        }
    }
}

/// What chunks keep besides pixels: EXIF and XMP, wherever they are, and transparency.
#[derive(Default)]
struct Texts<'a> {
    clear: &'a [u8],
    exif: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

impl<'a> Texts<'a> {
    /// Reads `eXIf`; ImageMagick's text "Raw profile type exif"; and the text "XML:com.adobe.xmp".
    fn read(bytes: &'a [u8]) -> Self {
        let (mut texts, mut raw, mut left) = (Self::default(), None, MAX_TEXTS);
        let mut rest = bytes.get(8..).unwrap_or_default();
        while let Some((&head, after)) = rest.split_first_chunk::<8>() {
            let [l0, l1, l2, l3, kind @ ..] = head;
            let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
            let Some(body) = after.get(..length) else { break };
            rest = after.get(length + 4..).unwrap_or_default();
            match &kind {
                b"tRNS" => texts.clear = body,
                b"eXIf" => texts.exif = Some(body.to_vec()),
                b"tEXt" => {
                    if let Some((name, text)) = split(body) {
                        texts.take(name, text.to_vec(), &mut raw);
                    }
                }
                b"zTXt" | b"iTXt" if left == 0 => {}
                b"zTXt" => {
                    if let Some((name, [0, packed @ ..])) =
                        split(body).filter(|(name, _)| TEXTS.contains(name))
                    {
                        left -= 1;
                        texts.take(name, unpacked(packed).unwrap_or_default(), &mut raw);
                    }
                }
                b"iTXt" => {
                    if split(body).is_some_and(|(name, _)| TEXTS.contains(&name))
                        && let Some((name, text)) = international(body)
                    {
                        left -= 1;
                        texts.take(name, text, &mut raw);
                    }
                }
                _ => {}
            }
        }
        texts.exif = texts.exif.or_else(|| raw.and_then(|text| from_hexadecimal(&text)));
        texts
    }

    fn take(&mut self, name: &[u8], text: Vec<u8>, raw: &mut Option<Vec<u8>>) {
        match name {
            XMP => self.xmp = Some(text),
            RAW_EXIF => *raw = Some(text),
            _ => {}
        }
    }
}

/// Splits at the first zero.
fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = body.iter().position(|&byte| byte == 0)?;
    Some((&body[..at], &body[at + 1..]))
}

/// The name and the text of an `iTXt` chunk.
fn international(body: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let (name, rest) = split(body)?;
    let (&[compressed, method], rest) = rest.split_first_chunk()?;
    let (_language, rest) = split(rest)?;
    let (_translated, text) = split(rest)?;
    match (compressed, method) {
        (0, _) => Some((name, text.to_vec())),
        (_, 0) => unpacked(text).map(|text| (name, text)),
        _ => None,
    }
}

fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    ZlibDecoder::new(packed).take(MAX_TEXT).read_to_end(&mut text).ok().map(|_| text)
}

/// The bytes of a raw profile: after three lines with its name and length, hexadecimal digits.
fn from_hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split(|&byte| byte == b'\n').skip(3);
    let digits: Vec<u8> = lines.flatten().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
    let value = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    digits.as_chunks::<2>().0.iter().map(|&[high, low]| Some(value(high)? << 4 | value(low)?)).collect()
}

fn broken(error: DecodingError) -> Error {
    malformed(&error.to_string())
}

fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Png, reason: reason.into() }
}

fn unsupported(feature: &str) -> Error {
    Error::UnsupportedFeature { format: Format::Png, feature: feature.into() }
}
