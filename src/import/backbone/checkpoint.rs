//! Named fp32 tensors of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::dictionary;
use super::error::Error;
use crate::backbone::{Error as BackboneError, Origin, Taken};
use crate::import::torch::{self, TorchFile};

/// Buffers of indices, and counters, that checkpoints hold.
const INTEGERS: [&str; 3] = ["position_ids", "relative_position_index", "num_batches_tracked"];

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

impl Tensor {
    /// `[rows, columns]` to `[columns, rows]`.
    pub(crate) fn transposed(&self) -> Option<Self> {
        let [rows, columns] = self.shape[..] else { return None };
        let data = (0..rows * columns).map(|i| self.data[(i % rows) * columns + i / rows]).collect();
        Some(Self { shape: vec![columns, rows], data })
    }

    /// Rows `start..end` of the first axis.
    pub(crate) fn rows(&self, start: usize, end: usize) -> Option<Self> {
        let row = self.shape.get(1..)?.iter().product::<usize>();
        let data = self.data.get(start * row..end * row)?.to_vec();
        Some(Self { shape: [&[end - start], &self.shape[1..]].concat(), data })
    }

    /// The same elements in another shape.
    pub(crate) fn reshaped(self, shape: Vec<usize>) -> Option<Self> {
        let fits = shape.iter().product::<usize>() == self.data.len();
        fits.then_some(Self { shape, data: self.data })
    }
}

/// The tensors of a file; what is used is taken out, so that what is left was not understood.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// What the reader already saw to be no part of a backbone.
    pub(crate) left_out: Vec<String>,
    /// Tensors of the model around the backbone, with their shapes.
    pub(crate) outside: BTreeMap<String, Vec<usize>>,
    /// How names must begin, where that was asked for.
    pub(crate) prefix: Option<String>,
    /// Dictionaries of the file that might be asked for.
    pub(crate) keys: Vec<String>,
    /// What the file says of its model, in the form of timm's `config.json`.
    pub(crate) own_config: Option<serde_json::Value>,
    /// Lines of the table of what was taken.
    pub(crate) notes: Vec<Taken>,
}

impl Checkpoint {
    /// Reads a safetensors file, widening 16-bit floats and narrowing 64-bit ones.
    pub(crate) fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let invalid = |reason: String| BackboneError::Weights { path: path.into(), reason };
        let file = SafeTensors::deserialize(bytes).map_err(|e| invalid(e.to_string()))?;
        let (mut tensors, mut left_out) = (BTreeMap::new(), Vec::new());
        for (name, view) in file.iter() {
            // Indices and counters are integers; they carry nothing that is learned.
            if let Some(data) = widen(view.dtype(), view.data()) {
                tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
            } else if INTEGERS.iter().any(|end| name.ends_with(end)) {
                left_out.push(name.to_owned());
            } else {
                let reason = format!("{name} is {:?}; expected F64, F32, F16 or BF16", view.dtype());
                return Err(invalid(reason).into());
            }
        }
        // The file's own order is no order.
        left_out.sort();
        Ok(Self { path: path.into(), tensors, left_out, ..Self::default() })
    }

    /// Takes the tensors of a file of `torch.save`: of the dictionary under `key`, else of the one that the
    /// ecosystem's loaders take.
    pub(crate) fn from_torch(
        path: &Path,
        file: &mut TorchFile<'_>,
        key: Option<&str>,
    ) -> Result<Self, Error> {
        let invalid = |source: torch::Error| Error::Torch { path: path.into(), source };
        let tree = file.tree().clone();
        let unknown = |reason| Error::UnknownLayout { path: path.into(), reason };
        let chosen = dictionary::choose(&tree, key).map_err(unknown)?;
        let items = chosen.items;
        let (mut tensors, mut left_out) = (BTreeMap::new(), Vec::new());
        for &(key, value) in items {
            let torch::Object::Text(name) = tree.get(key) else { continue };
            match file.numbers(name, tree.get(value)).map_err(invalid)? {
                Some(torch::Numbers { shape, data }) => {
                    drop(tensors.insert(name.clone(), Tensor { shape, data }))
                }
                // Index tables (`relative_position_index`) are integers; they carry nothing that is learned.
                None => left_out.push(name.clone()),
            }
        }
        let notes = note(&chosen, key).into_iter().collect();
        let own_config = dictionary::own_config(&tree);
        let (prefix, mut keys) = (chosen.prefix, chosen.others);
        keys.extend(Some(chosen.path).filter(|path| !path.is_empty()));
        Ok(Self { path: path.into(), tensors, left_out, notes, own_config, prefix, keys, ..Self::default() })
    }

    /// Shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Whether there is a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Shape of a tensor of the model around the backbone, whatever its name begins with.
    pub(crate) fn outside(&self, name: &str) -> Option<&[usize]> {
        let is_it = |found: &&String| {
            found.strip_suffix(name).is_some_and(|start| start.is_empty() || start.ends_with('.'))
        };
        self.outside.keys().find(is_it).and_then(|found| self.outside.get(found)).map(Vec::as_slice)
    }

    /// Removes `prefix` from every name that bears it.
    pub(crate) fn strip_prefix(&mut self, prefix: &str) {
        let stripped = std::mem::take(&mut self.tensors).into_iter();
        self.tensors = stripped
            .map(|(name, tensor)| (name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name), tensor))
            .collect();
    }

    /// Gives every tensor another name.
    pub(crate) fn rename(&mut self, to: impl Fn(&str) -> String) -> Result<(), Error> {
        for (name, tensor) in std::mem::take(&mut self.tensors) {
            let new = to(&name);
            if self.tensors.insert(new.clone(), tensor).is_some() {
                let reason = format!("{new} is there twice, once as {name}");
                return Err(Error::UnknownLayout { path: self.path.clone(), reason });
            }
        }
        Ok(())
    }

    /// How many numbered parts there are: `prefix` 0, `prefix` 1, …
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let number = |name: &String| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        self.tensors.keys().filter_map(number).map(|n| n.saturating_add(1)).max().unwrap_or(0)
    }
}

/// Which dictionary was taken, where the file has any.
fn note(chosen: &dictionary::Chosen<'_>, key: Option<&str>) -> Option<Taken> {
    let asked = key.is_some_and(|key| key.starts_with(&chosen.path)) && !chosen.path.is_empty();
    let also = match &chosen.others[..] {
        [] => String::new(),
        others => format!("; also there: {}", others.join(", ")),
    };
    let (origin, how) =
        if asked { (Origin::Flag, "--key") } else { (Origin::File, "order of timm's loader") };
    let (value, from) = (chosen.path.clone(), format!("{how}{also}"));
    (!chosen.path.is_empty()).then(|| Taken { what: "dictionary".into(), value, origin, from })
}

fn widen(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match dtype {
        Dtype::F32 => {
            Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        // Weights trained in double precision are served in single.
        Dtype::F64 => {
            let double = |b: &[u8]| f64::from_le_bytes(std::array::from_fn(|i| b[i])) as f32;
            Some(bytes.chunks_exact(8).map(double).collect())
        }
        Dtype::F16 => Some(halves().map(|bits| half::f16::from_bits(bits).to_f32()).collect()),
        Dtype::BF16 => Some(halves().map(|bits| half::bf16::from_bits(bits).to_f32()).collect()),
        _ => None,
    }
}
