//! What was typed after `publish`, `rollback`, `versions`, `gc`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use mimi_server::pack::TaskId;
use mimi_server::shelf::{PackSource, Sweep, open_source};

use super::clouds::settings;

/// The source of packs.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// A folder of packs, or a store: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX.
    #[arg(long = "in", visible_alias = "to", env = "MIMI_PACKS", value_name = "SOURCE")]
    source: String,
}

impl SourceArgs {
    /// Opens it.
    ///
    /// # Errors
    /// When the address is none.
    pub fn open(&self) -> Result<Arc<dyn PackSource>> {
        Ok(open_source(&self.source, &settings(), None)?)
    }
}

/// Options of `publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// A folder of packs, or a store: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX.
    #[arg(long, env = "MIMI_PACKS", value_name = "SOURCE", required_unless_present = "pack_to")]
    to: Option<String>,
    /// The task.
    #[arg(long, required_unless_present = "pack_to")]
    pub task: Option<TaskId>,
    /// The version's number. The default is the next one. The same pack again under the same number changes nothing.
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// Label that names the version from now on. The version that is stable answers.
    #[arg(long, default_value = "stable", value_name = "NAME")]
    label: String,
    /// Move no label: the version is there and does not answer.
    #[arg(long)]
    no_label: bool,
    /// Only write the .mipack file; nothing is published, whatever --to says.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["version", "no_label"])]
    pub pack_to: Option<PathBuf>,
    /// A version's folder, or a .mipack file.
    pub path: PathBuf,
}

impl PublishArgs {
    /// The label to move.
    pub fn label(&self) -> Option<String> {
        (!self.no_label).then(|| self.label.clone())
    }

    /// Opens the source.
    ///
    /// # Errors
    /// When the address is none.
    pub fn open(&self) -> Result<Arc<dyn PackSource>> {
        Ok(open_source(self.to.as_deref().unwrap_or_default(), &settings(), None)?)
    }
}

/// Options of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// The task.
    #[arg(long)]
    pub task: TaskId,
    /// The version that is to answer. The default is the one before the version that answers now.
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// The label to move.
    #[arg(long, default_value = "stable", value_name = "NAME")]
    pub label: String,
}

/// Options of `versions`.
#[derive(Debug, Args)]
pub struct VersionsArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// The task.
    #[arg(long)]
    pub task: TaskId,
    /// Print the pointer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// How many of each task's newest versions stay, whatever names them. What a label names stays too, and so does the
    /// version before the stable one.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Age from which a blob that nothing names is removed, hours. Longer than any publishing lasts.
    #[arg(long, default_value_t = 24, value_name = "HOURS")]
    grace_hours: u64,
    /// Only tell what would be removed.
    #[arg(long)]
    pub dry_run: bool,
}

impl GcArgs {
    /// What may be taken away.
    pub fn sweep(&self) -> Sweep {
        Sweep {
            keep: self.keep.into(),
            grace: Duration::from_secs(self.grace_hours.saturating_mul(3600)),
            is_dry: self.dry_run,
        }
    }
}
