//! What was typed after `import-pack`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use mimi_server::import::pack::{Check, Request, labels_of_config};

use super::RuntimeArgs;
use super::import_backbone::ActivationArg;

/// Options of `import-pack`.
#[derive(Debug, Args)]
pub struct ImportPackArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// What to import: a folder of Hugging Face PEFT, or a checkpoint of the reference MiMi implementation (.pth, .pt
    /// or .safetensors). It is recognised by its content, and nothing in it is executed.
    #[arg(long, value_name = "PATH")]
    pub from: PathBuf,
    /// The task's name.
    #[arg(long)]
    pub task: String,
    /// File with the class names in the order of the head's rows, one per line, or a config.json with id2label.
    /// Without it, the names are those that the pack has, else numbers.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// What the task is and where the checkpoint came from, for the pack's provenance.
    #[arg(long, default_value = "")]
    pub description: String,
    /// Folder of packs. The new version appears there by a rename, and a running server finds it.
    #[arg(long, env = "MIMI_ADAPTERS", default_value = "adapters", value_name = "DIR")]
    pub adapters: PathBuf,
    /// Non-linearity of the checkpoint's adapters, if it is not the reference implementation's (GELU; CvT:
    /// QuickGELU).
    #[arg(long)]
    pub activation: Option<ActivationArg>,
    /// Convert even if the checkpoint's frozen weights are not this backbone's.
    #[arg(long)]
    pub allow_different_backbone: bool,
    /// The head, where there is none beside the adapters: a file with a weight and a bias.
    #[arg(long, value_name = "FILE")]
    pub head: Option<PathBuf>,
    /// Proves the backbone: a folder of images (or a file that lists them), and the logits that the library gave
    /// them, one row an image in the order of the names (.npy, .safetensors or .json). No pack is written if they
    /// differ.
    #[arg(long, num_args = 2, value_names = ["IMAGES", "LOGITS"])]
    pub check: Option<Vec<PathBuf>>,
}

impl ImportPackArgs {
    /// What to convert.
    ///
    /// # Errors
    /// When the task's name is not a task id, or the labels cannot be read.
    pub fn request(&self) -> Result<Request> {
        Ok(Request {
            from: self.from.clone(),
            task: self.task.parse()?,
            adapters: self.adapters.clone(),
            labels: self.labels.as_deref().map(labels).transpose()?,
            description: self.description.clone(),
            activation: self.activation.map(Into::into),
            allow_different_backbone: self.allow_different_backbone,
            head: self.head.clone(),
            check: match self.check.as_deref() {
                Some([images, logits]) => Some(Check { images: images.clone(), logits: logits.clone() }),
                _ => None,
            },
        })
    }
}

/// The lines of a text, or the labels of a configuration.
fn labels(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let text = text.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with('{') {
        let lines = text.lines().map(|line| line.trim().to_owned());
        return Ok(lines.filter(|line| !line.is_empty()).collect());
    }
    let json = serde_json::from_str(text).with_context(|| path.display().to_string())?;
    let labels = labels_of_config(&json).map_err(|reason| anyhow!("{}: {reason}", path.display()))?;
    labels.with_context(|| format!("{}: has neither id2label nor label2id", path.display()))
}
