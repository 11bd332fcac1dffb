//! WebP's container, checked before it is decoded: the decoder allocates whatever size a chunk claims, and
//! relies on a frame having the size of the bitstream inside it.

use std::borrow::Cow;

use super::{Error, Format, Limits};

/// Longest side of a canvas, in pixels; a bitstream cannot be larger (RFC 9649, section 2.5).
const MAX_SIDE: u32 = 1 << 14;

/// Bytes of a frame's chunk before its own chunks.
const FRAME_HEADER: usize = 16;

/// Where a frame's flags are in its chunk, and the one that forbids blending (RFC 9649, section 2.7.1.1).
const FRAME_FLAGS: usize = 15;
const NO_BLENDING: u8 = 2;

/// Width and height, in pixels.
type Size = (u32, u32);

struct Chunk<'a> {
    name: [u8; 4],
    payload: &'a [u8],
}

/// What a file holds besides pixels, and the bytes that belong to it.
pub(super) struct Form<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub exif: Option<&'a [u8]>,
    pub xmp: Option<&'a [u8]>,
}

/// Flags of an extended file that say which chunks count (RFC 9649, section 2.7.1).
const HAS_EXIF: u8 = 8;
const HAS_XMP: u8 = 4;

/// Checks the sizes of all chunks and frames, and finds EXIF and XMP.
pub(super) fn check<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Form<'a>, Error> {
    let length = little_endian(bytes, 4..8)? as usize;
    let form =
        bytes.get(..length.saturating_add(8)).ok_or_else(|| malformed("ends before its RIFF form does"))?;
    let mut rest = form.get(12..).ok_or_else(|| malformed("has no chunks"))?;
    let (mut canvas, mut flags) = (None, 0);
    let (mut exif, mut xmp, mut first_flags) = (None, None, None);
    while let Some((chunk, after)) = next_chunk(rest)? {
        rest = after;
        match (&chunk.name, canvas) {
            (b"VP8X", None) => {
                canvas = Some(canvas_size(chunk.payload, limits)?);
                flags = chunk.payload.first().copied().unwrap_or(0);
            }
            (b"EXIF", Some(_)) if flags & HAS_EXIF != 0 => exif = exif.or(Some(chunk.payload)),
            (b"XMP ", Some(_)) if flags & HAS_XMP != 0 => xmp = xmp.or(Some(chunk.payload)),
            (b"ANMF", Some(canvas)) => {
                check_frame(chunk.payload, canvas)?;
                let place = chunk.payload.as_ptr() as usize - form.as_ptr() as usize + FRAME_FLAGS;
                first_flags = first_flags.or(Some(place));
            }
            (_, Some(canvas)) => check_bitstream(&chunk, canvas)?,
            (_, None) => break, // the simple form: one bitstream, whose size is the image's
        }
    }
    Ok(Form { bytes: unblended(form, first_flags), exif, xmp })
}

/// Makes the first frame replace its canvas, which is empty: the decoder would blend with it, and round.
fn unblended(form: &[u8], flags: Option<usize>) -> Cow<'_, [u8]> {
    let mut form = Cow::from(form);
    if let Some(flags) = flags.filter(|&flags| form.get(flags).is_some_and(|flags| flags & NO_BLENDING == 0))
    {
        form.to_mut()[flags] |= NO_BLENDING;
    }
    form
}

/// Splits off the first chunk, whose size must not run past the end.
fn next_chunk(bytes: &[u8]) -> Result<Option<(Chunk<'_>, &[u8])>, Error> {
    let Some((&name, after)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = little_endian(after, 0..4)? as usize;
    let payload = after.get(4..4 + length).ok_or_else(|| malformed("has a chunk that runs past its end"))?;
    let padded = 4 + length + length % 2;
    Ok(Some((Chunk { name, payload }, after.get(padded..).unwrap_or_default())))
}

fn canvas_size(payload: &[u8], limits: &Limits) -> Result<Size, Error> {
    let (width, height) = size_less_one(payload, 4)?;
    limits.check_pixels(width, height)?;
    if width.max(height) > MAX_SIDE {
        let feature = format!("canvas of {width}x{height} pixels");
        return Err(Error::UnsupportedFeature { format: Format::WebP, feature });
    }
    Ok((width, height))
}

/// Checks that a frame lies within the canvas and that its bitstream is of its size.
fn check_frame(payload: &[u8], canvas: Size) -> Result<(), Error> {
    let frame = size_less_one(payload, 6)?;
    if frame.0 > canvas.0 || frame.1 > canvas.1 {
        return Err(malformed("has a frame larger than its canvas"));
    }
    let mut rest = payload.get(FRAME_HEADER..).unwrap_or_default();
    while let Some((chunk, after)) = next_chunk(rest)? {
        check_bitstream(&chunk, frame)?;
        rest = after;
    }
    Ok(())
}

/// Checks that a bitstream, if the chunk holds one, is of the size around it.
fn check_bitstream(chunk: &Chunk<'_>, expected: Size) -> Result<(), Error> {
    let found = match &chunk.name {
        // RFC 6386, section 9.1: 14 bits each, above them a scaling hint.
        b"VP8 " => {
            let [width, height] = [6..8, 8..10].map(|range| little_endian(chunk.payload, range));
            (width? & 0x3FFF, height? & 0x3FFF)
        }
        // RFC 9649, section 3.4: 14 bits each, less one.
        b"VP8L" => {
            let packed = little_endian(chunk.payload, 1..5)?;
            ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        }
        _ => return Ok(()),
    };
    if found != expected {
        return Err(malformed("has a bitstream of another size than its frame"));
    }
    Ok(())
}

/// Reads a width and a height of three bytes each, stored less one.
fn size_less_one(payload: &[u8], at: usize) -> Result<Size, Error> {
    Ok((little_endian(payload, at..at + 3)? + 1, little_endian(payload, at + 3..at + 6)? + 1))
}

/// Reads up to four bytes, the least significant first.
fn little_endian(bytes: &[u8], range: std::ops::Range<usize>) -> Result<u32, Error> {
    let bytes = bytes.get(range).ok_or_else(|| malformed("ends inside a chunk's header"))?;
    Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)))
}

fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::WebP, reason: reason.into() }
}
