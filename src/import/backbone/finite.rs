//! Weights that are NaN or infinite, found before anything is computed with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::checkpoint::Tensor;
use super::error::Error;

/// How many tensors an error names.
const NAMED: usize = 5;

/// Tensors with a value that is not finite, each with what and where the first is, in the checkpoint's layout.
pub(super) fn not_finite(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, String> {
    let first = |(name, tensor): (&String, &Tensor)| {
        let at = tensor.data.iter().position(|value| !value.is_finite())?;
        let bad = tensor.data.iter().filter(|value| !value.is_finite()).count();
        let (index, of) = (index(at, &tensor.shape), tensor.data.len());
        Some((name.clone(), format!("{name} has {bad} of {of}, first {} at {index:?}", tensor.data[at])))
    };
    tensors.iter().filter_map(first).collect()
}

/// Refuses those that the backbone is made of; what was left out may hold anything.
///
/// # Errors
/// [`Error::NotFinite`] with the first few.
pub(super) fn refuse(
    mut found: BTreeMap<String, String>,
    left_out: &BTreeSet<&str>,
    path: &Path,
) -> Result<(), Error> {
    found.retain(|name, _| !left_out.contains(name.as_str()));
    if found.is_empty() {
        return Ok(());
    }
    let count = found.len();
    let first = found.into_values().take(NAMED).collect();
    Err(Error::NotFinite { path: path.into(), count, first })
}

/// The place of element `at` on every axis, row-major.
fn index(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let along = at % size.max(1);
            at /= size.max(1);
            along
        })
        .collect();
    index.reverse();
    index
}
