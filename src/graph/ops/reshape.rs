//! Another shape for the same elements.

use super::{Constant, Operator, exactly, one};
use crate::graph::{Dim, Fact};

/// Gives `[B, ..]` the shape `[B, rest..]`; the batch stays first.
#[derive(Debug)]
pub struct Reshape {
    /// The dimensions after the batch.
    pub rest: Vec<usize>,
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let [Dim::Batch, rest @ ..] = &x.shape[..] else {
            return Err("expected the batch first".into());
        };
        let before: Option<usize> = rest.iter().map(|dim| dim.fixed()).product();
        let after: usize = self.rest.iter().product();
        if before != Some(after) {
            return Err(format!("{after} elements a row do not fit"));
        }
        let rest = self.rest.iter().map(|&n| Dim::Fixed(n));
        one(Fact::f32([Dim::Batch].into_iter().chain(rest).collect::<Vec<_>>()))
    }

    fn constants(&self) -> Vec<Constant> {
        // 0 keeps the input's own dimension: the batch.
        vec![Constant::I64([0].into_iter().chain(self.rest.iter().map(|&n| n as i64)).collect())]
    }
}
