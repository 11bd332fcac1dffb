//! What is asked of an import.

use std::path::PathBuf;

use crate::backbone::Activation;
use crate::pack::TaskId;

/// What to convert.
#[derive(Clone, Debug)]
pub struct Request {
    /// A checkpoint or head, or a folder of PEFT's or AdapterHub's.
    pub from: PathBuf,
    /// The task's name.
    pub task: TaskId,
    /// Folder of packs.
    pub adapters: PathBuf,
    /// Class names in the order of the head's rows; else what the files say, else numbers.
    pub labels: Option<Vec<String>>,
    /// What the task is, for the pack's provenance.
    pub description: String,
    /// Non-linearity of the reference implementation's adapters, where it is not the usual one for that backbone.
    pub activation: Option<Activation>,
    /// Whether frozen weights may differ from the backbone's.
    pub allow_different_backbone: bool,
    /// A head, where there is none beside the adapters or another is wanted.
    pub head: Option<PathBuf>,
    /// Answers that prove the backbone.
    pub check: Option<Check>,
}

/// Images, and the logits that the library gave them.
#[derive(Clone, Debug)]
pub struct Check {
    /// A folder of images, taken in the order of their names, or a file that lists them.
    pub images: PathBuf,
    /// One row an image: `.npy`, `.safetensors` or `.json`.
    pub logits: PathBuf,
}
