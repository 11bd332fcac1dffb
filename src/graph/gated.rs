//! Gates: a number for each hidden neuron, which what it gives is multiplied by (SoRA, Ding et al. 2023).
//!
//! ```text
//! (g ⊙ z) · up = z · (g ⊙ up)          z [.., N, R], g [R, 1], up [R, D]
//! ```
//! The right side multiplies `R · D` numbers a run, whatever the number of rows and tokens.

use super::ops::Mul;
use super::{Dim, Error, Express, Graph, ParameterName, Wire, trained};
use crate::backbone::Part;

/// What a method serves, with a gate for each neuron, which is trained too.
#[derive(Clone, Copy)]
pub struct Gated<'a>(pub &'a dyn Express);

impl Express for Gated<'_> {
    fn served(&self, g: &mut Graph, name: ParameterName, shape: Vec<Dim>) -> Result<Wire, Error> {
        let gates = shape.iter().take(1).copied().chain([Dim::Fixed(1)]).collect(); // [R, 1]
        let served = self.0.served(g, name, shape)?;
        let ParameterName::Module(module, Part::Up) = name else { return Ok(served) };
        let gate = trained(g, ParameterName::gate(module), gates)?;
        g.wire(format!("{module}.up.gated"), Mul, &[served, gate])
    }
}
