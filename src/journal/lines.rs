//! Lines of a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

/// Longest line that is read, bytes.
pub const LINE_BYTES: usize = 64 << 10;

/// One line of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A line, without its end.
    Whole(&'a [u8]),
    /// A line that is longer than [`LINE_BYTES`].
    Long,
    /// The file's last line, which has no end: it is still being written, or a crash cut it.
    Torn,
}

/// Gives every line of a file from `offset` on, and the offset behind the last whole one.
///
/// # Errors
/// The system's reason.
pub fn lines(path: &Path, offset: u64, mut each: impl FnMut(Found<'_>)) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::with_capacity(LINE_BYTES, file);
    let (mut end, mut line, mut length) = (offset, Vec::new(), 0_u64);
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            if length > 0 {
                each(Found::Torn);
            }
            return Ok(end);
        }
        let at = part.iter().position(|&byte| byte == b'\n');
        let taken = &part[..at.unwrap_or(part.len())];
        length += taken.len() as u64 + u64::from(at.is_some());
        // Of a line that is too long, nothing more is kept.
        if line.len() + taken.len() <= LINE_BYTES && length <= LINE_BYTES as u64 + 1 {
            line.extend_from_slice(taken);
        }
        let used = taken.len() + usize::from(at.is_some());
        if at.is_some() {
            let is_long = length > LINE_BYTES as u64 + 1;
            each(if is_long { Found::Long } else { Found::Whole(&line) });
            end += length;
            length = 0;
            line.clear();
        }
        reader.consume(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_told_and_the_torn_end_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let long = "x".repeat(3 * LINE_BYTES);
        std::fs::write(&path, format!("one\n{long}\n\ntwo\nhal")).unwrap();
        let mut told = Vec::new();
        let end = lines(&path, 0, |found| told.push(format!("{found:?}"))).unwrap();
        let whole = |text: &str| format!("{:?}", Found::Whole(text.as_bytes()));
        assert_eq!(told, [whole("one"), "Long".into(), whole(""), whole("two"), "Torn".into()]);
        assert_eq!(end, 4 + long.len() as u64 + 1 + 1 + 4);
        told.clear();
        assert_eq!(lines(&path, end, |found| told.push(format!("{found:?}"))).unwrap(), end);
        assert_eq!(told, ["Torn"]);
    }
}
