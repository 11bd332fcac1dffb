//! NumPy's files: numbers and texts, never objects, whose form is a pickle.

use std::io::{Cursor, Read};

use crate::import::backbone::checkpoint::Tensor;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest text of an array, characters.
const LONGEST_TEXT: usize = 1024;
/// Most elements of an array of texts.
const MOST_TEXTS: usize = 100_000;
/// Most arrays of an archive.
const MOST_ARRAYS: usize = 64;

/// An array.
pub(super) enum Array {
    /// Numbers of any kind, as fp32.
    Numbers(Tensor),
    /// Texts.
    Text(Vec<String>),
}

/// The arrays of a `.npz` archive by name; all of them together may have `limit` bytes.
///
/// # Errors
/// A sentence.
pub(super) fn read_npz(bytes: &[u8], limit: u64) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    if archive.len() > MOST_ARRAYS {
        return Err(format!("{} arrays, more than the {MOST_ARRAYS} allowed", archive.len()));
    }
    let (mut arrays, mut left) = (Vec::new(), limit);
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|e| e.to_string())?;
        let name = entry.name().map_err(|e| e.to_string())?.into_owned();
        let mut array = Vec::new();
        entry.take(left + 1).read_to_end(&mut array).map_err(|e| e.to_string())?;
        left = left
            .checked_sub(array.len() as u64)
            .ok_or_else(|| format!("its arrays have more than the {limit} bytes allowed"))?;
        arrays.push((name.strip_suffix(".npy").unwrap_or(&name).to_owned(), array));
    }
    Ok(arrays)
}

/// Reads an array.
///
/// # Errors
/// A sentence.
pub(super) fn read_npy(bytes: &[u8]) -> Result<Array, String> {
    let damaged = || "is no array of NumPy, or a damaged one".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(damaged)?;
    let width = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(width).ok_or_else(damaged)?;
    let length = length.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    let (header, data) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let header = Header::parse(std::str::from_utf8(header).map_err(|_| damaged())?).ok_or_else(damaged)?;
    let count = header.shape.iter().try_fold(1usize, |count, axis| count.checked_mul(*axis));
    let count = count.ok_or_else(damaged)?;
    let of = header.kind()?;
    let Kind { is_big, kind, bytes } = of;
    if bytes.checked_mul(count) != Some(data.len()) {
        return Err(format!(
            "has {} bytes of numbers, its shape {:?} needs others",
            data.len(),
            header.shape
        ));
    }
    if kind == 'U' {
        return texts(data, &of, count).map(Array::Text);
    }
    let number = |element: &[u8]| number(element, kind, is_big);
    let numbers = data.chunks_exact(bytes.max(1)).map(number).collect::<Option<Vec<f32>>>();
    let data = numbers.ok_or_else(|| format!("has elements of type {}, which are not read", header.descr))?;
    let data = if header.is_fortran { turned(&data, &header.shape)? } else { data };
    Ok(Array::Numbers(Tensor { shape: header.shape, data }))
}

/// What stands before an array's elements: a dictionary as Python writes it.
struct Header {
    descr: String,
    is_fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Option<Self> {
        let after = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start_matches([':', ' ']));
        let descr = after("'descr'")?.strip_prefix('\'')?.split_once('\'')?.0.to_owned();
        let shape = after("'shape'")?.strip_prefix('(')?.split_once(')')?.0;
        let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
        let shape = axes.map(str::parse).collect::<Result<Vec<usize>, _>>().ok()?;
        let is_fortran = after("'fortran_order'")?.starts_with("True");
        (shape.len() <= 8).then_some(Self { descr, is_fortran, shape })
    }

    fn kind(&self) -> Result<Kind, String> {
        let refuse = || format!("has elements of type {:.20}, which are not read", self.descr);
        let mut letters = self.descr.chars();
        let (order, kind) = (letters.next().ok_or_else(refuse)?, letters.next().ok_or_else(refuse)?);
        if kind == 'O' || order == 'O' {
            return Err("holds objects, whose form is a pickle; save it as numbers or texts".into());
        }
        let size: usize = letters.as_str().parse().map_err(|_| refuse())?;
        let bytes = if kind == 'U' { size.checked_mul(4).ok_or_else(refuse)? } else { size };
        Ok(Kind { is_big: order == '>', kind, bytes })
    }
}

/// An element's type.
#[derive(Clone, Copy)]
struct Kind {
    is_big: bool,
    kind: char,
    bytes: usize,
}

fn number(element: &[u8], kind: char, is_big: bool) -> Option<f32> {
    let mut little = element.to_vec();
    if is_big {
        little.reverse();
    }
    Some(match (kind, &little[..]) {
        ('f', &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
        ('f', &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        ('f', bytes) => f64::from_le_bytes(bytes.try_into().ok()?) as f32,
        ('i', bytes @ ([_] | [_, _] | [_, _, _, _] | [_, _, _, _, _, _, _, _])) => signed(bytes) as f32,
        ('u', bytes @ ([_] | [_, _] | [_, _, _, _])) => signed(&[bytes, &[0]].concat()) as f32,
        _ => return None,
    })
}

/// A whole number in two's complement.
fn signed(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    i64::from_le_bytes(std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(fill)))
}

/// A matrix that lies column by column, row by row.
fn turned(data: &[f32], shape: &[usize]) -> Result<Vec<f32>, String> {
    match *shape {
        [rows, columns] => Ok(crate::pack::transpose(data, columns, rows)),
        [] | [_] => Ok(data.to_vec()),
        _ => Err(format!("lies column by column in shape {shape:?}, which is not read")),
    }
}

fn texts(data: &[u8], kind: &Kind, count: usize) -> Result<Vec<String>, String> {
    let Kind { bytes, is_big, .. } = *kind;
    if bytes > 4 * LONGEST_TEXT || count > MOST_TEXTS {
        return Err(format!("{count} texts of {} characters, more than is allowed", bytes / 4));
    }
    let letter = |b: &[u8]| {
        let code: [u8; 4] = std::array::from_fn(|i| b[if is_big { 3 - i } else { i }]);
        char::from_u32(u32::from_le_bytes(code))
    };
    let text = |element: &[u8]| -> Option<String> {
        let letters = element.chunks_exact(4).map(letter).collect::<Option<String>>()?;
        Some(letters.trim_end_matches('\0').to_owned())
    };
    if bytes == 0 {
        return Ok(vec![String::new(); count]);
    }
    let texts = data.chunks_exact(bytes).map(text).collect::<Option<Vec<_>>>();
    texts.ok_or_else(|| "holds texts that are no Unicode".into())
}
