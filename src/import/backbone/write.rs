//! A backbone's folder, written beside and renamed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::checkpoint::Tensor;
use super::error::Error;
use crate::backbone::{
    BackboneConfig, Error as BackboneError, ModuleSet, ONNX_FILE, WEIGHTS_FILE, WeightLayout, sha256_hex,
};
use crate::files;
use crate::graph::{Plan, as_read, build, onnx};

/// Writes the three files; the fingerprint is the weights'.
pub(super) fn write_folder(
    dir: &Path,
    mut config: BackboneConfig,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<BackboneConfig, Error> {
    fs::create_dir_all(dir).map_err(BackboneError::io(dir))?;
    let path = dir.join(WEIGHTS_FILE);
    let weights =
        serialize(tensors).map_err(|reason| BackboneError::Weights { path: path.clone(), reason })?;
    files::write_atomically(&path, &weights).map_err(BackboneError::io(&path))?;
    config.fingerprint = sha256_hex(&weights);
    let mut layout = WeightLayout::read(&path, &weights, &config)?;
    let model = build(&config, &Plan::whole(&config, ModuleSet::EMPTY)).and_then(|graph| {
        as_read(&graph, &mut layout);
        onnx::write(&graph, &layout)
    });
    let model = model.map_err(|e| Error::UnknownLayout { path: path.clone(), reason: e.to_string() })?;
    let onnx = dir.join(ONNX_FILE);
    files::write_atomically(&onnx, &model).map_err(BackboneError::io(&onnx))?;
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
pub(super) fn rename(partial: &Path, target: &Path) -> Result<(), Error> {
    Ok(fs::rename(partial, target).map_err(BackboneError::io(target))?)
}

/// As [`rename`], setting an old folder aside; it comes back if the new one cannot take its place.
pub(super) fn replace(partial: &Path, target: &Path) -> Result<(), Error> {
    let old = partial.with_extension("old");
    match fs::rename(target, &old) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return rename(partial, target),
        moved => moved.map_err(BackboneError::io(target))?,
    }
    if let Err(error) = rename(partial, target) {
        // Best effort: the first error is the one to report.
        let _ = fs::rename(&old, target);
        return Err(error);
    }
    Ok(fs::remove_dir_all(&old).map_err(BackboneError::io(&old))?)
}
