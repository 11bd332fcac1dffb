//! Undoing the compression of one strip or tile.

use std::io::Read;

use fax::decoder::{DecodeStatus, Group4Decoder};
use flate2::read::ZlibDecoder;
use weezl::{BitOrder, LzwStatus, decode::Configuration};

use super::error::{malformed, unsupported};
use crate::image::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Group4,
}

impl Compression {
    /// By the number in its tag.
    pub fn of(number: u64) -> Result<Self, Error> {
        let name = match number {
            1 => return Ok(Self::None),
            4 => return Ok(Self::Group4),
            5 => return Ok(Self::Lzw),
            8 | 32946 => return Ok(Self::Deflate),
            32773 => return Ok(Self::PackBits),
            2 => "CCITT RLE",
            3 => "CCITT Group 3",
            6 => "old-style JPEG",
            7 => "JPEG",
            34712 => "JPEG 2000",
            34887 => "LERC",
            34925 => "LZMA",
            50000 => "Zstandard",
            50001 => "WebP",
            50002 => "JPEG XL",
            other => return Err(unsupported(&format!("compression {other}"))),
        };
        Err(unsupported(&format!("{name} compression")))
    }
}

/// Fills `target` with what `packed` holds; `width` is that of a row, in pixels. More than is needed is left.
pub(super) fn unpack(
    compression: Compression,
    packed: &[u8],
    width: usize,
    target: &mut [u8],
) -> Result<(), Error> {
    let whole = match compression {
        Compression::None => match packed.get(..target.len()) {
            Some(samples) => {
                target.copy_from_slice(samples);
                true
            }
            None => false,
        },
        Compression::Lzw if packed.starts_with(&[0, 1]) => {
            return Err(unsupported("LZW compression in its old, reversed order"));
        }
        Compression::Lzw => lzw(packed, target),
        Compression::Deflate => ZlibDecoder::new(packed).read_exact(target).is_ok(),
        Compression::PackBits => pack_bits(packed, target).is_some(),
        Compression::Group4 => group_4(packed, width, target).is_some(),
    };
    if whole {
        Ok(())
    } else {
        Err(malformed(&format!("has a strip of {compression:?} data that is broken or too short")))
    }
}

fn lzw(mut packed: &[u8], mut target: &mut [u8]) -> bool {
    let mut decoder = Configuration::with_tiff_size_switch(BitOrder::Msb, 8).build();
    while !target.is_empty() {
        let result = decoder.decode_bytes(packed, target);
        packed = &packed[result.consumed_in..];
        target = &mut target[result.consumed_out..];
        match result.status {
            Ok(LzwStatus::Ok) if result.consumed_in + result.consumed_out > 0 => {}
            _ => break,
        }
    }
    target.is_empty()
}

/// TIFF 6.0, section 9.
fn pack_bits(mut packed: &[u8], mut target: &mut [u8]) -> Option<()> {
    while !target.is_empty() {
        let (&count, rest) = packed.split_first()?;
        packed = rest;
        let (length, used) = match count {
            0..=127 => (usize::from(count) + 1, usize::from(count) + 1),
            128 => continue,
            129..=255 => (257 - usize::from(count), 1),
        };
        let (run, rest) = packed.split_at_checked(used)?;
        packed = rest;
        let (filled, after) = target.split_at_mut(length.min(target.len()));
        match run {
            &[byte] => filled.fill(byte),
            bytes => filled.copy_from_slice(&bytes[..filled.len()]),
        }
        target = after;
    }
    Some(())
}

/// ITU-T T.6. White is stored as 0, whatever 0 shows as.
fn group_4(packed: &[u8], width: usize, target: &mut [u8]) -> Option<()> {
    let width = u16::try_from(width).ok()?;
    let bytes = packed.iter().map(|&byte| Ok::<u8, std::convert::Infallible>(byte));
    let mut decoder = Group4Decoder::new(bytes, width).ok()?;
    for row in target.chunks_exact_mut(usize::from(width).div_ceil(8)) {
        if decoder.advance().ok()? == DecodeStatus::End {
            return None;
        }
        row.fill(0);
        for black in decoder.transition().chunks(2) {
            let end = black.get(1).copied().unwrap_or(width).min(width);
            for at in black[0]..end {
                row[usize::from(at / 8)] |= 0x80 >> (at % 8);
            }
        }
    }
    Some(())
}
