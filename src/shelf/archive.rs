//! A version as one file: in memory, or coming in pieces to a file of this disk.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;

use super::blocking::blocking;
use super::digest::Digest;
use super::error::Error;

/// What errors call the file of an archive, which has no name.
const FILE: &str = "coming";

/// The `.mipack` of a version. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    content: Content,
    bytes: u64,
    digest: Digest,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    /// A file that nobody else can open.
    Disk(Arc<File>),
}

/// Hashes the bytes.
impl From<Bytes> for Archive {
    fn from(bytes: Bytes) -> Self {
        Self { bytes: bytes.len() as u64, digest: Digest::of(&bytes), content: Content::Memory(bytes) }
    }
}

impl From<Vec<u8>> for Archive {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Archive {
    /// Its length, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of it.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its bytes from the beginning. Reading may wait for the disk.
    pub fn reader(&self) -> Box<dyn Read + Send + '_> {
        match &self.content {
            Content::Memory(bytes) => Box::new(&bytes[..]),
            Content::Disk(file) => Box::new(At { file, at: 0 }),
        }
    }

    /// At most `most` of its bytes from `at` on.
    pub(super) async fn part(&self, at: u64, most: u64) -> Result<Bytes, Error> {
        let length = most.min(self.bytes.saturating_sub(at)) as usize;
        match &self.content {
            Content::Memory(bytes) => Ok(bytes.slice(at as usize..at as usize + length)),
            Content::Disk(file) => {
                let file = Arc::clone(file);
                blocking(move || {
                    let mut part = vec![0; length];
                    file.read_exact_at(&mut part, at).map_err(Error::io(FILE))?;
                    Ok(part.into())
                })
                .await
            }
        }
    }
}

/// Reads a file from a place of its own, so that several may read it.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(out, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// An archive that comes in pieces. Its file has no name: it goes with whoever reads it last, however that ends.
#[derive(Debug)]
pub struct Incoming {
    file: tokio::fs::File,
    hash: Sha256,
    bytes: u64,
}

impl Incoming {
    /// One of which nothing has come, on the disk of `folder`. Waits for the disk.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        let file = tempfile::tempfile_in(folder).map_err(Error::io(folder))?;
        Ok(Self { file: tokio::fs::File::from_std(file), hash: Sha256::new(), bytes: 0 })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        self.file.write_all(piece).await.map_err(Error::io(FILE))
    }

    /// What has come.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn finish(mut self) -> Result<Archive, Error> {
        self.file.flush().await.map_err(Error::io(FILE))?;
        let content = Content::Disk(Arc::new(self.file.into_std().await));
        Ok(Archive { content, bytes: self.bytes, digest: Digest::finished(self.hash) })
    }
}
