//! The text of a file, in the encodings that editors and spreadsheets write.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::files::without_mark;

/// Reads UTF-8 with or without a byte-order mark, and UTF-16 with one.
///
/// # Errors
/// When the file cannot be read or is in another encoding, with the line.
pub fn read_text(file: &Path) -> Result<String> {
    let context = || file.display().to_string();
    text(&fs::read(file).with_context(context)?).with_context(context)
}

/// The text of some bytes.
pub(super) fn text(bytes: &[u8]) -> Result<String> {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes[2..].as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|&pair| unit(pair)).collect();
        let text =
            String::from_utf16(&units).context("the byte-order mark says UTF-16, but the text is not")?;
        if rest.is_empty() {
            Ok(text)
        } else {
            bail!("the byte-order mark says UTF-16, but a byte is left over")
        }
    };
    match bytes {
        [0xFF, 0xFE, ..] => wide(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => wide(u16::from_be_bytes),
        _ => {
            let bytes = without_mark(bytes);
            let text = std::str::from_utf8(bytes).map_err(|error| {
                let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
                anyhow::anyhow!("line {line} is not UTF-8: save the file as UTF-8")
            })?;
            Ok(text.to_owned())
        }
    }
}
