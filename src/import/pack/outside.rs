//! Another library's pack, once read, as one of ours.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::extract::Extract;
use super::labels;
use super::model::{self, Model};
use super::proof;
use super::report::{Proof, Report};
use super::request::Request;
use super::tensors::read_json;
use crate::pack::{self, Contents, Decision, Provenance, SelfTest, self_test_tolerance};
use crate::runtime::Resident;

/// Writes what was found as the task's next version.
///
/// # Errors
/// When there is no head, the labels are too few or too many, or the answers are not those of the check; then no
/// version appears.
pub(super) fn write(resident: &Resident, request: &Request, mut found: Extract) -> Result<Report> {
    let head = found
        .head
        .take()
        .with_context(|| format!("{}: the pack has no head; give one with --head", request.from.display()))?;
    let labels = labels_of(request, found.labels.take())?;
    let labels = labels::of_classes(labels.as_deref(), head.bias.len())?;
    let mut model = Model::new(resident, &found.modules, (&head.weight, &head.bias))?;
    let self_test = self_test(&mut model, &request.from)?;
    let check = request.check.as_ref().map(|check| proof::prove(&mut model, check, resident.precision()));
    let proof = check.transpose()?;
    let notices = notices(&found, proof, &resident.config().name);
    let provenance = provenance(request, &found, proof);
    let modules = found.modules.iter().map(|(module, weights)| (*module, weights.width)).collect();
    let (layout, classes) = (found.layout, labels.len());
    let contents = Contents {
        labels,
        factored: None,
        small: Default::default(),
        depths: Vec::new(),
        decision: Decision::default(),
        self_test,
        weights: found.modules,
        head_weight: head.weight,
        head_bias: head.bias,
        preprocessing: resident.config().preprocessing.clone(),
        precision: resident.precision(),
        tolerance: self_test_tolerance(resident.precision()),
        provenance,
    };
    let folder = pack::write(&request.adapters.join(request.task.as_str()), &contents, resident.config())?;
    Ok(Report { folder, layout, modules, classes, proof, notices })
}

fn self_test(model: &mut Model, from: &Path) -> Result<SelfTest> {
    let test = model::self_test(model)?;
    let is_finite = test.logits.iter().flatten().all(|logit| logit.is_finite());
    ensure!(is_finite, "{}: the logits of noise are not finite", from.display());
    Ok(test)
}

fn provenance(request: &Request, found: &Extract, proof: Option<Proof>) -> Provenance {
    let (method, dataset) = ("imported".into(), request.description.clone());
    Provenance { method, dataset, details: details(found, proof), ..Provenance::default() }
}

/// The labels given, else those of the files, else those of the base's `config.json` where it lies beside them.
fn labels_of(request: &Request, own: Option<Vec<String>>) -> Result<Option<Vec<String>>> {
    if let Some(labels) = request.labels.clone().or(own) {
        return Ok(Some(labels));
    }
    let path = request.from.join("config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let labels = labels::labels_of_config(&read_json(&path)?);
    labels.map_err(|reason| super::Refused::file(&path, reason).into())
}

fn notices(found: &Extract, proof: Option<Proof>, name: &str) -> Vec<String> {
    let mut notices = Vec::new();
    if let Some(base) =
        found.claimed_base.as_ref().filter(|base| Path::new(base).file_name() != Some(name.as_ref()))
    {
        notices.push(format!("the pack names {base} as its base; it will be served on {name}"));
    }
    if proof.is_none() {
        notices.push(format!(
            "nothing proves that {name} is the backbone this was trained on; --check IMAGES LOGITS does"
        ));
    }
    notices
}

fn details(found: &Extract, proof: Option<Proof>) -> Map<String, Value> {
    let mut details = Map::new();
    details.insert("file".into(), json!(found.file));
    details.insert("file_sha256".into(), json!(found.sha256));
    details.insert("layout".into(), json!(found.layout));
    details.insert("claimed_base".into(), json!(found.claimed_base));
    match proof {
        Some(Proof { images, difference, allowed }) => details.insert(
            "base_check".into(),
            json!({"images": images, "largest_difference": difference, "allowed": allowed}),
        ),
        None => details.insert(pack::BASE_UNVERIFIED.into(), json!(true)),
    };
    details
}
