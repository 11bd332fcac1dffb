//! GELU with the exact error function: `y = x Φ(x)`.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use super::check::{exactly, one};
use super::{Add, Erf, Exp, HardSigmoid, Mul, Sub};
use crate::graph::{Constant, Gradients, Operator};
use crate::graph::{Error, Fact, Graph, Node, Wire};

/// `y = x · ½ (1 + erf(x / √2))` (Hendrycks and Gimpel 2016), as `torch.nn.GELU()`.
#[derive(Debug)]
pub struct Gelu;

impl Operator for Gelu {
    fn name(&self) -> &'static str {
        "Gelu"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    /// `dx = dy · (Φ(x) + x φ(x))`; with `u = x / √2`, `Φ = ½ + ½ erf(u)` and `x φ = u exp(−u²) / √π`.
    ///
    /// This is the largest element-wise part of a step, so each constant is folded into a pass that is
    /// needed anyway: `1/√π` into the exponent, `½ + ½ ·` into one clamped line.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let n = |part: &str| format!("{}.grad.{part}", node.name);
        let scale = g.constant(n("scale"), Constant::scalar(FRAC_1_SQRT_2))?;
        let u = g.wire(n("u"), Mul, &[node.inputs[0], scale])?;
        let erf = g.wire(n("erf"), Erf, &[u])?;
        let cdf = g.wire(n("cdf"), HardSigmoid { slope: 0.5, offset: 0.5 }, &[erf])?;
        let square = g.wire(n("square"), Mul, &[u, u])?;
        let height = g.constant(n("height"), Constant::scalar(-0.5 * PI.ln()))?;
        let exponent = g.wire(n("exponent"), Sub, &[height, square])?;
        let density = g.wire(n("density"), Exp, &[exponent])?;
        let slope = g.wire(n("tail"), Mul, &[u, density])?;
        let slope = g.wire(n("slope"), Add, &[cdf, slope])?;
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), Mul, &[grad, slope])?)])
    }
}
