//! Which of the backbone's weights are trained.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::tables::Table;
use crate::backbone::{BackboneConfig, BlockRange, ModuleSet};
use crate::graph::{Plan, build};

/// Weights of the backbone, by what they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// All.
    Full,
    /// Queries, keys, values, their projection, and relative positions.
    Attention,
    /// Both layers of every MLP.
    Mlp,
}

impl Subset {
    /// Every subset.
    pub const ALL: [Self; 3] = [Self::Full, Self::Attention, Self::Mlp];

    /// Its name in commands and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Attention => "attention",
            Self::Mlp => "mlp",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subset| subset.name() == name)
    }

    /// Its settings with their sources, as JSON.
    pub(super) fn recipe(self) -> &'static str {
        match self {
            Self::Full => include_str!("../../../../recipes/full.json"),
            Self::Attention => include_str!("../../../../recipes/attention.json"),
            Self::Mlp => include_str!("../../../../recipes/mlp.json"),
        }
    }

    /// Why there is no pack of it.
    pub fn refusal(self) -> String {
        format!(
            "{} fine-tuning changes the backbone's own weights: it would share no backbone with other tasks, so there is \
             no pack of it. `server compare --contenders {}` trains and measures it",
            self.name(),
            self.name()
        )
    }

    /// Whether it holds a weight that the blocks from its first on read.
    fn holds(self, name: &str) -> bool {
        let of_block = |part: &str| {
            let rest = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
            rest.is_some_and(|(_, rest)| rest.starts_with(part))
        };
        match self {
            Self::Full => true,
            Self::Attention => of_block("attn."),
            Self::Mlp => of_block("mlp."),
        }
    }

    /// Shape of every weight that is trained, by name, in the blocks from `first` on and behind them; from block 0, the
    /// embedding too.
    ///
    /// # Errors
    /// When the backbone's configuration contradicts itself.
    pub fn weights(self, config: &BackboneConfig, first: usize) -> Result<BTreeMap<String, Vec<usize>>> {
        let blocks = BlockRange { start: first, end: config.depth() };
        let graph = build(config, &Plan { blocks, modules: ModuleSet::EMPTY })?;
        let shape = |wire| graph.fact(wire).shape.iter().filter_map(|dim| dim.fixed()).collect();
        let own = graph.weights().filter(|(name, _)| self.holds(name));
        Ok(own.map(|(name, wire)| (name.to_owned(), shape(wire))).collect())
    }

    /// Numbers that are trained, without the head.
    ///
    /// # Errors
    /// As [`Subset::weights`].
    pub fn parameters(self, config: &BackboneConfig, first: usize) -> Result<usize> {
        let weights = self.weights(config, first)?;
        let count = |(name, shape): (&String, &Vec<usize>)| match Table::of(config, name) {
            Some(table) => table.len(),
            None => shape.iter().product(),
        };
        Ok(weights.iter().map(count).sum())
    }
}
