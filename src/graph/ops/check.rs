//! What operators check of their inputs, and what they say.

use crate::graph::{Dim, Fact};

pub(super) use crate::graph::builder::no_gradient;

/// Takes exactly `N` inputs apart.
pub(super) fn exactly<'a, const N: usize>(inputs: &[&'a Fact]) -> Result<[&'a Fact; N], String> {
    inputs.try_into().map_err(|_| format!("expected {N} input(s)"))
}

/// One output.
pub(super) fn one(fact: Fact) -> Result<Vec<Fact>, String> {
    Ok(vec![fact])
}

/// What is left of `x` when `axes` are reduced away or, if `keep`, to 1.
pub(super) fn reduced(x: &Fact, axes: &[usize], keep: bool) -> Result<Fact, String> {
    if let Some(axis) = axes.iter().find(|&&axis| axis >= x.rank()) {
        return Err(format!("there is no axis {axis}"));
    }
    let left = x.shape.iter().enumerate().filter_map(|(i, &dim)| match axes.contains(&i) {
        true => keep.then_some(Dim::Fixed(1)),
        false => Some(dim),
    });
    Ok(Fact::f32(left.collect::<Vec<_>>()))
}
