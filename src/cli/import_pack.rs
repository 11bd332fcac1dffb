//! What was typed after `import-pack`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use mimi_server::import::pack::Request;

use super::RuntimeArgs;
use super::import_backbone::ActivationArg;

/// Options of `import-pack`.
#[derive(Debug, Args)]
pub struct ImportPackArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// The checkpoint: .pth or .pt of torch.save (nothing in it is executed), or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// The task's name.
    #[arg(long)]
    pub task: String,
    /// Class names in the order of the head's rows, one a line; without it they are numbered.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// What the task is and where the checkpoint came from, for the pack's provenance.
    #[arg(long, default_value = "")]
    pub description: String,
    /// Folder of packs; the new version appears there by a rename, where a running server finds it.
    #[arg(long, env = "MIMI_ADAPTERS", default_value = "adapters", value_name = "DIR")]
    pub adapters: PathBuf,
    /// Non-linearity of the checkpoint's adapters, where it is not the reference implementation's (GELU; CvT:
    /// QuickGELU).
    #[arg(long)]
    pub activation: Option<ActivationArg>,
    /// Convert although the checkpoint's frozen weights are not this backbone's.
    #[arg(long)]
    pub allow_different_backbone: bool,
}

impl ImportPackArgs {
    /// What to convert.
    ///
    /// # Errors
    /// When the task's name is none, or the labels cannot be read.
    pub fn request(&self) -> Result<Request> {
        let read = |path: &PathBuf| -> Result<Vec<String>> {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let text = text.trim_start_matches('\u{feff}');
            Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
        };
        Ok(Request {
            from: self.from.clone(),
            task: self.task.parse()?,
            adapters: self.adapters.clone(),
            labels: self.labels.as_ref().map(read).transpose()?,
            description: self.description.clone(),
            activation: self.activation.map(Into::into),
            allow_different_backbone: self.allow_different_backbone,
        })
    }
}
