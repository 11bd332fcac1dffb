//! An automatic choice of the method, as typed after `train-task`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mimi_server::train::study::auto::{Limit, Prefer};

/// Options of an automatic choice.
#[derive(Debug, Args)]
#[command(next_help_heading = "Automatic choice")]
pub struct AutoArgs {
    /// Choose the method on a split of the training images within --minutes, then train it on all of them. Heads,
    /// heads on several depths, BitFit, SSF, Adapter+ and MiMi are tried. The same command continues an interrupted choice.
    // A group is empty where its structure holds another one, so that the options of MiMi are named.
    #[arg(long, conflicts_with_all = [
        "method", "cycles", "tasks_file", "RecipeArgs", "PruningArgs", "AugmentArgs", "sigma_0", "widths",
        "sigma", "parameters", "accuracy", "rho", "first_block", "smoothing", "clip", "drop_path", "rank", "settings",
        "bits", "prunes", "micro_batch",
    ])]
    pub auto: bool,
    /// How long --auto may take in all, minutes. A head alone is trained whatever this says.
    #[arg(long, default_value_t = 10.0, requires = "auto", value_parser = minutes)]
    pub minutes: f64,
    /// What --auto chooses by among candidates that are as good on the split.
    #[arg(long, default_value = "accuracy", requires = "auto")]
    pub prefer: PreferArg,
    /// Train candidates for this many epochs first, whatever the time: the same choice on every machine.
    #[arg(long, value_name = "EPOCHS", requires = "auto", conflicts_with = "minutes", value_parser = epochs)]
    pub rung_epochs: Option<usize>,
    /// Folder for reports of --auto: report.json, report.md and report.html in a folder of the task's name.
    #[arg(long, default_value = "auto-reports", value_name = "DIR", requires = "auto")]
    pub auto_reports: PathBuf,
}

/// What decides among candidates that are as good.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PreferArg {
    /// The most accurate, unless a clearly cheaper one is as good.
    Accuracy,
    /// Of those as good as the most accurate, the one with the least FLOPs of one image under eight such tasks.
    Cost,
    /// Of those, the smallest pack.
    Bytes,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if minutes > 0.0 && minutes.is_finite() { Ok(minutes) } else { Err("expected more than 0".into()) }
}

fn epochs(text: &str) -> Result<usize, String> {
    let epochs: usize = text.parse().map_err(|error| format!("{error}"))?;
    if epochs > 0 { Ok(epochs) } else { Err("expected at least 1".into()) }
}

impl AutoArgs {
    /// How long a choice may take.
    pub fn limit(&self) -> Limit {
        self.rung_epochs.map_or(Limit::Seconds(60.0 * self.minutes), Limit::Epochs)
    }

    /// What decides among candidates that are as good.
    pub fn prefer(&self) -> Prefer {
        match self.prefer {
            PreferArg::Accuracy => Prefer::Accuracy,
            PreferArg::Cost => Prefer::Cost,
            PreferArg::Bytes => Prefer::Bytes,
        }
    }
}
