//! Whether a pack's answers are those that its library gave: that proves the backbone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::arrays::{Array, read_npy};
use super::model::Model;
use super::refused::Refused;
use super::report::Proof;
use super::request::Check;
use super::tensors::{MAX_BYTES, Tensors, read_json, read_limited};
use crate::backbone::Precision;
use crate::pack::self_test_tolerance;

/// Largest difference of a logit, relative to the largest one: libraries resize images a little differently.
const TOLERANCE: f32 = 1e-2;
/// Largest image that is read, bytes.
const MAX_IMAGE_BYTES: u64 = 64 << 20;
/// Most images.
const MOST_IMAGES: usize = 10_000;

/// Compares the model's logits with the library's.
///
/// # Errors
/// When a file cannot be read, the rows are not as many as the images, or the answers differ.
pub(super) fn prove(model: &mut Model, check: &Check, precision: Precision) -> Result<Proof> {
    let images = images(&check.images)?;
    let expected = rows(&check.logits)?;
    ensure!(
        images.len() == expected.len(),
        "{} images in {}, but {} rows in {}",
        images.len(),
        check.images.display(),
        expected.len(),
        check.logits.display()
    );
    let (mut largest, mut difference) = (f32::MIN_POSITIVE, 0.0f32);
    for (image, expected) in images.iter().zip(&expected) {
        let logits = answer(model, image, expected).with_context(|| check.logits.display().to_string())?;
        for (ours, theirs) in logits.iter().zip(expected) {
            largest = largest.max(theirs.abs());
            difference = difference.max((ours - theirs).abs());
        }
    }
    let proof = Proof {
        images: images.len(),
        difference: difference / largest,
        allowed: TOLERANCE.max(self_test_tolerance(precision)),
    };
    ensure!(
        proof.difference <= proof.allowed,
        "the pack's logits differ from those in {} by {:.3e} of the largest, more than {:.0e}: another backbone, other \
         preprocessing, or images in another order",
        check.logits.display(),
        proof.difference,
        proof.allowed
    );
    Ok(proof)
}

/// The model's logits of an image, as many as the library's and as finite.
fn answer(model: &mut Model, image: &Path, expected: &[f32]) -> Result<Vec<f32>> {
    let bytes = read_limited(image, MAX_IMAGE_BYTES)?;
    let logits = model.logits_of(&bytes).with_context(|| image.display().to_string())?;
    let (classes, found) = (logits.len(), expected.len());
    ensure!(classes == found, "{found} logits a row, but {classes} classes");
    let odd = logits.iter().chain(expected).find(|logit| !logit.is_finite());
    ensure!(odd.is_none(), "a logit of {}", odd.unwrap_or(&f32::NAN));
    Ok(logits)
}

/// The files of a folder by name, or the lines of a list, which are relative to its folder.
fn images(path: &Path) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
            let entry = entry.with_context(|| path.display().to_string())?.path();
            if entry.is_file() {
                images.push(entry);
            }
        }
        images.sort();
    } else {
        let bytes = read_limited(path, MAX_IMAGE_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|_| Refused::file(path, "is no text"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        images.extend(
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| folder.join(line)),
        );
    }
    let count = images.len();
    ensure!(
        (1..=MOST_IMAGES).contains(&count),
        "{}: {count} images, expected 1 to {MOST_IMAGES}",
        path.display()
    );
    Ok(images)
}

/// The rows of a file of logits.
fn rows(path: &Path) -> Result<Vec<Vec<f32>>> {
    let (shape, data) = match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "npy" => match read_npy(&read_limited(path, MAX_BYTES)?).map_err(|e| Refused::file(path, e))? {
            Array::Numbers(tensor) => (tensor.shape, tensor.data),
            Array::Text(_) => return Err(Refused::file(path, "holds texts, expected numbers").into()),
        },
        "safetensors" => {
            let tensors = Tensors::read(path)?.tensors;
            let only = if tensors.len() == 1 { tensors.values().next() } else { tensors.get("logits") };
            let tensor = only.ok_or_else(|| Refused::key(path, "logits", "is missing"))?;
            (tensor.shape.clone(), tensor.data.clone())
        }
        "json" => {
            let rows = serde_json::from_value::<Vec<Vec<f32>>>(read_json(path)?);
            return Ok(rows.map_err(|e| Refused::file(path, format!("expected a list of rows: {e}")))?);
        }
        _ => return Err(Refused::file(path, "expected a file ending in .npy, .safetensors or .json").into()),
    };
    match shape[..] {
        [_, columns] if columns > 0 => Ok(data.chunks(columns).map(<[f32]>::to_vec).collect()),
        _ => Err(Refused::file(path, format!("has shape {shape:?}, expected one row an image")).into()),
    }
}
