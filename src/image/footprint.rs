//! Memory that decoding an image will take, from the size in its header. No decoder runs: this only reads
//! bytes.

use super::{Format, Limits};

/// Bytes a pixel takes at the peak of decoding, of 8-bit samples: as stored, once more as they are turned or flattened,
/// and the RGB made of them.
const NARROW: u64 = 3 + 3 + 3;
/// The same of the widest samples, RGBA of 16 bits.
const WIDE: u64 = 8 + 8 + 3;

/// The same of a progressive JPEG of four components: 16-bit coefficients, samples, and RGB.
const COEFFICIENTS: u64 = 8 + 4 + 3;

/// About how much memory decoding takes at its peak, bytes. 0 where the header cannot be read or declares more than the
/// limits allow, since then [`decode`](super::decode) takes nothing; as much as the largest image takes where the header
/// is not looked for (TIFF, whose tags may lie anywhere).
pub fn footprint(bytes: &[u8], limits: &Limits) -> u64 {
    let Ok(format) = Format::sniff(bytes) else { return 0 };
    let (size, each) = match format {
        Format::Png => (png(bytes), if bytes.get(24) == Some(&16) { WIDE } else { NARROW }),
        Format::Jpeg => (jpeg(bytes), COEFFICIENTS),
        Format::WebP => (webp(bytes), NARROW),
        Format::Bmp => (bmp(bytes), NARROW),
        Format::Gif => (gif(bytes), NARROW),
        _ => return limits.max_pixels.saturating_mul(WIDE),
    };
    let pixels = size.map_or(0, |(width, height)| width.saturating_mul(height));
    if pixels > limits.max_pixels { 0 } else { pixels * each }
}

type Size = Option<(u64, u64)>;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u16::from_le_bytes).map(u64::from)
}

fn u16_be(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u16::from_be_bytes).map(u64::from)
}

/// Two numbers of 16 bits that follow each other.
fn pair(bytes: &[u8], at: usize, read: fn(&[u8], usize) -> Option<u64>) -> Size {
    Some((read(bytes, at)?, read(bytes, at + 2)?))
}

/// GIF89a, 18 to 23: the screen, made larger where the first frame reaches beyond it.
fn gif(bytes: &[u8]) -> Size {
    let screen = pair(bytes, 6, u16_le)?;
    let frame = gif_frame(bytes).unwrap_or(screen);
    Some((screen.0.max(frame.0), screen.1.max(frame.1)))
}

/// How far the first frame reaches, behind the global palette and any extensions.
fn gif_frame(bytes: &[u8]) -> Size {
    let palette = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3usize << ((flags & 7) + 1) };
    let mut at = 13 + palette(*bytes.get(10)?);
    while *bytes.get(at)? == 0x21 {
        at += 2;
        while *bytes.get(at)? != 0 {
            at += 1 + usize::from(bytes[at]);
        }
        at += 1;
    }
    let (left, top) = pair(bytes, at + 1, u16_le)?;
    let (width, height) = pair(bytes, at + 5, u16_le)?;
    (bytes[at] == 0x2c).then_some((left + width, top + height))
}

/// PNG specification, 11.2.1: IHDR is the first chunk.
fn png(bytes: &[u8]) -> Size {
    let side = |at| number(bytes, at).map(u32::from_be_bytes).map(u64::from);
    Some((side(16)?, side(20)?))
}

/// BMP: a header of 12 bytes has sides of 16 bits, the others of 32, the height's sign telling the lines' order.
fn bmp(bytes: &[u8]) -> Size {
    let side = |at| number(bytes, at).map(|side| u64::from(i32::from_le_bytes(side).unsigned_abs()));
    if number(bytes, 14).map(u32::from_le_bytes) == Some(12) {
        return pair(bytes, 18, u16_le);
    }
    Some((side(18)?, side(22)?))
}

/// WebP container specification (VP8X, VP8L) and RFC 6386, 9.1 (VP8).
fn webp(bytes: &[u8]) -> Size {
    let three = |at| number(bytes, at).map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0])) + 1);
    match bytes.get(12..16)? {
        b"VP8X" => Some((three(24)?, three(27)?)),
        b"VP8L" => {
            let bits = u64::from(u32::from_le_bytes(number(bytes, 21)?));
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8 " => pair(bytes, 26, u16_le).map(|(width, height)| (width & 0x3fff, height & 0x3fff)),
        _ => None,
    }
}

/// ITU-T T.81, B.1.1.2 and B.2.2: segments until a frame header, whose height stands before its width.
fn jpeg(bytes: &[u8]) -> Size {
    let mut at = 2;
    loop {
        // Markers may be padded with 0xff.
        while *bytes.get(at)? != 0xff {
            at += 1;
        }
        while *bytes.get(at)? == 0xff {
            at += 1;
        }
        match *bytes.get(at)? {
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => return pair(bytes, at + 4, u16_be),
            // Markers that stand alone.
            0x00 | 0x01 | 0xd0..=0xd8 => {
                at += 1;
                continue;
            }
            _ => {}
        }
        at += 1 + usize::try_from(u16_be(bytes, at + 1)?).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_declares_too_much_or_nothing_takes_nothing() {
        let limits = Limits { max_bytes: 1 << 20, max_pixels: 100 };
        let gif = |width: u16, height: u16| {
            [b"GIF89a".as_slice(), &width.to_le_bytes(), &height.to_le_bytes()].concat()
        };
        assert_eq!(footprint(&gif(10, 10), &limits), 100 * NARROW);
        assert_eq!(footprint(&gif(101, 1), &limits), 0);
        let frame = [b"\0\0\0\x21\xfe\x01x\0\x2c".as_slice(), &[0, 0, 0, 0, 10, 0, 5, 0, 0]].concat();
        assert_eq!(footprint(&[gif(1, 1), frame].concat(), &limits), 50 * NARROW);
        assert_eq!(footprint(b"GIF89a\x01", &limits), 0);
        assert_eq!(footprint(b"hello", &limits), 0);
        assert_eq!(footprint(b"", &limits), 0);
        assert_eq!(footprint(b"\xff\xd8\xff", &limits), 0);
    }
}
