//! Trained tensors that served ones are made from.

use std::collections::BTreeSet;

use super::random::{normal, uniform_within};
use crate::graph::{Dim, Error, Fact, Graph, ParameterName, Wire};
use rand::Rng;

/// A tensor that is trained and not served.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// Its name.
    pub name: ParameterName,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is at first.
    pub first: First,
}

/// First values of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum First {
    /// One number.
    Constant(f32),
    /// Normal about 0, of this deviation.
    Normal(f64),
    /// Uniform between the bound's negative and the bound.
    Uniform(f64),
}

impl First {
    /// PyTorch's default of a linear layer: uniform within `±1/√fan_in`.
    pub fn linear(fan_in: usize) -> Self {
        Self::Uniform(1.0 / (fan_in.max(1) as f64).sqrt())
    }

    /// Uniform within `±gain·√(6 / (fan_in + fan_out))` (Glorot and Bengio 2010).
    pub fn xavier(gain: f64, fan_in: usize, fan_out: usize) -> Self {
        Self::Uniform(gain * (6.0 / (fan_in + fan_out).max(1) as f64).sqrt())
    }

    /// Draws so many values.
    pub fn draw(self, random: &mut impl Rng, count: usize) -> Vec<f32> {
        match self {
            Self::Constant(value) => vec![value; count],
            Self::Normal(deviation) => (0..count).map(|_| (deviation * normal(random)) as f32).collect(),
            Self::Uniform(bound) => uniform_within(random, count, bound as f32),
        }
    }
}

/// Each factor once, where modules share some.
pub(super) fn once(all: impl Iterator<Item = Factor>) -> Vec<Factor> {
    let mut met = BTreeSet::new();
    all.filter(|factor| met.insert(factor.name)).collect()
}

/// The input of a factor: made when it is first asked for, the same wire ever after.
pub(super) fn factor(g: &mut Graph, name: ParameterName, shape: &[usize]) -> Result<Wire, Error> {
    match g.find_input(&name.to_string()) {
        Some(wire) => Ok(wire),
        None => {
            g.input(name.to_string(), Fact::f32(shape.iter().map(|&n| Dim::Fixed(n)).collect::<Vec<_>>()))
        }
    }
}
