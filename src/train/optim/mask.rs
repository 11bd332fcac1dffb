//! Elements of parameters that are held at zero.

use std::collections::BTreeMap;

use super::gradients::Gradients;
use crate::graph::ParameterName;
use crate::train::model::Model;

/// A score of every element of some parameters, in the order of names.
pub type Saliency = BTreeMap<ParameterName, Vec<f64>>;

/// Which elements of parameters are trained; the others are zero from first to last. A parameter without a mask is
/// trained whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks(BTreeMap<ParameterName, Vec<bool>>);

impl Masks {
    /// Keeps the `count` elements of highest score, whatever their parameter; the first of equal ones.
    pub fn strongest(saliency: &Saliency, count: usize) -> Self {
        let all: Vec<f64> = saliency.values().flatten().copied().collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        // Stable: equal scores stay in order.
        order.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
        let mut kept = vec![false; all.len()];
        order.into_iter().take(count).for_each(|at| kept[at] = true);
        let mut rest = kept.into_iter();
        let own =
            |(&name, scores): (&ParameterName, &Vec<f64>)| (name, rest.by_ref().take(scores.len()).collect());
        Self(saliency.iter().map(own).collect())
    }

    /// Whether nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mask of a parameter that has one.
    pub fn of(&self, name: ParameterName) -> Option<&[bool]> {
        self.0.get(&name).map(Vec::as_slice)
    }

    /// Every mask: true where an element is trained.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterName, &[bool])> {
        self.0.iter().map(|(&name, mask)| (name, mask.as_slice()))
    }

    /// Elements held at zero.
    pub fn removed(&self) -> usize {
        self.0.values().flatten().filter(|kept| !**kept).count()
    }

    /// Makes the masked elements zero.
    pub fn apply(&self, model: &mut Model) {
        for (name, parameter) in model.parameters.iter_mut() {
            self.0.get(&name).into_iter().for_each(|mask| clear(&mut parameter.values, mask));
        }
    }

    /// Makes the gradients of masked elements zero. Elements and moments that are zero then stay so: a step adds
    /// nothing to them, and decay multiplies zero.
    pub fn hold(&self, gradients: &mut Gradients) {
        for (name, gradient) in gradients.iter_mut() {
            self.0.get(&name).into_iter().for_each(|mask| clear(gradient, mask));
        }
    }
}

impl FromIterator<(ParameterName, Vec<bool>)> for Masks {
    fn from_iter<I: IntoIterator<Item = (ParameterName, Vec<bool>)>>(named: I) -> Self {
        Self(named.into_iter().collect())
    }
}

fn clear(values: &mut [f32], mask: &[bool]) {
    values.iter_mut().zip(mask).filter(|(_, kept)| !**kept).for_each(|(value, _)| *value = 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_so_many_are_kept_over_all_parameters_and_the_first_of_equal_ones() {
        let [a, b] = [ParameterName::HeadWeight, ParameterName::HeadBias];
        let saliency = Saliency::from([(a, vec![0.5, 0.1, 0.5, 0.9]), (b, vec![0.5, 2.0])]);
        let kept = |count| Masks::strongest(&saliency, count);
        assert_eq!(kept(2), Masks::from_iter([(a, vec![false, false, false, true]), (b, vec![false, true])]));
        assert_eq!(kept(3), Masks::from_iter([(a, vec![true, false, false, true]), (b, vec![false, true])]));
        for count in 0..=6 {
            assert_eq!(kept(count).removed(), 6 - count);
        }
    }
}
