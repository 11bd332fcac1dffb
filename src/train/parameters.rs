//! Trainable tensors by name.

use std::collections::BTreeMap;

use super::optim::adamw::{AdamW, AdamWOptions};
use crate::graph::ParameterName;

/// A trainable tensor and its moments.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub values: Vec<f32>,
    /// The optimiser's state.
    pub state: AdamW,
}

impl Parameter {
    /// Starts with zero moments.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Self {
        let state = AdamW::new(values.len(), AdamWOptions::default());
        Self { shape, values, state }
    }

    /// Keeps the rows at `kept` of a matrix, with their moments.
    pub fn keep_rows(&mut self, kept: &[usize]) {
        let columns = self.shape[1];
        let indices: Vec<usize> = kept.iter().flat_map(|row| row * columns..(row + 1) * columns).collect();
        self.keep(vec![kept.len(), columns], &indices);
    }

    /// Keeps the columns at `kept` of a matrix, with their moments.
    pub fn keep_columns(&mut self, kept: &[usize]) {
        let (rows, columns) = (self.shape[0], self.shape[1]);
        let row = |row: usize| kept.iter().map(move |column| row * columns + column);
        let indices: Vec<usize> = (0..rows).flat_map(row).collect();
        self.keep(vec![rows, kept.len()], &indices);
    }

    /// The matrix with each row multiplied by its factor g. The slope by g W is that by W over g, so the moments are divided by
    /// g and g². Where g is zero, or they overflow, they are zero.
    pub fn with_rows_times(&self, factors: &[f32]) -> Self {
        let columns = (self.values.len() / factors.len().max(1)).max(1);
        let row = |(row, factor): (&[f32], &f32)| row.iter().map(|value| value * factor).collect::<Vec<_>>();
        let values = self.values.chunks(columns).zip(factors).flat_map(row).collect();
        let state =
            self.state.scaled(|index| factors.get(index / columns).map_or(0.0, |&factor| factor.recip()));
        Self { shape: self.shape.clone(), values, state }
    }

    fn keep(&mut self, shape: Vec<usize>, indices: &[usize]) {
        self.values = indices.iter().map(|&i| self.values[i]).collect();
        self.state.keep(indices);
        self.shape = shape;
    }
}

/// A parameter that a model lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model has no parameter {0}")]
pub struct MissingParameter(pub ParameterName);

/// Trainable tensors by name, in the order of names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(BTreeMap<ParameterName, Parameter>);

impl Parameters {
    /// The parameter of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, name: ParameterName) -> Result<&Parameter, MissingParameter> {
        self.0.get(&name).ok_or(MissingParameter(name))
    }

    /// Adds a parameter, or replaces the one of that name.
    pub fn insert(&mut self, name: ParameterName, parameter: Parameter) {
        self.0.insert(name, parameter);
    }

    /// Adds parameters.
    pub fn extend(&mut self, more: impl IntoIterator<Item = (ParameterName, Parameter)>) {
        self.0.extend(more);
    }

    /// Every parameter.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterName, &Parameter)> {
        self.0.iter().map(|(&name, parameter)| (name, parameter))
    }

    /// Every parameter, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParameterName, &mut Parameter)> {
        self.0.iter_mut().map(|(&name, parameter)| (name, parameter))
    }

    /// Removes the parameters that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(ParameterName) -> bool) {
        self.0.retain(|&name, _| keep(name));
    }

    /// Elements of all tensors.
    pub fn count(&self) -> usize {
        self.0.values().map(|parameter| parameter.values.len()).sum()
    }
}

impl FromIterator<(ParameterName, Parameter)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (ParameterName, Parameter)>>(named: I) -> Self {
        Self(named.into_iter().collect())
    }
}
