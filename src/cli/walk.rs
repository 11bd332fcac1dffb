//! How labelled data are walked, as typed after `train-task`, `eval` and `compare`.

use std::path::PathBuf;

use clap::Args;
use mimi_server::train::{FolderLayout, Walk};

/// How data are walked.
#[derive(Clone, Debug, Args)]
pub struct WalkArgs {
    /// Take images from folders inside a class folder too. Without it they are left out.
    #[arg(long)]
    nested: bool,
    /// What the folders of the data are: classes (FOLDER/CLASS/IMAGE) or splits (FOLDER/SPLIT/CLASS/IMAGE).
    /// Needed only if both are possible.
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<FolderLayout>,
    /// CSV file to write: every file that is left out, and why.
    #[arg(long, value_name = "FILE")]
    pub list_skipped: Option<PathBuf>,
}

impl WalkArgs {
    /// What the options mean.
    pub fn walk(&self) -> Walk {
        Walk { nested: self.nested, layout: self.layout, list: self.list_skipped.clone() }
    }
}
