//! Other people's checkpoints into our folder.
//!
//! `open` finds out what a file is: safetensors, in one file or, by `shards`, in several, a file of `torch.save`, of
//! which `dictionary` chooses a part, or, by `onnx`, a graph. `checkpoint` holds the named fp32 tensors, of which
//! `prefix` finds the backbone's and `families` refuses those of other models. `timm` (with `spelling`, `positions`
//! and `timm_pool`) and `hugging_face` (with `hugging_face_pool`) know the names of the ViT family, `swin` (with `swin_shape`) those of Swin, `cvt` those of CvT;
//! each gives a [`Draft`]. `timm_config` (with `timm_models`), `hugging_face_config` and `config_files` read what lies
//! beside the weights; in the `ledger` what tensors show and what files tell must agree. `attention_pool` folds what
//! SigLIP pools with, `position` resamples the position table to another image size, `finite` refuses NaN,
//! `preprocessing` finds how bytes become pixels.

mod attention_pool;
pub(crate) mod checkpoint;
mod config_files;
mod cvt;
mod dictionary;
mod draft;
mod families;
mod finite;
mod hugging_face;
mod hugging_face_config;
mod hugging_face_pool;
mod ledger;
mod onnx;
mod open;
mod position;
mod positions;
mod prefix;
mod preprocessing;
mod shards;
mod spelling;
mod swin;
mod swin_shape;
mod timm;
mod timm_config;
mod timm_models;
mod timm_pool;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{
    Activation, Architecture, BackboneConfig, CvtConfig, Error, FORMAT_VERSION, ONNX_FILE, Origin, Pool,
    Provenance, SiteSet, Taken, WEIGHTS_FILE, WeightLayout, sha256_hex,
};
use crate::files;
use crate::graph::Plan;
use checkpoint::{Checkpoint, Tensor};
use draft::Draft;

/// What to import, and what the checkpoint does not tell.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A file of safetensors, of `torch.save` or ONNX, whatever it is called, or the index of several.
    /// `config.json` and `preprocessor_config.json` beside it are read too.
    pub weights: PathBuf,
    /// Which dictionary of the file, and which part of the model in it, where timm's order is not meant.
    pub key: Option<String>,
    /// Name of the backbone.
    pub name: String,
    /// Folder of backbones; the result is `<out>/<name>`.
    pub out: PathBuf,
    /// Side of the input, pixels; another than the checkpoint's resamples the positions.
    pub image_size: Option<usize>,
    /// Attention heads, where neither `config.json` nor a width of 64 a head tells.
    pub heads: Option<usize>,
    /// Non-linearity, where the family leaves it open.
    pub activation: Option<Activation>,
    /// Pooling, where it is not the family's own.
    pub pool: Option<Pool>,
    /// Layer norm's epsilon, where it is not the family's own.
    pub layer_norm_eps: Option<f32>,
    /// Preprocessing, where neither the files nor the family tell.
    pub preprocessing: Option<PreprocessingName>,
    /// A CvT's shape where it is known already, whatever lies beside the file: no single number tells it.
    pub cvt: Option<CvtConfig>,
    /// Whether an existing backbone of that name is replaced.
    pub overwrite: bool,
}

/// Preprocessing by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreprocessingName {
    /// Short side to S bicubic, centre crop, CLIP's mean and deviation.
    Clip,
    /// Short side to 8/7 S bicubic, centre crop, ImageNet's mean and deviation.
    Imagenet,
    /// As `Imagenet`, with mean and deviation 0.5 (ViT of the "augreg" and IN-21k families).
    Half,
    /// Both sides to S bicubic, whatever the image's form, mean and deviation 0.5.
    Siglip,
}

/// Imports a checkpoint: writes a folder beside and renames it to `<out>/<name>`.
///
/// # Errors
/// See [`Error`]; tensors that are missing, extra or mis-shaped are all named at once.
pub fn import(request: &Request) -> Result<BackboneConfig, Error> {
    let target = request.out.join(&request.name);
    check_name(&request.name)?;
    if target.exists() && !request.overwrite {
        let reason = format!("{} exists; give another name or ask to overwrite", target.display());
        return Err(Error::Invalid { field: "name", value: request.name.clone(), reason });
    }
    let (mut checkpoint, format) = open::open(&request.weights, request.key.as_deref())?;
    checkpoint.notes.insert(0, weights_line(request, &checkpoint.sha256));
    let sha256 = checkpoint.sha256.clone();
    let mut draft = Draft::from(checkpoint, request)?;
    let naming = format.unwrap_or(draft.naming);
    let config = configure(&mut draft, request, (naming, sha256))?;
    let partial = files::beside(&target);
    let written = write_folder(&partial, config, &draft.tensors);
    let publish = if request.overwrite { replace } else { rename };
    let config = written.and_then(|config| publish(&partial, &target).map(|()| config));
    if config.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    }
    config
}

fn check_name(name: &str) -> Result<(), Error> {
    // A backbone's name is a folder's name, under the same rules as a task's.
    name.parse::<crate::pack::TaskId>().map(drop).map_err(|e| Error::Invalid {
        field: "name",
        value: name.into(),
        reason: e.to_string(),
    })
}

/// The first line of the table.
fn weights_line(request: &Request, sha256: &str) -> Taken {
    let value = request.weights.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Taken { what: "weights".into(), value, origin: Origin::File, from: format!("sha256 {sha256}") }
}

/// The tensors of a checkpoint of the backbone that `config` describes, under our names.
///
/// # Errors
/// When the naming is unknown, or tensors are missing, extra or mis-shaped.
pub(crate) fn tensors(
    checkpoint: Checkpoint,
    config: &BackboneConfig,
) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut request = Request {
        // Nothing lies beside it: the description is known.
        weights: checkpoint.path.with_file_name(".none").join("checkpoint"),
        image_size: Some(config.image_size()),
        activation: Some(config.activation()),
        ..Request::default()
    };
    match &config.architecture {
        Architecture::Vit(vit) => {
            request.heads = Some(vit.heads);
            request.pool = Some(vit.pool);
            request.layer_norm_eps = Some(vit.layer_norm_eps);
        }
        Architecture::Swin(swin) => request.layer_norm_eps = Some(swin.layer_norm_eps),
        Architecture::Cvt(cvt) => {
            // The adapters' non-linearity is not the MLPs'.
            request.activation = Some(cvt.activation);
            request.cvt = Some(cvt.clone());
        }
    }
    Ok(Draft::from(checkpoint, &request)?.tensors)
}

fn configure(
    draft: &mut Draft,
    request: &Request,
    (naming, sha256): (&str, String),
) -> Result<BackboneConfig, Error> {
    let preprocessing = preprocessing::find(draft, request)?;
    let (left_out, taken) = (draft.left_out.clone(), std::mem::take(&mut draft.ledger).into_lines());
    let file = request.weights.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let config = BackboneConfig {
        format_version: FORMAT_VERSION,
        name: request.name.clone(),
        fingerprint: String::new(),
        architecture: draft.architecture.clone(),
        preprocessing,
        provenance: Provenance { file, sha256, naming: naming.into(), left_out, taken },
    };
    config.validate()?;
    Ok(config)
}

/// Writes the three files; the fingerprint is the weights'.
fn write_folder(
    dir: &Path,
    mut config: BackboneConfig,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<BackboneConfig, Error> {
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let path = dir.join(WEIGHTS_FILE);
    let weights = serialize(tensors).map_err(|reason| Error::Weights { path: path.clone(), reason })?;
    files::write_atomically(&path, &weights).map_err(Error::io(&path))?;
    config.fingerprint = sha256_hex(&weights);
    let layout = WeightLayout::read(&path, &weights, &config)?;
    let graph = crate::graph::build(&config, &Plan::whole(&config, SiteSet::EMPTY));
    let model = graph.and_then(|graph| crate::graph::onnx::write(&graph, &layout));
    let model = model.map_err(|e| Error::UnknownLayout { path: path.clone(), reason: e.to_string() })?;
    let onnx = dir.join(ONNX_FILE);
    files::write_atomically(&onnx, &model).map_err(Error::io(&onnx))?;
    config.write(dir)?;
    Ok(config)
}

fn serialize(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, String> {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[name.as_str()]);
        view.map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

/// Renames the new folder into place; fails where there is one already.
fn rename(partial: &Path, target: &Path) -> Result<(), Error> {
    fs::rename(partial, target).map_err(Error::io(target))
}

/// As [`rename`], setting an old folder aside; it comes back if the new one cannot take its place.
fn replace(partial: &Path, target: &Path) -> Result<(), Error> {
    let old = partial.with_extension("old");
    match fs::rename(target, &old) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return rename(partial, target),
        moved => moved.map_err(Error::io(target))?,
    }
    if let Err(error) = rename(partial, target) {
        // Best effort: the first error is the one to report.
        let _ = fs::rename(&old, target);
        return Err(error);
    }
    fs::remove_dir_all(&old).map_err(Error::io(&old))
}
