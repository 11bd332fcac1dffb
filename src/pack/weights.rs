//! The tensors of one module.

use std::collections::BTreeMap;

use crate::backbone::Part;

/// A module's tensors, laid out as programs want them: matrices `[in, out]`, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// Hidden neurons (R); 0 of a form that has none.
    pub width: usize,
    parts: BTreeMap<Part, Box<[f32]>>,
}

impl Weights {
    /// Takes the tensors of a module that is `width` neurons wide.
    pub fn new(width: usize, parts: impl IntoIterator<Item = (Part, Vec<f32>)>) -> Self {
        Self { width, parts: parts.into_iter().map(|(part, values)| (part, values.into())).collect() }
    }

    /// An adapter of `width` neurons, from matrices as PyTorch has them: down `[R, D]`, up `[D, R]`.
    pub fn adapter(width: usize, down: &[f32], up: &[f32]) -> Self {
        let d = down.len() / width.max(1);
        Self::new(width, [(Part::Down, transpose(down, width, d)), (Part::Up, transpose(up, d, width))])
    }

    /// The elements of a tensor; empty where the module has none of that name.
    pub fn part(&self, part: Part) -> &[f32] {
        self.parts.get(&part).map_or(&[], |values| values)
    }

    /// Every tensor.
    pub fn iter(&self) -> impl Iterator<Item = (Part, &[f32])> {
        self.parts.iter().map(|(&part, values)| (part, &values[..]))
    }

    /// Elements of all tensors.
    pub fn parameters(&self) -> usize {
        self.parts.values().map(|values| values.len()).sum()
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(crate) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| values[(i % rows) * columns + i / rows]).collect()
}
