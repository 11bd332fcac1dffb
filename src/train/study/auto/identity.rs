//! Which choice a state belongs to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::asked::AutoOptions;
use super::state::State;
use crate::backbone::hex;
use crate::runtime::rounding;
use crate::train::data::dataset::image::Image;
use crate::train::data::dataset::partition::Partition;
use crate::train::data::load::add_image;
use crate::train::fingerprint::{Fingerprint, ROUNDING};
use crate::train::setup::Setup;

/// What earlier processes measured. A choice that begins forgets the trainings of one whose record was removed.
pub(super) fn opened(setup: &Setup, options: &AutoOptions, all: &Partition) -> Result<State> {
    let path = options.task.checkpoint.with_extension("auto.json");
    let state = State::open(&path, &identity(setup, options, all)?)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    if state.records().is_empty() {
        sweep(&options.task.checkpoint)?;
    }
    Ok(state)
}

/// Whether a choice calls a training so. Another task may have a name that begins like this one's files.
fn is_own(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_on_rung = || name.split_once('-').is_some_and(|(rung, place)| is_number(rung) && is_number(place));
    matches!(name, "timed" | "winner" | "head") || is_on_rung()
}

fn sweep(checkpoint: &Path) -> Result<()> {
    let (Some(folder), Some(stem)) = (checkpoint.parent(), checkpoint.file_stem()) else { return Ok(()) };
    let begin = format!("{}.auto-", stem.to_string_lossy());
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let own = name.strip_prefix(&begin).and_then(|name| name.strip_suffix(".safetensors"));
        if own.is_some_and(is_own) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Identity of the state: anything else would choose or train otherwise.
fn identity(setup: &Setup, options: &AutoOptions, all: &Partition) -> Result<Fingerprint> {
    let told: Vec<(&str, &[String], Map<String, Value>)> = options
        .candidates
        .iter()
        .map(|one| (one.name.as_str(), &one.options[..], one.method.get().settings()))
        .collect();
    Fingerprint::default()
        .with("version", &env!("CARGO_PKG_VERSION"))?
        .with("backbone", &setup.resident.identity())?
        .with("origin", &options.task.images)?
        .with("images", &digest([&all.train, &all.validation, &all.test]))?
        .with("candidates", &told)?
        .with("limit", &options.limit)?
        .with("prefer", &options.prefer)?
        .with("seed", &options.seed)?
        .with("memory", &options.task.memory)?
        .with("limits.max_bytes", &setup.limits.max_bytes)?
        .with("limits.max_pixels", &setup.limits.max_pixels)?
        .with(ROUNDING, &rounding(setup.resident.runtime())?)
}

/// SHA-256 of classes and paths.
fn digest(parts: [&[Image]; 3]) -> String {
    let mut digest = Sha256::new();
    for images in parts {
        digest.update((images.len() as u64).to_le_bytes());
        images.iter().for_each(|image| add_image(&mut digest, image.class, &image.path));
    }
    hex(&digest.finalize())
}
