//! How data sets are walked.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::layout::FolderLayout;
use super::left_out::{LeftOut, write_list};

/// How data sets are walked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// Whether images in folders within a class folder belong to the class.
    pub nested: bool,
    /// What folders mean; detected if none.
    pub layout: Option<FolderLayout>,
    /// File for the list of skipped files. Not part of any identity, as it changes no result.
    #[serde(skip)]
    pub list: Option<PathBuf>,
}

impl Walk {
    /// Runs a listing and writes the list of skipped files, even if the listing fails.
    pub(super) fn listed<T>(
        &self,
        list: impl FnOnce(&mut Vec<LeftOut>) -> Result<T>,
    ) -> Result<(T, Vec<LeftOut>)> {
        let mut left_out = Vec::new();
        let listed = list(&mut left_out);
        let written = self.write(&left_out);
        let listed = listed?;
        written?;
        Ok((listed, left_out))
    }

    /// Writes the list of skipped files, if one is wanted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, left_out: &[LeftOut]) -> Result<()> {
        self.list.as_deref().map_or(Ok(()), |file| write_list(file, left_out))
    }
}
