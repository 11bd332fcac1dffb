//! The files of TLS as bytes, and whether they changed.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::options::{ClientTls, TlsOptions};
use crate::files::{Disk as _, FileState, System};

/// Largest file, bytes: lists of revoked certificates can be long.
const MOST: u64 = 16 << 20;
/// A file that changed so shortly before it was looked at may change again within its time stamp's grain.
const FRESH: Duration = Duration::from_secs(2);

/// The stamps of all files; none where a file is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<FileState>>);

impl Stamps {
    /// Looks at the files.
    pub(super) fn of(options: &TlsOptions) -> Self {
        Self(files(options).map(|file| System.state(file).ok()).collect())
    }

    /// Whether every change since would show.
    pub(super) fn are_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.iter().flatten().all(|stamp| {
            let changed = Duration::from_secs(u64::try_from(stamp.changed.0).unwrap_or(0));
            now.saturating_sub(changed) > FRESH
        })
    }
}

fn files(options: &TlsOptions) -> impl Iterator<Item = &Path> {
    let more = options.clients.iter().flat_map(|clients| [Some(&clients.ca), clients.crl.as_ref()]).flatten();
    [&options.cert, &options.key].into_iter().chain(more).map(AsRef::as_ref)
}

/// What is in the files.
pub(super) struct Contents {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) clients: Option<ClientContents>,
}

/// What is in the files about clients.
pub(super) struct ClientContents {
    pub(super) ca: Vec<u8>,
    pub(super) crl: Option<Vec<u8>>,
}

impl Contents {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub(super) fn read(options: &TlsOptions) -> Result<Self> {
        let clients = options.clients.as_ref().map(ClientContents::read).transpose()?;
        Ok(Self { cert: read(&options.cert)?, key: read(&options.key)?, clients })
    }

    /// Differs when the contents do.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let more =
            self.clients.iter().flat_map(|clients| [Some(&clients.ca), clients.crl.as_ref()]).flatten();
        for bytes in [&self.cert, &self.key].into_iter().chain(more) {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
        digest.finalize().into()
    }
}

impl ClientContents {
    fn read(options: &ClientTls) -> Result<Self> {
        Ok(Self { ca: read(&options.ca)?, crl: options.crl.as_deref().map(read).transpose()? })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    read_bounded(path).with_context(|| path.display().to_string())
}

fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    // Opening a pipe would wait for its writer.
    ensure!(std::fs::metadata(path)?.is_file(), "is not a file");
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MOST, "is larger than {} MiB", MOST >> 20);
    Ok(bytes)
}
