//! Swin's relative positions: all pairs of tokens as far apart share one number.

use crate::backbone::{Architecture, BackboneConfig};
use crate::graph::flat::Tie;

/// How a stored bias `[H, W², W²]` is made of a table `[H, (2W − 1)²]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Heads (H).
    heads: usize,
    /// Side of a window (W).
    window: usize,
}

impl Table {
    /// The table behind a weight; none of one that has none.
    pub fn of(config: &BackboneConfig, weight: &str) -> Option<Self> {
        let Architecture::Swin(swin) = &config.architecture else { return None };
        let block = weight.strip_prefix("blocks.")?.strip_suffix(".attn.position_bias")?.parse().ok()?;
        Some(Self { heads: swin.block(block).heads, window: swin.window })
    }

    /// Numbers of the table.
    pub fn len(&self) -> usize {
        self.heads * self.places()
    }

    /// Distances that two tokens of a window may have.
    fn places(&self) -> usize {
        (2 * self.window - 1).pow(2)
    }

    /// The place of each pair of tokens in a head's part of the table.
    fn pairs(&self) -> impl Iterator<Item = usize> + use<> {
        let (w, n) = (self.window, self.window * self.window);
        let along = move |a: usize, b: usize| a + w - 1 - b;
        (0..n * n).map(move |pair| {
            let (a, b) = (pair / n, pair % n);
            along(a / w, b / w) * (2 * w - 1) + along(a % w, b % w)
        })
    }

    /// The table's number for each element of the bias.
    fn all_pairs(&self) -> impl Iterator<Item = usize> + '_ {
        let of_head = move |head: usize| self.pairs().map(move |place| head * self.places() + place);
        (0..self.heads).flat_map(of_head)
    }

    /// The same as graphs know it.
    pub fn tie(&self) -> Tie {
        Tie::new(self.heads, self.pairs().collect())
    }

    /// The table of a bias.
    pub fn taken(&self, bias: &[f32]) -> Vec<f32> {
        let mut table = vec![0.0; self.len()];
        self.all_pairs().zip(bias).for_each(|(place, value)| table[place] = *value);
        table
    }

    /// The bias of a table.
    pub fn expanded(&self, table: &[f32]) -> Vec<f32> {
        self.all_pairs().map(|place| table[place]).collect()
    }

    /// The gradient of a table, given that of the bias.
    pub fn summed(&self, gradient: &[f32]) -> Vec<f32> {
        let mut table = vec![0.0; self.len()];
        self.all_pairs().zip(gradient).for_each(|(place, g)| table[place] += *g);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_taken_back_from_what_it_expands_to_and_gradients_sum_over_pairs() {
        let table = Table { heads: 2, window: 3 };
        let values: Vec<f32> = (0..table.len()).map(|i| i as f32).collect();
        let bias = table.expanded(&values);
        assert_eq!((values.len(), bias.len()), (2 * 25, 2 * 81));
        assert_eq!(table.taken(&bias), values);
        let summed = table.summed(&vec![1.0; bias.len()]);
        // Nine tokens are as far from themselves, one pair is two steps apart both ways.
        assert_eq!((summed[12], summed[0], summed[24]), (9.0, 1.0, 1.0));
        assert_eq!(summed.iter().sum::<f32>(), bias.len() as f32);
    }
}
