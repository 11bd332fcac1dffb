//! Zero rows before a sequence.

use super::{Constant, Operator, exactly, one};
use crate::graph::{Dim, Fact};

/// `[B, n, D]` with `rows` zero positions put before it: `[B, rows + n, D]`.
///
/// Makes room for class and register tokens, which are then added with the positions: unlike `Expand`, this
/// needs no run-time shape.
#[derive(Debug)]
pub struct PadFront {
    /// Zero positions to add.
    pub rows: usize,
}

impl Operator for PadFront {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let [batch, Dim::Fixed(n), width] = x.shape[..] else {
            return Err("expected a sequence [B, n, D]".into());
        };
        one(Fact::f32([batch, Dim::Fixed(n + self.rows), width]))
    }

    fn constants(&self) -> Vec<Constant> {
        vec![Constant::I64(vec![0, self.rows as i64, 0, 0, 0, 0])]
    }
}
