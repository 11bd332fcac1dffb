//! Whether the folder of packs is still the same one. A volume that is not mounted leaves an empty folder in its place.

use std::io;
use std::path::Path;

use crate::files::{Disk, FileState};

/// The file that the server leaves in the folder of packs, to recognise it.
pub const MARKER_FILE: &str = ".mimi-packs";
/// Longest marker that is read, bytes.
const MARKER_BYTES: u64 = 256;

/// What a look found in the folder's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The folder as it was.
    Same,
    /// Another one, and the reason to think so.
    Other(String),
}

/// The folder of packs as it was last trusted.
#[derive(Debug, Default)]
pub(super) struct Home {
    /// Device and inode.
    place: Option<(u64, u64)>,
    /// What its marker says; none where it could not be written.
    marker: Option<String>,
}

impl Home {
    /// A folder that was not looked at yet, with what its marker said before the start.
    pub(super) fn new(marker: Option<String>) -> Self {
        Self { place: None, marker }
    }

    /// Compares what stands in the folder's place, and its marker, with what stood there before. A folder of the same inode
    /// that is not empty is the same: `rsync --delete` removes the marker.
    pub(super) fn compare(&self, now: FileState, is_empty: bool, found: Option<&str>) -> Found {
        let (is_first, is_here) = (self.place.is_none(), self.place == Some((now.device, now.inode)));
        if (is_first && self.marker.is_none()) || (is_here && !is_empty) {
            return Found::Same;
        }
        let marker = match (found, self.marker.as_deref()) {
            (Some(found), Some(known)) if found == known => return Found::Same,
            (Some(found), Some(known)) => format!("{MARKER_FILE} says {found}, expected {known}"),
            (None, Some(_)) => format!("{MARKER_FILE} is missing"),
            (_, None) => format!("no {MARKER_FILE} could be written to know it by"),
        };
        let what = if is_empty { "an empty folder" } else { "another folder" };
        Found::Other(format!("{what} stands in its place: {marker}"))
    }

    /// Trusts what stands there, with its marker, from now on.
    pub(super) fn adopt(&mut self, now: FileState, marker: Option<String>) {
        (self.place, self.marker) = (Some((now.device, now.inode)), marker);
    }

    /// What its marker says.
    pub(super) fn marker(&self) -> Option<&str> {
        self.marker.as_deref()
    }

    /// Whether it was ever trusted.
    pub(super) fn is_known(&self) -> bool {
        self.place.is_some()
    }
}

/// Content of the marker in a folder; none if there is no marker.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read_marker(disk: &dyn Disk, root: &Path) -> io::Result<Option<String>> {
    match disk.read(&root.join(MARKER_FILE), MARKER_BYTES) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let first = text.lines().next().unwrap_or_default().trim().to_owned();
            Ok((!first.is_empty()).then_some(first))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leaves a marker in a folder that has none, and gives what it says.
///
/// # Errors
/// When it cannot be written.
pub(super) fn make_marker(disk: &dyn Disk, root: &Path) -> io::Result<Option<String>> {
    let made = format!("{:032x}", rand::random::<u128>());
    let text = format!("{made}\nmimi-server knows this folder of packs by this file.\n");
    match disk.create(&root.join(MARKER_FILE), text.as_bytes()) {
        Ok(()) => Ok(Some(made)),
        // Another server was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_marker(disk, root),
        Err(error) => Err(error),
    }
}
