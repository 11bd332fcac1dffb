//! What an import of another library's pack gives.

use std::path::PathBuf;

use crate::backbone::Module;

/// The result.
#[derive(Clone, Debug)]
pub struct Report {
    /// Folder of the new version.
    pub folder: PathBuf,
    /// What the files were recognised as.
    pub layout: String,
    /// Modules and their widths.
    pub modules: Vec<(Module, usize)>,
    /// Classes.
    pub classes: usize,
    /// How the backbone was proved; none where nothing proves it.
    pub proof: Option<Proof>,
    /// What somebody should know.
    pub notices: Vec<String>,
}

/// How far the pack's answers are from those of the library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// Images compared.
    pub images: usize,
    /// Largest difference of a logit, relative to the largest one.
    pub difference: f32,
    /// The largest that is allowed.
    pub allowed: f32,
}
