//! Which copies are what their names say. A copy is not flushed to the disk when it is written, so one of an earlier process
//! may be torn by a loss of power. Its bytes are hashed before this process reads it for the first time.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::digest::Digest;
use super::error::Error;

/// Most digests that are remembered, about 10 MB. Beyond that all are forgotten, and copies hashed once more.
const MOST: usize = 1 << 16;

/// Digests of copies that this process has hashed or written.
#[derive(Clone, Debug, Default)]
pub(super) struct Verified(Arc<Mutex<HashSet<Digest>>>);

impl Verified {
    /// Remembers that a copy has the bytes of its name.
    pub(super) fn note(&self, digest: &Digest) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(digest.clone());
    }

    /// Forgets a copy that goes.
    pub(super) fn forget(&self, digest: &Digest) {
        self.known().remove(digest);
    }

    /// Whether the copy in a folder has the bytes of its name. Waits for the disk.
    ///
    /// # Errors
    /// When the disk cannot tell.
    pub(super) fn holds(&self, digest: &Digest, folder: &Path) -> Result<bool, Error> {
        if self.known().contains(digest) {
            return Ok(true);
        }
        match Digest::of_pack(folder) {
            Ok(found) if found == *digest => {
                self.note(digest);
                Ok(true)
            }
            Err(error) if error.is_of_reading() => Err(error.into()),
            // Other bytes, or a file is missing or too long.
            Ok(_) | Err(_) => Ok(false),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
