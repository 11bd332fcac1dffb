//! Checkpoints of the reference MiMi implementation as packs.
//!
//! ```text
//! file -> tensors (source) -> adapters and head (layout, adapters) -> frozen weights compared (frozen)
//!      -> both forms run on random input (check) -> pack
//! ```
//! A checkpoint holds the whole model; adapters as `weight`, or as `weight_orig` with a `weight_mask` whose zero
//! rows are removed neurons. What the masks leave is what a pack holds.

mod adapters;
mod error;
mod frozen;
mod layout;
mod names;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value, json};

pub use adapters::{Adapter, Found};
pub use error::Error;
pub use frozen::Frozen;
pub use layout::Family;

use super::labels;
use super::model::{self, Model};
use super::request::Request;
use crate::backbone::{Activation, BackboneConfig, Module, Site};
use crate::pack::{self, Contents, Decision, Provenance, Weights, self_test_tolerance};
use crate::runtime::Resident;
pub(super) use source::Source;

/// Largest difference of a logit between the two forms, relative to the largest one.
const TOLERANCE: f32 = 1e-5;
/// Random inputs both forms are run on.
const INPUTS: u64 = 4;
/// The reference's model type whose adapters have no non-linearity (docs/method.md section 7).
const LINEAR_TYPE: &str = "swin_adapters_layer";

/// The result.
#[derive(Clone, Debug)]
pub struct Report {
    /// Folder of the new version.
    pub folder: PathBuf,
    /// Whose naming the checkpoint had.
    pub family: Family,
    /// Each adapter's neurons before and after.
    pub sites: Vec<(Site, usize, usize)>,
    /// Classes.
    pub classes: usize,
    /// The frozen weights.
    pub frozen: Frozen,
    /// Largest difference of a logit between both forms, relative to the largest one.
    pub difference: f32,
    /// What somebody should know.
    pub notices: Vec<String>,
}

/// Adapters of a pack.
type Modules = BTreeMap<Module, Weights>;

/// Whether tensors have adapters of the reference implementation.
pub(super) fn is_known(source: &Source) -> bool {
    source.checkpoint.tensors.keys().any(|name| name.contains(layout::MODULE))
}

/// Converts a checkpoint for a backbone, whose files are in `folder`, and writes it as the task's next version.
///
/// # Errors
/// When it is not a checkpoint of the reference implementation, when it does not fit the
/// backbone, or when both forms do not give the same logits; then no version appears.
pub(super) fn import(
    resident: &Resident,
    folder: &Path,
    (request, source): (&Request, Source),
) -> Result<Report> {
    let Source { checkpoint, sha256, model_type, claims } = source;
    let mut found = Found::take(checkpoint)?;
    fit(&found, resident.config())?;
    check_activation(
        found.family,
        model_type.as_deref(),
        (request.activation, resident.config().activation()),
    )?;
    let rest = std::mem::take(&mut found.rest);
    let frozen = frozen::compare(found.family, rest, (resident.config(), folder))?;
    let notices = notices(&mut found, &frozen, request.allow_different_backbone)?;
    let live = found.adapters.iter().filter(|adapter| !adapter.live.is_empty());
    let packed: Modules =
        live.map(|adapter| (Module::adapter(adapter.site), adapter.live_weights())).collect();
    let (model, difference) = compare_forms(resident, &found, &packed)?;
    let mut details = details(&request.from, sha256, (&found, claims));
    if frozen == Frozen::Absent {
        details.insert(pack::BASE_UNVERIFIED.into(), json!(true));
    }
    let sites = found.adapters.iter().map(|a| (a.site, a.neurons, a.live.len())).collect();
    let (family, classes) = (found.family, found.head_bias.len());
    let folder = write(resident, request, (found, packed), (model, details))?;
    Ok(Report { folder, family, sites, classes, frozen, difference, notices })
}

/// What somebody should know; an error where frozen weights differ and may not.
fn notices(found: &mut Found, frozen: &Frozen, may_differ: bool) -> Result<Vec<String>> {
    let mut notices = std::mem::take(&mut found.notices);
    let problem = frozen.problem();
    if let Some(problem) = problem.as_ref().filter(|_| !may_differ) {
        bail!(
            "{problem}. The pack would not give the checkpoint's answers; --allow-different-backbone converts all the same"
        );
    }
    notices.extend(problem);
    if *frozen == Frozen::Absent {
        let absent = "the file has no backbone weights, so it is not known whether they are this backbone's";
        notices.push(absent.into());
    }
    Ok(notices)
}

/// Writes the task's next version.
fn write(
    resident: &Resident,
    request: &Request,
    (found, weights): (Found, Modules),
    (mut model, details): (Model, Map<String, Value>),
) -> Result<PathBuf> {
    let (method, dataset) = ("imported".into(), request.description.clone());
    let contents = Contents {
        labels: labels::of_classes(request.labels.as_deref(), found.head_bias.len())?,
        factored: None,
        small: Default::default(),
        depths: Vec::new(),
        decision: Decision::default(),
        self_test: model::self_test(&mut model)?,
        weights,
        head_weight: found.head_weight,
        head_bias: found.head_bias,
        preprocessing: resident.config().preprocessing.clone(),
        precision: resident.precision(),
        tolerance: self_test_tolerance(resident.precision()),
        provenance: Provenance { method, dataset, details, ..Provenance::default() },
    };
    Ok(pack::write(&request.adapters.join(request.task.as_str()), &contents, resident.config())?)
}

/// Depth and widths must be the backbone's.
fn fit(found: &Found, config: &BackboneConfig) -> Result<()> {
    let depth = found.depth;
    ensure!(
        depth == config.depth(),
        "the checkpoint's {} has {depth} blocks, {} has {}",
        found.family,
        config.name,
        config.depth()
    );
    for Adapter { site, block_width, .. } in &found.adapters {
        let expected = config.block_width(site.block);
        ensure!(
            *block_width == expected,
            "{site} is {block_width} wide in the checkpoint, {expected} in {}",
            config.name
        );
    }
    let (width, expected) = (found.head_width, config.feature_width());
    ensure!(width == expected, "the head reads {width} features, {} gives {expected}", config.name);
    Ok(())
}

/// A pack's adapters have their backbone's non-linearity.
fn check_activation(
    family: Family,
    model_type: Option<&str>,
    (asked, ours): (Option<Activation>, Activation),
) -> Result<()> {
    if model_type == Some(LINEAR_TYPE) && asked.is_none() {
        bail!("adapters of {LINEAR_TYPE} have no non-linearity; this backbone's have {ours:?}");
    }
    let theirs = asked.unwrap_or(family.activation());
    ensure!(
        theirs == ours,
        "the reference's adapters for {family} have {theirs:?}, this backbone's have {ours:?}; give --activation if these were trained with it"
    );
    Ok(())
}

/// Runs the checkpoint's adapters, masked, and the pack's on random input.
fn compare_forms(resident: &Resident, found: &Found, packed: &Modules) -> Result<(Model, f32)> {
    let head = (&found.head_weight[..], &found.head_bias[..]);
    let dense: Modules = found.adapters.iter().map(|a| (Module::adapter(a.site), a.weights())).collect();
    let (mut dense, mut model) = (Model::new(resident, &dense, head)?, Model::new(resident, packed, head)?);
    let (mut largest, mut difference) = (f32::MIN_POSITIVE, 0.0f32);
    for seed in 0..INPUTS {
        let pixels = model::random_pixels(resident.config(), seed);
        for (a, b) in dense.logits(&pixels)?.into_iter().zip(model.logits(&pixels)?) {
            ensure!(a.is_finite() && b.is_finite(), "the checkpoint gives a logit of {a} on random input");
            largest = largest.max(a.abs());
            difference = difference.max((a - b).abs());
        }
    }
    let difference = difference / largest;
    ensure!(
        difference <= TOLERANCE,
        "the pack's logits differ from the masked checkpoint's by {difference:.3e}, relative to the largest"
    );
    Ok((model, difference))
}

fn details(from: &Path, sha256: String, (found, claims): (&Found, Map<String, Value>)) -> Map<String, Value> {
    let neurons = |live: bool| -> usize {
        found.adapters.iter().map(|a| if live { a.live.len() } else { a.neurons }).sum()
    };
    let file = from.file_name().map(|name| name.to_string_lossy().into_owned());
    let pairs = [
        ("file", json!(file)),
        ("file_sha256", json!(sha256)),
        ("layout", json!(found.family.to_string())),
        ("neurons_before", json!(neurons(false))),
        ("neurons", json!(neurons(true))),
        ("claimed", Value::Object(claims)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_must_have_the_backbones_nonlinearity() {
        let check = |family, model_type, asked, ours| {
            check_activation(family, model_type, (asked, ours)).map_err(|error| error.to_string())
        };
        let (gelu, quick) = (Activation::Gelu, Activation::QuickGelu);
        assert_eq!(check(Family::Swin, Some("swin_adapters"), None, gelu), Ok(()));
        assert_eq!(check(Family::Cvt, None, None, quick), Ok(()));
        assert_eq!(check(Family::Cvt, None, Some(gelu), gelu), Ok(()));
        assert!(check(Family::Cvt, None, None, gelu).unwrap_err().contains("CvT have QuickGelu"));
        let linear = check(Family::Swin, Some(LINEAR_TYPE), None, gelu).unwrap_err();
        assert!(linear.contains("no non-linearity"), "{linear}");
    }
}
