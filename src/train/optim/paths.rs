//! Stochastic depth: which branches a row goes without (Huang et al. 2016, as timm's `drop_path`).
//!
//! ```text
//! x ← x + m · branch(x)          m = 0 with the chance p, else 1 / (1 − p)
//! p = p_L · block / (L − 1)      of a sub-layer; p_L of a module behind a whole block (Adapter+)
//! ```

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::backbone::Site;
use crate::graph::{Graph, KEEP};

/// A branch that may be dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Name of its input.
    pub input: String,
    /// The chance that a row goes without it.
    pub rate: f64,
}

impl Path {
    /// What the branch is multiplied by in each row, `[B]`.
    pub fn draw(&self, rows: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
        let keep = 1.0 - self.rate;
        (0..rows).map(|_| if random.random::<f64>() < keep { (1.0 / keep) as f32 } else { 0.0 }).collect()
    }
}

/// The branches of a training graph over `depth` blocks that may be dropped, the last block's with the chance `rate`.
pub fn paths(graph: &Graph, rate: f64, depth: usize) -> Vec<Path> {
    let names = graph.inputs().iter().map(|&wire| graph.wire_name(wire));
    let path = |name: &str| {
        let own = match Site::parse(name.strip_prefix(KEEP)?) {
            Some(site) => rate * site.block as f64 / (depth.max(2) - 1) as f64,
            None => rate,
        };
        Some(Path { input: name.to_owned(), rate: own })
    };
    names.filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn rows_are_dropped_by_chance_and_the_rest_makes_up_for_it() {
        let path = Path { input: String::new(), rate: 0.25 };
        let drawn = path.draw(20_000, &mut ChaCha8Rng::seed_from_u64(1));
        let dropped = drawn.iter().filter(|m| **m == 0.0).count() as f64 / 20_000.0;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        assert!((drawn.iter().sum::<f32>() / 20_000.0 - 1.0).abs() < 0.02);
    }
}
