//! Tokens before all others, from the first block to the last (VPT-shallow of Jia et al. 2022).

use super::layers::{Feed, Layers};
use super::ops::{Add, Concat, Mul, Slice};
use super::{Constant, Dim, Error, Fact, ParameterName, Wire};
use crate::backbone::{Form, Module, Part, Place, Site};

impl Layers<'_> {
    /// What enters the first block: the tokens, behind the prompts where the plan has them. A transformer without windows
    /// does not tell where a token stands, so prompts come first, and what is known of the tokens stays at the end.
    ///
    /// # Shapes
    /// `[B, N, D]` to `[B, R + N, D]`. Every row has as many prompts.
    pub(super) fn prompted(&mut self, x: Wire) -> Result<Wire, Error> {
        let module = Module { site: Site::new(0, Place::Tokens), form: Form::Prompts };
        if !self.modules.contains(module) {
            return Ok(x);
        }
        let (wide, own) = (Dim::Fixed(self.width(x)), Dim::Width(module));
        let prompts = match self.feed {
            Feed::Free => {
                let name = ParameterName::Module(module, Part::Values).to_string();
                self.g.input(name, Fact::f32([Dim::Batch, own, wide]))?
            }
            Feed::Shared(_) => {
                let shared = self.fed(module, Part::Values, vec![Dim::Fixed(1), own, wide])?;
                self.for_each_row(module, shared, x)?
            }
        };
        self.under(module.to_string()).wire("before", Concat { axis: 1 }, &[prompts, x])
    }

    /// What all rows share, once for each row of `x`, whose number is known only in a run.
    ///
    /// # Shapes
    /// `shared [1, R, D]`, `x [B, N, D]`, the result `[B, R, D]`.
    fn for_each_row(&mut self, module: Module, shared: Wire, x: Wire) -> Result<Wire, Error> {
        let mut layers = self.under(module.to_string());
        let row = layers.wire("row", Slice { axis: 1, start: 0, end: 1 }, &[x])?; // [B, 1, D]
        let zero = layers.g.constant(layers.named("zero"), Constant::scalar(0.0))?;
        let zeros = layers.wire("zeros", Mul, &[row, zero])?;
        layers.wire("rows", Add, &[shared, zeros])
    }
}
