//! The last axis taken apart and put together, whatever the sizes of the others: each is the other's gradient.

use super::check::{exactly, one};
use crate::graph::{Constant, Dim, Error, Fact, Gradients, Graph, Node, Operator, Wire};

/// The last axis as several: heads and what each has.
///
/// # Shapes
/// `[.., D]` to `[.., into..]`, whose product is `D`.
#[derive(Debug)]
pub struct SplitLast {
    /// What the axis becomes.
    pub into: Vec<usize>,
}

impl Operator for SplitLast {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let (last, before) = x.shape.split_last().ok_or("expected an axis")?;
        let product: usize = self.into.iter().product();
        if *last != Dim::Fixed(product) {
            return Err(format!("{product} elements do not fit an axis of {last}"));
        }
        let into = self.into.iter().map(|&n| Dim::Fixed(n));
        one(Fact::f32(before.iter().copied().chain(into).collect::<Vec<_>>()))
    }

    fn constants(&self, inputs: &[&Fact]) -> Vec<Constant> {
        // 0 keeps an axis as it is.
        let kept = inputs.first().map_or(0, |x| x.rank().saturating_sub(1));
        let into = self.into.iter().map(|&n| n as i64);
        vec![Constant::I64(std::iter::repeat_n(0, kept).chain(into).collect())]
    }

    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let join = JoinLast { axes: self.into.clone() };
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), join, &[grad])?), None])
    }
}

/// The last axes as one.
///
/// # Shapes
/// `[.., axes..]` to `[.., D]`, the product of the axes.
#[derive(Debug)]
pub struct JoinLast {
    /// The axes' sizes.
    pub axes: Vec<usize>,
}

impl Operator for JoinLast {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let own: Vec<Dim> = self.axes.iter().map(|&n| Dim::Fixed(n)).collect();
        let before = x.shape.strip_suffix(&own[..]).ok_or_else(|| format!("{x} does not end in {own:?}"))?;
        let joined = Dim::Fixed(self.axes.iter().product());
        one(Fact::f32(before.iter().copied().chain([joined]).collect::<Vec<_>>()))
    }

    fn constants(&self, inputs: &[&Fact]) -> Vec<Constant> {
        let kept = inputs.first().map_or(0, |x| x.rank().saturating_sub(self.axes.len()));
        let joined = self.axes.iter().product::<usize>() as i64;
        vec![Constant::I64(std::iter::repeat_n(0, kept).chain([joined]).collect())]
    }

    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let split = SplitLast { into: self.axes.clone() };
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), split, &[grad])?), None])
    }
}
