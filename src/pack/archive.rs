//! `.mipack`: a version as one file. It is a tar archive (ustar, no compression) of exactly two files, in this order:
//! `adapter_config.json`, `adapter_model.safetensors`.
//!
//! The same pack gives the same bytes, so the file's SHA-256 names it. A header is accepted only if it is, byte for byte,
//! the one that is written here for its size. So an archive has no paths, links, owners or other names to be wary of.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::read::{MAX_CONFIG_BYTES, MAX_WEIGHTS_BYTES};
use super::{CONFIG_FILE, Error, WEIGHTS_FILE};
use crate::files::{self, Disk};

/// Bytes of a block of tar.
const BLOCK: u64 = 512;
/// Where a header has its size: eleven octal digits and a NUL.
const SIZE: std::ops::Range<usize> = 124..136;
/// Where a header has its sum: six octal digits, a NUL and a blank.
const SUM: std::ops::Range<usize> = 148..156;
/// The files in their order, with their largest sizes.
const FILES: [(&str, u64); 2] = [(CONFIG_FILE, MAX_CONFIG_BYTES), (WEIGHTS_FILE, MAX_WEIGHTS_BYTES)];
/// Largest archive.
pub const MAX_ARCHIVE_BYTES: u64 = 6 * BLOCK + MAX_CONFIG_BYTES + MAX_WEIGHTS_BYTES;

/// The archive of the pack in `folder`. Other files there are for people and stay out of it.
///
/// # Errors
/// When a file is missing, unreadable or oversized.
pub fn archive(disk: &dyn Disk, folder: &Path) -> Result<Vec<u8>, Error> {
    let [config, weights] = FILES;
    let read = |(name, limit): (&str, u64)| super::read::read_limited(disk, &folder.join(name), limit);
    Ok(archive_of(&read(config)?, &read(weights)?))
}

/// The archive of a manifest and tensors.
pub fn archive_of(config: &[u8], weights: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for ((name, _), content) in FILES.into_iter().zip([config, weights]) {
        out.extend_from_slice(&header(name, content.len() as u64));
        out.extend_from_slice(content);
        out.resize(padded(out.len() as u64) as usize, 0);
    }
    out.resize(out.len() + 2 * BLOCK as usize, 0);
    out
}

/// Unpacks an archive into a folder that must not exist; what it writes is on the disk when it returns. `name` is what
/// errors call the archive. Not more is read than an archive may have.
///
/// # Errors
/// [`Error::Archive`] with what is wrong, and when the folder cannot be written. A part may be left behind then.
pub fn unpack(archive: &mut dyn Read, name: &Path, folder: &Path) -> Result<(), Error> {
    unpack_unsynced(archive, name, folder)?;
    for (file, _) in FILES {
        let path = folder.join(file);
        File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(path))?;
    }
    files::sync_folder(folder).map_err(Error::io(folder))
}

/// As [`unpack`], for files that can be had again: after a loss of power they may be anything.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_unsynced(archive: &mut dyn Read, name: &Path, folder: &Path) -> Result<(), Error> {
    std::fs::create_dir(folder).map_err(Error::io(folder))?;
    walk(archive, name, |file, content| {
        let path = folder.join(file);
        let mut out = File::create_new(&path).map_err(Error::io(&path))?;
        io::copy(content, &mut out).map_err(Error::io(&path))
    })
}

/// Writes the archive of the pack in `folder`, a piece at a time.
///
/// # Errors
/// As [`archive`], and when `out` does not take it.
pub fn write_archive(folder: &Path, out: &mut dyn Write) -> Result<(), Error> {
    for (name, limit) in FILES {
        let path = folder.join(name);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let bytes = file.metadata().map_err(Error::io(&path))?.len();
        if bytes > limit {
            return Err(Error::TooLarge { path, bytes, limit });
        }
        let (header, zeros) = (header(name, bytes), io::repeat(0).take(padded(bytes) - bytes));
        let mut parts = header.as_slice().chain(file.take(bytes)).chain(zeros);
        io::copy(&mut parts, out).map_err(Error::io(path))?;
    }
    out.write_all(&[0; 2 * BLOCK as usize]).map_err(Error::io(folder))
}

/// Checks that bytes are an archive, without unpacking them.
///
/// # Errors
/// As [`unpack`].
pub fn check_archive(mut archive: &[u8], name: &Path) -> Result<(), Error> {
    walk(&mut archive, name, |_, content| io::copy(content, &mut io::sink()).map_err(Error::io(name)))
}

/// Gives each file's content to `keep`, which tells how much of it came.
fn walk(
    archive: &mut dyn Read,
    name: &Path,
    mut keep: impl FnMut(&str, &mut dyn Read) -> Result<u64, Error>,
) -> Result<(), Error> {
    let wrong = |reason: String| Error::Archive { path: name.into(), reason };
    for (file, limit) in FILES {
        let size = read_header(archive, (file, limit)).map_err(wrong)?;
        let came = keep(file, &mut archive.take(size))?;
        if came != size {
            return Err(wrong(format!("it ends {} bytes before the end of {file}", size - came)));
        }
        read_zeros(archive, padded(size) - size, &format!("behind {file}")).map_err(wrong)?;
    }
    read_zeros(archive, 2 * BLOCK, "at its end").map_err(wrong)?;
    match archive.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(wrong("it goes on behind its end".into())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK) * BLOCK
}

/// Reads the header of a file and gives its size.
fn read_header(archive: &mut dyn Read, (file, limit): (&str, u64)) -> Result<u64, String> {
    let mut found = [0; BLOCK as usize];
    archive.read_exact(&mut found).map_err(|e| format!("the header of {file}: {e}"))?;
    let digits = std::str::from_utf8(&found[SIZE.start..SIZE.end - 1]).unwrap_or_default();
    let size =
        digits.bytes().all(|c| c.is_ascii_digit()).then(|| u64::from_str_radix(digits, 8).ok()).flatten();
    let size = size.ok_or_else(|| format!("the header of {file} has no size"))?;
    if size > limit {
        return Err(format!("{file} has {size} bytes, more than the {limit} allowed"));
    }
    if found != header(file, size) {
        return Err(format!("expected {file}, and a header as this program writes it"));
    }
    Ok(size)
}

fn read_zeros(archive: &mut dyn Read, count: u64, place: &str) -> Result<(), String> {
    let mut found = Vec::new();
    archive.take(count).read_to_end(&mut found).map_err(|e| format!("the padding {place}: {e}"))?;
    match found.len() as u64 == count && found.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(format!("the padding {place} is not {count} zeros")),
    }
}

/// A header of ustar: a plain file of nobody, from 1970.
fn header(name: &str, size: u64) -> [u8; BLOCK as usize] {
    let mut header = [0; BLOCK as usize];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(SIZE.start, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(SUM.start, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
