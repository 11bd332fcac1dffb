//! Which images are used, as typed after `train-task` and `compare`.

use std::path::{Path, PathBuf};

use clap::Args;
use mimi_server::train::Origin;

use super::{LimitArgs, WalkArgs};

/// How images are divided.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Held-out images, in the same forms. Default: the validation images of --data, else its test images,
    /// else a share of the training images.
    #[arg(long, value_name = "DIR")]
    pub validation: Option<PathBuf>,
    /// Share of each class to hold out if there are no held-out images, 0 to 1.
    #[arg(long, default_value_t = 0.2, value_parser = part)]
    pub holdout: f64,
    /// Most training images per class, drawn by the seed.
    #[arg(long, value_name = "COUNT")]
    pub per_class: Option<usize>,
    /// Most held-out images per class, drawn by the seed.
    #[arg(long, value_name = "COUNT")]
    pub held_out_per_class: Option<usize>,
    #[command(flatten)]
    pub walk: WalkArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// A share that is neither nothing nor all.
fn part(text: &str) -> Result<f64, String> {
    let share = share(text)?;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("expected more than 0 and less than 1".into()) }
}

/// A number from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("expected 0 to 1".into()) }
}

impl ImagesArgs {
    /// The images in `data`, divided so.
    pub fn origin(&self, data: &Path, seed: u64) -> Origin {
        let Self { validation, holdout, per_class, held_out_per_class, walk, .. } = self;
        Origin {
            data: data.to_owned(),
            validation: validation.clone(),
            holdout: *holdout,
            per_class: *per_class,
            held_out_per_class: *held_out_per_class,
            seed,
            walk: walk.walk(),
            problem: Default::default(),
        }
    }
}
