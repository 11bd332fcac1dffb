//! The first directory of a TIFF file or of EXIF data, which has the same layout (TIFF 6.0, section 2; BigTIFF).

use std::collections::BTreeMap;

/// A field's type, its size in bytes and how its numbers are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    Text,
    Ratio,
}

impl Kind {
    fn of(code: u16) -> Option<Self> {
        match code {
            1 | 7 => Some(Self::Text), // bytes, which are numbers only in some tags
            2 => Some(Self::Text),
            3 => Some(Self::Unsigned(2)),
            4 | 13 => Some(Self::Unsigned(4)),
            5 | 10 => Some(Self::Ratio),
            6 => Some(Self::Signed(1)),
            8 => Some(Self::Signed(2)),
            9 => Some(Self::Signed(4)),
            11 => Some(Self::Float(4)),
            12 => Some(Self::Float(8)),
            16 | 18 => Some(Self::Unsigned(8)),
            17 => Some(Self::Signed(8)),
            _ => None,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Unsigned(size) | Self::Signed(size) | Self::Float(size) => size,
            Self::Text => 1,
            Self::Ratio => 8,
        }
    }
}

struct Entry<'a> {
    kind: Kind,
    data: &'a [u8],
}

/// The fields of a directory.
pub(super) struct Directory<'a> {
    pub little: bool,
    /// Whether all of it, and all that its fields point to, lies in the bytes.
    pub whole: bool,
    entries: BTreeMap<u16, Entry<'a>>,
}

impl<'a> Directory<'a> {
    /// Reads the first directory; `None` when the bytes have no TIFF header or the directory is not there.
    ///
    /// Fields of unknown types are left out, and of fields that occur twice the first counts. A field whose data are
    /// not there ends the directory. All this is as Pillow reads it.
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let (little, wide) = match bytes.get(..4)? {
            [b'I', b'I', 42, 0] | [b'I', b'I', 0, 42] => (true, false),
            [b'M', b'M', 0, 42] | [b'M', b'M', 42, 0] => (false, false),
            [b'I', b'I', 43, 0] => (true, true),
            [b'M', b'M', 0, 43] => (false, true),
            _ => return None,
        };
        let number = |at: usize, size: usize| Some(unsigned(bytes.get(at..at.checked_add(size)?)?, little));
        let at = if wide { number(8, 8)? } else { number(4, 4)? };
        let at = usize::try_from(at).ok()?;
        let (count, head, length, held) =
            if wide { (number(at, 8)?, 8, 20, 8) } else { (number(at, 2)?, 2, 12, 4) };
        let mut directory = Self { little, whole: false, entries: BTreeMap::new() };
        let body = bytes.get(at.checked_add(head)?..)?;
        for entry in body.chunks_exact(length).take(usize::try_from(count).ok()?) {
            let tag = unsigned(&entry[..2], little) as u16;
            let Some(kind) = Kind::of(unsigned(&entry[2..4], little) as u16) else { continue };
            let size = unsigned(&entry[4..length - held], little).checked_mul(kind.size() as u64)?;
            let value = &entry[length - held..];
            let data = if size <= held as u64 {
                value.get(..size as usize)
            } else {
                let from = usize::try_from(unsigned(value, little)).ok();
                from.and_then(|from| bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?))
            };
            let Some(data) = data else { return Some(directory) };
            if !data.is_empty() {
                directory.entries.entry(tag).or_insert(Entry { kind, data });
            }
        }
        directory.whole = body.len() / length >= usize::try_from(count).ok()?;
        Some(directory)
    }

    fn entry(&self, tag: u16) -> Option<&Entry<'a>> {
        self.entries.get(&tag)
    }

    pub fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// A field's bytes.
    pub fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.entry(tag).map(|entry| entry.data)
    }

    /// A field's whole numbers; `None` where it is missing or of another type.
    pub fn numbers(&self, tag: u16) -> Option<Vec<u64>> {
        self.first_numbers(tag, usize::MAX)
    }

    /// As [`Self::numbers`], the first `most` of them.
    pub fn first_numbers(&self, tag: u16, most: usize) -> Option<Vec<u64>> {
        let entry = self.entry(tag)?;
        let numbers = entry.data.chunks_exact(entry.kind.size()).take(most);
        match entry.kind {
            Kind::Unsigned(_) => Some(numbers.map(|bytes| unsigned(bytes, self.little)).collect()),
            Kind::Signed(_) => numbers.map(|bytes| u64::try_from(signed(bytes, self.little)).ok()).collect(),
            Kind::Float(_) | Kind::Text | Kind::Ratio => None,
        }
    }

    /// The first of a field's whole numbers.
    pub fn number(&self, tag: u16) -> Option<u64> {
        self.first_numbers(tag, 1)?.first().copied()
    }
}

/// An unsigned number of up to eight bytes.
pub(super) fn unsigned(bytes: &[u8], little: bool) -> u64 {
    let add = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    if little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
}

fn signed(bytes: &[u8], little: bool) -> i64 {
    let unused = 64 - 8 * bytes.len() as u32;
    (unsigned(bytes, little) << unused) as i64 >> unused
}
