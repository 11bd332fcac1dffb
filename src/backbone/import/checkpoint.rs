//! Named fp32 tensors of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::backbone::Error;
use crate::torch::{self, TorchFile};

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
}

impl Checkpoint {
    /// Reads a safetensors file, widening 16-bit floats.
    pub(crate) fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Weights { path: path.into(), reason };
        let file = SafeTensors::deserialize(bytes).map_err(|e| invalid(e.to_string()))?;
        let (mut tensors, mut left_out) = (BTreeMap::new(), Vec::new());
        for (name, view) in file.iter() {
            // Indices and counters are integers; they carry nothing that is learned.
            if let Some(data) = widen(view.dtype(), view.data()) {
                tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
            } else if INTEGERS.iter().any(|end| name.ends_with(end)) {
                left_out.push(name.to_owned());
            } else {
                return Err(invalid(format!("{name} is {:?}; expected F32, F16 or BF16", view.dtype())));
            }
        }
        // The file's own order is no order.
        left_out.sort();
        Ok(Self { path: path.into(), tensors, left_out, ..Self::default() })
    }

    /// Takes the tensors of a file of `torch.save`: of the dictionary under `model` or `state_dict`, else of the
    /// whole.
    pub(crate) fn from_torch(path: &Path, file: &mut TorchFile<'_>) -> Result<Self, Error> {
        let invalid = |source: torch::Error| Error::Torch { path: path.into(), source };
        let tree = file.tree().clone();
        let model = tree.find(&["model"]).or(tree.find(&["state_dict"])).unwrap_or(tree.root());
        let Some(items) = tree.items(model) else {
            let found = tree.describe(model);
            let expected = "a dictionary of tensors";
            return Err(invalid(torch::Error::Unexpected { what: "the model".into(), found, expected }));
        };
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
        Ok(Self { path: path.into(), tensors, left_out, ..Self::default() })
    }

    /// Shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Whether there is a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Removes `prefix` from every name that bears it.
    pub(crate) fn strip_prefix(&mut self, prefix: &str) {
        let stripped = std::mem::take(&mut self.tensors).into_iter();
        self.tensors = stripped
            .map(|(name, tensor)| (name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name), tensor))
            .collect();
    }

    /// How many numbered parts there are: `prefix` 0, `prefix` 1, …
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let number = |name: &String| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        self.tensors.keys().filter_map(number).map(|n| n.saturating_add(1)).max().unwrap_or(0)
    }
}

fn widen(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match dtype {
        Dtype::F32 => {
            Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        Dtype::F16 => Some(halves().map(|bits| half::f16::from_bits(bits).to_f32()).collect()),
        Dtype::BF16 => Some(halves().map(|bits| half::bf16::from_bits(bits).to_f32()).collect()),
        _ => None,
    }
}
