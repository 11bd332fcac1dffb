//! Plain heads: a weight and a bias, or what scikit-learn calls `coef_`, `intercept_` and `classes_`.

use std::collections::BTreeMap;
use std::path::Path;

use super::arrays::{Array, read_npy, read_npz};
use super::extract::Head;
use super::refused::Refused;
use super::tensors::{MAX_BYTES, Tensors, read_limited};
use crate::backbone::{BackboneConfig, sha256_hex};
use crate::import::backbone::checkpoint::Tensor;

/// A head's file, read.
pub(super) struct HeadFile {
    pub(super) head: Head,
    pub(super) labels: Option<Vec<String>>,
    pub(super) sha256: String,
}

/// The arrays of a file.
struct Arrays {
    numbers: BTreeMap<String, Tensor>,
    classes: Option<Vec<String>>,
    sha256: String,
}

/// Whether names are those of a head and nothing else.
pub(super) fn is_known<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    let ends = ["weight", "bias"];
    let mut names = names.map(|name| name.rsplit_once('.').unwrap_or(("", name))).peekable();
    let start = names.peek().map(|(start, _)| *start);
    start.is_some() && names.all(|(own, end)| Some(own) == start && ends.contains(&end))
}

/// Reads a head from a `.npz`, a safetensors file or one of `torch.save`.
pub(super) fn read(path: &Path, config: &BackboneConfig) -> Result<HeadFile, Refused> {
    let is_numpy = path.extension().is_some_and(|end| end == "npz");
    let Arrays { mut numbers, classes, sha256 } = if is_numpy { arrays(path)? } else { tensors(path)? };
    let coefficients = numbers.remove("coef_");
    let is_learnt = coefficients.is_some();
    let (weight, bias) = match coefficients {
        Some(weight) => (Some(("coef_".to_owned(), weight)), numbers.remove("intercept_")),
        None => pair(&mut numbers),
    };
    let (key, weight) = weight.ok_or_else(|| Refused::file(path, "has neither a weight nor coef_"))?;
    if let Some(key) = numbers.keys().next() {
        return Err(Refused::key(path, key, "is no part of a linear head"));
    }
    // Without an intercept scikit-learn keeps one zero, without axes.
    let bias = bias.filter(|bias| !(is_learnt && bias.shape.is_empty() && bias.data == [0.0]));
    let (weight, bias) = if is_learnt { of_two(weight, bias) } else { (weight, bias) };
    let head = Head::new((path, &key), weight, bias, config)?;
    Ok(HeadFile { head, labels: classes, sha256 })
}

/// Weight, with its name, and bias, whatever module they are of.
fn pair(numbers: &mut BTreeMap<String, Tensor>) -> (Option<(String, Tensor)>, Option<Tensor>) {
    let ends = |name: &&String| name.rsplit('.').next() == Some("weight");
    let Some(name) = numbers.keys().find(ends).cloned() else { return (None, None) };
    let bias = format!("{}bias", name.strip_suffix("weight").unwrap_or_default());
    let bias = numbers.remove(&bias);
    (numbers.remove(&name).map(|weight| (name, weight)), bias)
}

/// Of two classes scikit-learn keeps one row, the logit of the second; that of the first is 0.
fn of_two(weight: Tensor, bias: Option<Tensor>) -> (Tensor, Option<Tensor>) {
    let [1, width] = weight.shape[..] else { return (weight, bias) };
    let zero = |values: Vec<f32>, count: usize| [vec![0.0; count], values].concat();
    let bias = bias.map(|bias| Tensor { shape: vec![1 + bias.data.len()], data: zero(bias.data, 1) });
    (Tensor { shape: vec![2, width], data: zero(weight.data, width) }, bias)
}

fn tensors(path: &Path) -> Result<Arrays, Refused> {
    let Tensors { sha256, tensors, .. } = Tensors::read(path)?;
    Ok(Arrays { numbers: tensors, classes: None, sha256 })
}

fn arrays(path: &Path) -> Result<Arrays, Refused> {
    let bytes = read_limited(path, MAX_BYTES)?;
    let (mut numbers, mut classes) = (BTreeMap::new(), None);
    for (name, bytes) in read_npz(&bytes, MAX_BYTES).map_err(|e| Refused::file(path, e))? {
        match read_npy(&bytes).map_err(|e| Refused::key(path, &name, e))? {
            Array::Text(texts) if name == "classes_" => classes = Some(texts),
            Array::Numbers(ids) if name == "classes_" => {
                classes = Some(ids.data.iter().map(f32::to_string).collect());
            }
            Array::Numbers(tensor) => drop(numbers.insert(name, tensor)),
            Array::Text(_) => return Err(Refused::key(path, &name, "holds texts, expected numbers")),
        }
    }
    Ok(Arrays { numbers, classes, sha256: sha256_hex(&bytes) })
}
