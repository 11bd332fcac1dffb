//! Keys and values before those of the tokens (Li and Liang 2021; exactly VPT-deep of Jia et al. 2022, whose prompts the
//! tokens see only so).
//!
//! ```text
//! mixed = softmax([q Kₚᵀ / √d + mask; scores]) [Vₚ; v]
//! ```
//! The mask makes rows of different length share a batch: a key that a row does not have counts for nothing.

use super::layers::{Feed, Layers};
use super::ops::{
    Add, Concat, Leading, MatMul, Mul, Slice, Softmax, SplitLast, Trailing, Transpose, Unsqueeze,
};
use super::{Dim, Error, Fact, ParameterName, Wire};
use crate::backbone::{Form, Module, Part, Place, Site};

/// A prefix as the attention's heads see it.
pub(super) struct Prefix {
    module: Module,
    /// `[1, .., H, d, R]`, scaled.
    keys: Wire,
    /// `[1, .., H, R, d]`.
    values: Wire,
    /// `[1, .., 1, R]`; none where all rows have the same prefix.
    mask: Option<Wire>,
}

impl Layers<'_> {
    /// The prefix of a block, where the plan has one, for queries `[B, .., H, N, d]`.
    pub(super) fn prefix(&mut self, block: usize, scale: Wire, q: Wire) -> Result<Option<Prefix>, Error> {
        let module = Module { site: Site::new(block, Place::Attn), form: Form::Prefix };
        if !self.modules.contains(module) {
            return Ok(None);
        }
        let rank = self.g.fact(q).rank();
        let mut layers = self.under(module.to_string());
        let keys = layers.heads(module, Part::Keys, q)?;
        let keys = layers.wire("keys.scaled", Mul, &[keys, scale])?;
        let values = layers.heads(module, Part::Values, q)?;
        let mask = match layers.feed {
            Feed::Free => {
                let name = ParameterName::Module(module, Part::Mask).to_string();
                let one = Dim::Fixed(1);
                let mask = layers.g.input(name, Fact::module([one, one, one, Dim::Width(module)]))?;
                Some(match rank {
                    5 => layers.wire("mask.windows", Unsqueeze { axis: 1 }, &[mask])?,
                    _ => mask,
                })
            }
            Feed::Shared(_) => None,
        };
        Ok(Some(Prefix { module, keys, values, mask }))
    }

    /// One of its tensors, split into the heads of `q`: keys `[1, .., H, d, R]`, values `[1, .., H, R, d]`.
    fn heads(&mut self, module: Module, part: Part, q: Wire) -> Result<Wire, Error> {
        let rank = self.g.fact(q).rank();
        let (heads, d) = (self.size(q, rank.saturating_sub(3)), self.width(q));
        let shape = vec![Dim::Fixed(1), Dim::Width(module), Dim::Fixed(heads * d)];
        let tokens = self.fed(module, part, shape)?;
        // Windows, where there are any, all see the same.
        let windows = vec![1; rank.saturating_sub(4)];
        let into = [windows, vec![heads, d]].concat();
        let split = self.wire(&format!("{}.split", part.as_str()), SplitLast { into }, &[tokens])?; // [1, R, .., H, d]
        let mut order: Vec<usize> = [0].into_iter().chain(2..rank).collect();
        let end = if part == Part::Keys { order.len() } else { order.len() - 1 };
        order.insert(end, 1);
        self.wire(&format!("{}.heads", part.as_str()), Transpose { order }, &[split])
    }

    /// What was joined of two, taken apart again.
    fn parts(&mut self, axis: usize, of: [Wire; 2], joined: Wire) -> Result<[Wire; 2], Error> {
        let (own, tokens) = ("of_prefix", "of_tokens");
        let [first, second] = of.map(|wire| self.g.fact(wire).shape[axis].fixed());
        match first.zip(second) {
            Some((n, m)) => Ok([
                self.wire(own, Slice { axis, start: 0, end: n }, &[joined])?,
                self.wire(tokens, Slice { axis, start: n, end: n + m }, &[joined])?,
            ]),
            None => Ok([
                self.wire(own, Leading { axis }, &[joined])?,
                self.wire(tokens, Trailing { axis }, &[joined])?,
            ]),
        }
    }

    /// What the queries take from the prefix and from the tokens, whose scores are known.
    pub(super) fn mixed_with(
        &mut self,
        prefix: Prefix,
        q: Wire,
        scores: Wire,
        v: Wire,
    ) -> Result<Wire, Error> {
        let axis = self.g.fact(scores).rank().saturating_sub(1);
        let mut layers = self.under(prefix.module.to_string());
        let mut own = layers.wire("scores", MatMul, &[q, prefix.keys])?; // [B, .., H, N, R]
        if let Some(mask) = prefix.mask {
            own = layers.wire("masked", Add, &[own, mask])?;
        }
        let all = layers.wire("all", Concat { axis }, &[own, scores])?; // [B, .., H, N, R + M]
        let weights = layers.wire("softmax", Softmax, &[all])?;
        let [own, tokens] = layers.parts(axis, [own, scores], weights)?;
        let tokens = layers.wire("of_tokens.mixed", MatMul, &[tokens, v])?;
        let own = layers.wire("of_prefix.mixed", MatMul, &[own, prefix.values])?;
        layers.wire("mixed", Add, &[tokens, own])
    }
}
