//! Gradients by parameter.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::graph::ParameterName;
use crate::train::parameters::Parameters;

/// The gradient of each parameter, row-major, in the order of names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients(BTreeMap<ParameterName, Vec<f32>>);

impl FromIterator<(ParameterName, Vec<f32>)> for Gradients {
    fn from_iter<I: IntoIterator<Item = (ParameterName, Vec<f32>)>>(named: I) -> Self {
        Self(named.into_iter().collect())
    }
}

impl Gradients {
    /// Zero for each of `parameters`.
    pub fn zeros(parameters: &Parameters) -> Self {
        Self(parameters.iter().map(|(name, parameter)| (name, vec![0.0; parameter.values.len()])).collect())
    }

    /// The gradient of a parameter.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, name: ParameterName) -> Result<&[f32]> {
        self.0.get(&name).map(Vec::as_slice).with_context(|| format!("there is no gradient of {name}"))
    }

    /// Adds to the gradient of a parameter.
    ///
    /// # Errors
    /// When there is none, or it has another size.
    pub fn add(&mut self, name: ParameterName, more: &[f32]) -> Result<()> {
        let sum = self.0.get_mut(&name).with_context(|| format!("there is no gradient of {name}"))?;
        let (expected, found) = (sum.len(), more.len());
        ensure!(expected == found, "the gradient of {name} has {found} elements, expected {expected}");
        sum.iter_mut().zip(more).for_each(|(sum, g)| *sum += g);
        Ok(())
    }

    /// Adds the gradients of the same parameters.
    ///
    /// # Errors
    /// When the parameters are others.
    pub fn add_all(&mut self, others: &Self) -> Result<()> {
        others.0.iter().try_for_each(|(&name, gradient)| self.add(name, gradient))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every gradient by name, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParameterName, &mut [f32])> {
        self.0.iter_mut().map(|(&name, gradient)| (name, gradient.as_mut_slice()))
    }

    /// Every gradient, to be changed.
    pub fn values_mut(&mut self) -> Vec<&mut [f32]> {
        self.0.values_mut().map(Vec::as_mut_slice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::parameters::Parameter;

    #[test]
    fn a_missing_gradient_and_one_of_another_size_are_errors_with_the_name() {
        let bias = (ParameterName::HeadBias, Parameter::new(vec![2], vec![0.0; 2]));
        let mut gradients = Gradients::zeros(&[bias].into_iter().collect());
        gradients.add(ParameterName::HeadBias, &[1.0, 2.0]).unwrap();
        gradients.add_all(&gradients.clone()).unwrap();
        assert_eq!(gradients.get(ParameterName::HeadBias).unwrap(), [2.0, 4.0]);
        let missing = gradients.get(ParameterName::HeadWeight).unwrap_err().to_string();
        assert_eq!(missing, "there is no gradient of head.weight");
        let other = gradients.add(ParameterName::HeadBias, &[1.0]).unwrap_err().to_string();
        assert_eq!(other, "the gradient of head.bias has 1 elements, expected 2");
    }
}
