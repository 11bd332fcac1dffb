//! Writing a pack: a folder beside, then one rename.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::small::{CODES, HEAD_WEIGHT, SCALE, Small};
use super::stored_bits::StoredBits;
use super::{
    CONFIG_FILE, Decision, Error, FORMAT_VERSION, Factored, Manifest, PEFT_TYPE, Provenance, SelfTest,
    SelfTestInfo,
};
use super::{WEIGHTS_FILE, Weights, tensor_key, transpose, versions};
use crate::backbone::{BackboneConfig, Form, Module, ModuleSet, Part, Precision, Site, sha256_hex};
use crate::files;
use crate::graph::ParameterName;
use crate::image::Preprocessing;

/// What a trainer puts into a pack.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The modules.
    pub weights: BTreeMap<Module, Weights>,
    /// What they are made of, where that is kept instead.
    pub factored: Option<Factored>,
    /// Matrices that are kept at few bits, by name, laid out `[in, out]`; the values beside must be what they expand to.
    pub small: BTreeMap<ParameterName, Small>,
    /// Depths that the head reads, ascending; none where it reads the backbone's feature.
    pub depths: Vec<usize>,
    /// Head weight `[C, D]`, row-major.
    pub head_weight: Vec<f32>,
    /// Head bias `[C]`.
    pub head_bias: Vec<f32>,
    /// Names of the outputs.
    pub labels: Vec<String>,
    /// How outputs become answers.
    pub decision: Decision,
    /// How bytes become pixels.
    pub preprocessing: Preprocessing,
    /// Precision of the backbone it was trained on.
    pub precision: Precision,
    /// Stored inputs and answers.
    pub self_test: SelfTest,
    /// Largest allowed relative difference in the self-test.
    pub tolerance: f32,
    /// How the pack came to be.
    pub provenance: Provenance,
}

/// Writes the next version of a task and returns its folder. Of several writers each gets a number of its own.
///
/// # Errors
/// When the folder cannot be written; then no version appears.
pub fn write(task: &Path, contents: &Contents, backbone: &BackboneConfig) -> Result<PathBuf, Error> {
    write_with(task, contents, backbone, &[])
}

/// As [`write()`], with more files in the version's folder, by name, that are for people: no server reads them.
///
/// # Errors
/// As [`write()`].
pub fn write_with(
    task: &Path,
    contents: &Contents,
    backbone: &BackboneConfig,
    extras: &[(&str, &[u8])],
) -> Result<PathBuf, Error> {
    fs::create_dir_all(task).map_err(Error::io(task))?;
    let partial = files::beside(&task.join("next"));
    let result = write_folder(&partial, contents, backbone).and_then(|()| {
        for (name, bytes) in extras {
            files::write_atomically(&partial.join(name), bytes).map_err(Error::io(&partial))?;
        }
        take_next_number(task, &partial)
    });
    if result.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    }
    result
}

/// Renames a whole version to the next free number: of two that end together one finds its number taken, and takes the
/// next.
fn take_next_number(task: &Path, partial: &Path) -> Result<PathBuf, Error> {
    loop {
        let version = versions(task)?.last().map_or(1, |last| last + 1);
        let target = task.join(version.to_string());
        match files::rename_to_free(partial, &target) {
            Ok(()) => return Ok(target),
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(Error::Io { path: target, source: error }),
        }
    }
}

fn is_taken(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::DirectoryNotEmpty)
}

/// A training that diverged leaves no version: its numbers are not finite.
fn check_finite(dir: &Path, contents: &Contents) -> Result<(), Error> {
    let modules = contents.weights.values().flat_map(|weights| weights.iter().map(|(_, values)| values));
    let factors = contents.factored.iter().flat_map(|factored| factored.tensors.values().map(Vec::as_slice));
    let tensors = modules.chain(factors).chain([&contents.head_weight[..], &contents.head_bias]);
    match tensors.flatten().find(|value| !value.is_finite()) {
        Some(value) => {
            let reason =
                format!("a weight is {value}: the training diverged; a lower learning rate may help");
            Err(Error::Weights { path: dir.into(), reason })
        }
        None => Ok(()),
    }
}

fn write_folder(dir: &Path, contents: &Contents, backbone: &BackboneConfig) -> Result<(), Error> {
    check_finite(dir, contents)?;
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let weights =
        serialize(contents, backbone).map_err(|reason| Error::Weights { path: dir.into(), reason })?;
    let manifest = manifest(contents, backbone, sha256_hex(&weights));
    manifest.check(backbone)?;
    let path = dir.join(CONFIG_FILE);
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|source| Error::Manifest { path: path.clone(), source })?;
    files::write_atomically(&dir.join(WEIGHTS_FILE), &weights).map_err(Error::io(dir))?;
    files::write_atomically(&path, &text).map_err(Error::io(&path))
}

pub(super) fn manifest(contents: &Contents, backbone: &BackboneConfig, weights_sha256: String) -> Manifest {
    let width = |(module, weights): (&Module, &Weights)| (*module, weights.width);
    let (adapters, others): (Vec<_>, Vec<_>) =
        contents.weights.iter().map(width).partition(|(module, _)| module.form == Form::Adapter);
    let left_out = |site: &Site| !contents.weights.contains_key(&Module::adapter(*site));
    let Decision { problem, thresholds, abstain_below } = contents.decision.clone();
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        peft_type: PEFT_TYPE.into(),
        base_model_name_or_path: backbone.name.clone(),
        base_model_sha256: backbone.fingerprint.clone(),
        activation: backbone.activation(),
        adapter_widths: adapters.iter().map(|(module, width)| (module.site.to_string(), *width)).collect(),
        leave_out: backbone.sites().iter().filter(|site| left_out(site)).map(Site::to_string).collect(),
        factorised: contents.factored.as_ref().map(|factored| (&factored.kind).into()),
        stored_bits: StoredBits::of(&contents.small),
        depths: contents.depths.clone(),
        modules: others.iter().map(|(module, width)| (module.to_string(), *width)).collect(),
        labels: contents.labels.clone(),
        problem_type: problem,
        thresholds,
        abstain_below,
        preprocessing: contents.preprocessing.clone(),
        precision: contents.precision,
        image_decoder: crate::image::DECODER_VERSION,
        weights_sha256,
        self_test: SelfTestInfo { images: contents.self_test.images.len(), tolerance: contents.tolerance },
        provenance: contents.provenance.clone(),
    };
    Manifest { format_version: manifest.format_version_needed(), ..manifest }
}

/// A tensor of the file.
type Tensor = (String, Vec<usize>, Vec<f32>);

/// The modules' tensors as they are kept.
fn modules(contents: &Contents, backbone: &BackboneConfig) -> Result<Vec<Tensor>, String> {
    let Some(factored) = &contents.factored else {
        let all = contents
            .weights
            .iter()
            .flat_map(|(&module, own)| own.iter().map(move |part| (module, own, part)));
        let tensor = |(module, own, (part, values)): (Module, &Weights, (Part, &[f32]))| {
            let shape = backbone.part_shape(module, part, own.width).unwrap_or_default();
            kept(module, part, &shape, values)
        };
        return all.map(tensor).collect();
    };
    let shapes = factored.kind.on(backbone).trained();
    let tensor = |(name, shape): (ParameterName, Vec<usize>)| {
        let values = factored.tensors.get(&name).ok_or_else(|| format!("{name} is missing"))?;
        match name {
            ParameterName::Module(module, part) => kept(module, part, &shape, values),
            _ if values.len() == shape.iter().product::<usize>() => {
                Ok((name.to_string(), shape, values.clone()))
            }
            _ => Err(format!("{name} has {} elements, expected {shape:?}", values.len())),
        }
    };
    shapes.into_iter().map(tensor).collect()
}

/// A module's tensor as it is kept: matrices `[out, in]`.
fn kept(module: Module, part: Part, shape: &[usize], values: &[f32]) -> Result<Tensor, String> {
    let key = tensor_key(module, part);
    match *shape {
        [input, output] if part.is_matrix() && values.len() == input * output => {
            Ok((key, vec![output, input], transpose(values, input, output)))
        }
        // The 1 before a vector is for a batch's rows.
        [1, ref rest @ ..] => Ok((key, rest.to_vec(), values.to_vec())),
        _ => Err(format!("{key} has {} elements, expected {shape:?}", values.len())),
    }
}

/// The matrices at few bits by their keys, once the values beside are theirs.
fn smalls(contents: &Contents) -> Result<Vec<(String, &Small)>, String> {
    contents.small.iter().map(|(&name, small)| Ok((checked(contents, name, small)?, small))).collect()
}

/// The key of a matrix at few bits.
fn checked(contents: &Contents, name: ParameterName, small: &Small) -> Result<String, String> {
    let (key, values) = match name {
        ParameterName::Module(module, part) => {
            let own = contents.weights.get(&module);
            (tensor_key(module, part), own.map(|own| own.part(part).to_vec()).unwrap_or_default())
        }
        ParameterName::HeadWeight => {
            let inputs = contents.head_weight.len() / small.outputs.max(1);
            (HEAD_WEIGHT.to_owned(), transpose(&contents.head_weight, small.outputs, inputs))
        }
        _ => return Err(format!("{name} is kept whole")),
    };
    match values == small.expand().map_err(|reason| format!("{key}: {reason}"))? {
        true => Ok(key),
        false => Err(format!("{key} is not what its codes expand to")),
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn serialize(contents: &Contents, backbone: &BackboneConfig) -> Result<Vec<u8>, String> {
    let depths = ModuleSet::reading(contents.depths.iter().copied());
    let (classes, width) = (contents.labels.len(), backbone.head_width(depths));
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let small = smalls(contents)?;
    let is_small = |key: &str| small.iter().any(|(own, _)| own == key);
    let mut floats = |name: String, shape: Vec<usize>, data: &[f32]| {
        if !is_small(&name) {
            tensors.push((name, Dtype::F32, shape, bytes(data)));
        }
    };
    for (key, shape, values) in modules(contents, backbone)? {
        floats(key, shape, &values);
    }
    floats("head.weight".into(), vec![classes, width], &contents.head_weight);
    floats("head.bias".into(), vec![classes], &contents.head_bias);
    if !contents.self_test.images.is_empty() {
        let logits = contents.self_test.logits.concat();
        floats("self_test.logits".into(), vec![contents.self_test.images.len(), classes], &logits);
    }
    for (key, own) in &small {
        let codes = own.by_output();
        tensors.push((format!("{key}.{CODES}"), Dtype::U8, vec![codes.len()], codes));
        tensors.push((format!("{key}.{SCALE}"), Dtype::F32, vec![own.scales.len()], bytes(&own.scales)));
    }
    for (k, image) in contents.self_test.images.iter().enumerate() {
        tensors.push((format!("self_test.image.{k}"), Dtype::U8, vec![image.len()], image.clone()));
    }
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        TensorView::new(*dtype, shape.clone(), data).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}
