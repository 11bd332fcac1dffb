//! Whether a trained pack may go where the server looks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use super::evaluate::{Labelled, evaluate_alone};
use crate::files::System;
use crate::pack::{self, Pack, TaskId};
use crate::runtime::{Expander, Resident};
use crate::train::data::dataset::image::Image;
use crate::train::data::truth::Truths;
use crate::train::setup::Setup;

/// What scores that are no counts may differ by between a model in training and its pack.
const ROUNDING: f64 = 1e-6;

/// What a pack must reach to be published.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    /// Least accuracy on the held-out images, 0 to 1.
    pub accuracy: Option<f64>,
    /// Whether it must do at least as well as the newest version, both on this training's held-out images.
    pub not_below_live: bool,
    /// Folder for packs that are held back, in the layout of the folder of packs.
    pub held_back: PathBuf,
}

/// The held-out side of a training, as the gate sees it.
pub struct Candidate<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The folder of packs.
    pub adapters: &'a Path,
    /// Class names.
    pub labels: &'a [String],
    /// The held-out images.
    pub held_out: &'a [Image],
    /// What they show.
    pub truths: &'a Truths,
    /// Score on these.
    pub accuracy: f64,
}

impl Gate {
    /// Why a candidate must not be published; none if it may.
    ///
    /// # Errors
    /// When the newest version cannot be measured.
    pub fn refuses(&self, setup: &Setup, candidate: &Candidate<'_>) -> Result<Option<String>> {
        let own = candidate.accuracy;
        if let Some(least) = self.accuracy.filter(|&least| own < least) {
            let score = candidate.truths.problem().score();
            return Ok(Some(format!("its held-out {score} {own:.4} is below {least:.4}")));
        }
        let live = if self.not_below_live { newest(&setup.resident, candidate)? } else { None };
        let Some(Live { version, pack: live }) = live else { return Ok(None) };
        if live.manifest.labels != candidate.labels {
            let (old, new) = (live.manifest.labels.len(), candidate.labels.len());
            return Ok(Some(format!("version {version} has other classes ({old}, this one {new})")));
        }
        let (theirs, ours) = (live.manifest.problem_type, candidate.truths.problem());
        if theirs != ours {
            return Ok(Some(format!("version {version} is a {theirs}, this one a {ours}")));
        }
        // Outputs of a pack are in the values' own units.
        let truths = &candidate.truths.in_own_units();
        let labelled = Labelled { images: candidate.held_out, truths };
        let theirs = evaluate_alone(setup, candidate.task, &Arc::new(live), labelled)?.accuracy();
        let reason = || {
            let score = ours.score();
            format!("its {score} {own:.4} is below version {version}'s {theirs:.4} on the same images")
        };
        let slack = if ours.is_single_label() { 0.0 } else { ROUNDING };
        Ok((own < theirs - slack).then(reason))
    }
}

/// The version that serves.
struct Live {
    version: u64,
    pack: Pack,
}

/// The newest version that can be read.
fn newest(resident: &Resident, candidate: &Candidate<'_>) -> Result<Option<Live>> {
    let folder = candidate.adapters.join(candidate.task.as_str());
    if !folder.try_exists()? {
        return Ok(None);
    }
    let base = Expander::base(resident)?;
    for version in pack::versions(&folder)?.into_iter().rev() {
        match pack::read_with(&System, &folder.join(version.to_string()), &base) {
            Ok((pack, _)) => return Ok(Some(Live { version, pack })),
            // What the system could not read may well be the live version.
            Err(error) if error.is_of_reading() => return Err(error.into()),
            // As the server does: a broken version is skipped for the one before.
            Err(_) => {}
        }
    }
    Ok(None)
}
