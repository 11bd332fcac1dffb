//! Whether the folder of packs is still the same one: a volume that is not mounted leaves an empty folder in its place.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::{Disk, FileState};

/// The file that the server leaves in the folder of packs, to know it again.
pub const MARKER_FILE: &str = ".mimi-packs";
/// Longest marker that is read, bytes.
const MARKER_BYTES: u64 = 256;

/// What a look found in the folder's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The folder as it was.
    Same,
    /// Another one; why it is taken for another.
    Other(String),
}

/// The folder of packs as it was last trusted.
#[derive(Debug)]
pub(super) struct Home {
    root: PathBuf,
    /// Device and inode.
    place: Option<(u64, u64)>,
    /// What its marker says; none where it could not be written.
    marker: Option<String>,
}

impl Home {
    pub(super) fn new(root: &Path, marker: Option<String>) -> Self {
        Self { root: root.to_owned(), place: None, marker }
    }

    /// Compares what stands in the folder's place with what stood there. Whatever is not empty and of the same inode is
    /// the same: `rsync --delete` takes the marker away.
    ///
    /// # Errors
    /// When the marker cannot be read.
    pub(super) fn compare(&self, disk: &dyn Disk, now: FileState, is_empty: bool) -> io::Result<Found> {
        let (is_first, is_here) = (self.place.is_none(), self.place == Some((now.device, now.inode)));
        if (is_first && self.marker.is_none()) || (is_here && !is_empty) {
            return Ok(Found::Same);
        }
        let found = self.read(disk)?;
        if found.is_some() && found == self.marker {
            return Ok(Found::Same);
        }
        let what = if is_empty { "an empty folder" } else { "another folder" };
        let marker = match (&found, &self.marker) {
            (_, None) => format!("no {MARKER_FILE} could be written to know it by"),
            (None, Some(_)) => format!("{MARKER_FILE} is missing"),
            (Some(found), Some(known)) => format!("{MARKER_FILE} says {found}, expected {known}"),
        };
        Ok(Found::Other(format!("{what} stands in its place: {marker}")))
    }

    /// Takes what stands there for the folder of packs from now on, and leaves the marker in it.
    ///
    /// # Errors
    /// When the marker can be neither read nor written; the folder is then known by its inode alone.
    pub(super) fn adopt(&mut self, disk: &dyn Disk, now: FileState) -> io::Result<()> {
        let place = Some((now.device, now.inode));
        if self.place == place && self.read(disk)? == self.marker && self.marker.is_some() {
            return Ok(());
        }
        self.place = place;
        self.marker = None;
        self.marker = match self.read(disk)? {
            Some(found) => Some(found),
            None => {
                let made = format!("{:032x}", rand::random::<u128>());
                let text = format!("{made}\nmimi-server knows this folder of packs by this file.\n");
                match disk.create(&self.root.join(MARKER_FILE), text.as_bytes()) {
                    Ok(()) => Some(made),
                    // Another server was quicker.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.read(disk)?,
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(())
    }

    /// Whatever its marker says is right from now on.
    pub(super) fn forget_marker(&mut self) {
        self.marker = None;
    }

    /// What its marker says.
    pub(super) fn marker(&self) -> Option<&str> {
        self.marker.as_deref()
    }

    /// Whether it was ever trusted.
    pub(super) fn is_known(&self) -> bool {
        self.place.is_some()
    }

    fn read(&self, disk: &dyn Disk) -> io::Result<Option<String>> {
        match disk.read(&self.root.join(MARKER_FILE), MARKER_BYTES) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let first = text.lines().next().unwrap_or_default().trim().to_owned();
                Ok((!first.is_empty()).then_some(first))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
