//! Where each tensor lies in `backbone.safetensors`.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::{BackboneConfig, Error};

/// One tensor's place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// The tensor's shape.
    pub shape: Vec<usize>,
    /// First byte, counted from the start of the file.
    pub offset: usize,
    /// Length in bytes.
    pub length: usize,
}

/// Names, shapes and byte ranges of a safetensors file of fp32 tensors.
#[derive(Clone, Debug, Default)]
pub struct WeightLayout {
    entries: BTreeMap<String, TensorEntry>,
}

impl WeightLayout {
    /// Reads the header of `bytes`, the whole content of the file at `path`, and checks it against `config`.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file is malformed, [`Error::Tensors`] naming every tensor that is missing,
    /// unexpected or of another shape or dtype.
    pub fn read(path: &Path, bytes: &[u8], config: &BackboneConfig) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Weights { path: path.into(), reason };
        let file = SafeTensors::deserialize(bytes).map_err(|e| invalid(e.to_string()))?;
        let mut entries = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                problems.push(format!("{name} is {:?}, expected F32", view.dtype()));
            }
            // The view borrows from `bytes`, so its address gives the absolute offset.
            let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            let entry = TensorEntry { shape: view.shape().to_vec(), offset, length: view.data().len() };
            entries.insert(name.to_owned(), entry);
        }
        problems.extend(mismatches(&entries, &config.tensors()));
        if !problems.is_empty() {
            return Err(Error::Tensors { path: path.into(), problems });
        }
        Ok(Self { entries })
    }

    /// Adds a tensor that a program reads but the file does not hold.
    pub(crate) fn insert(&mut self, name: &str, entry: TensorEntry) {
        self.entries.insert(name.to_owned(), entry);
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&TensorEntry> {
        self.entries.get(name)
    }

    /// Every tensor, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorEntry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}

fn mismatches(found: &BTreeMap<String, TensorEntry>, expected: &[(String, Vec<usize>)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, shape) in expected {
        match found.get(name) {
            None => problems.push(format!("{name} is missing (expected {shape:?})")),
            Some(entry) if &entry.shape != shape => {
                problems.push(format!("{name} has shape {:?}, expected {shape:?}", entry.shape));
            }
            Some(_) => {}
        }
    }
    let known: std::collections::BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    let extra = found.keys().filter(|name| !known.contains(name.as_str()));
    problems.extend(extra.map(|name| format!("{name} is not a tensor of this backbone")));
    problems
}
