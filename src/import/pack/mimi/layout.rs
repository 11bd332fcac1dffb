//! Names of the reference implementation's tensors.
//!
//! | backbone | adapters |
//! |---|---|
//! | Swin | `layers.{s}.blocks.{b}.parallel_mlp{1,2}.fc{1,2}.` |
//! | ViT | `transformer.encoder.layer.{i}.parallel_mlp{1,2}.fc{1,2}.` |
//! | CvT | `stage{s}.blocks.{b}.parallel_mlp{1,2}.fc{1,2}.` |
//! | T2T-ViT | `blocks.{i}.parallel_mlp{1,2}.fc{1,2}.` |
//!
//! Source: docs/method.md section 7.

use std::collections::BTreeMap;
use std::fmt;

use super::Error;
use crate::backbone::{Activation, ModuleSet, Place, Site};

/// Which of the reference implementation's models a checkpoint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Swin.
    Swin,
    /// ViT.
    Vit,
    /// CvT.
    Cvt,
    /// T2T-ViT.
    T2t,
}

/// Every family; T2T last, because its prefix is the plainest.
const FAMILIES: [Family; 4] = [Family::Swin, Family::Vit, Family::Cvt, Family::T2t];

/// What stands in an adapter's module.
pub(super) const MODULE: &str = "parallel_mlp";

impl Family {
    /// The family whose naming the adapters have.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Result<Self, Error> {
        let names = names.filter(|name| name.contains(MODULE));
        let first = names.clone().next();
        let first = first.ok_or_else(|| Error::Layout(format!("no tensor's name has {MODULE}")))?;
        let family = FAMILIES.into_iter().find(|family| family.block(first).is_some());
        let family = family
            .ok_or_else(|| Error::Layout(format!("{first} is not named as in Swin, ViT, CvT or T2T")))?;
        match names.clone().find(|name| family.block(name).is_none()) {
            Some(other) => Err(Error::Layout(format!("{first} is named as in {family}, {other} is not"))),
            None => Ok(family),
        }
    }

    /// Non-linearity of the adapters: GELU, and in CvT the backbone's QuickGELU (docs/method.md section 1).
    pub fn activation(self) -> Activation {
        match self {
            Self::Swin | Self::Vit | Self::T2t => Activation::Gelu,
            Self::Cvt => Activation::QuickGelu,
        }
    }

    /// Whether the adapter behind the attention takes part in the forward pass: not in ViT, where it is built,
    /// trained, ranked and never used (docs/method.md section 1).
    pub fn uses(self, place: Place) -> bool {
        !(self == Self::Vit && place == Place::Attn)
    }

    /// Stage, block within the stage, and what follows, of a tensor of a block.
    pub(super) fn block(self, name: &str) -> Option<(usize, usize, &str)> {
        let (stage, rest) = match self {
            Self::Swin => number(name.strip_prefix("layers.")?)?,
            Self::Cvt => number(name.strip_prefix("stage")?)?,
            Self::Vit | Self::T2t => (0, name),
        };
        let rest = match self {
            Self::Swin | Self::Cvt => rest.strip_prefix(".blocks.")?,
            Self::Vit => rest.strip_prefix("transformer.encoder.layer.")?,
            Self::T2t => rest.strip_prefix("blocks.")?,
        };
        let (block, rest) = number(rest)?;
        Some((stage, block, rest.strip_prefix('.')?))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Swin => "Swin",
            Self::Vit => "ViT",
            Self::Cvt => "CvT",
            Self::T2t => "T2T-ViT",
        })
    }
}

/// A number of at most three digits at the start of a text, and the rest.
fn number(text: &str) -> Option<(usize, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.len() <= 3).then(|| digits.parse().ok())?.map(|number| (number, rest))
}

/// Blocks of each stage, flattened into one numbering.
pub(super) struct Stages(Vec<usize>);

impl Stages {
    /// Counts the blocks that tensors are of.
    pub(super) fn of<'a>(family: Family, names: impl Iterator<Item = &'a String>) -> Result<Self, Error> {
        let mut depths: BTreeMap<usize, usize> = BTreeMap::new();
        for (stage, block, _) in names.filter_map(|name| family.block(name)) {
            let depth = depths.entry(stage).or_default();
            *depth = (*depth).max(block + 1);
        }
        let contiguous = depths.keys().copied().eq(0..depths.len());
        let count: usize = depths.values().sum();
        if !contiguous || count > ModuleSet::MAX_BLOCKS {
            let stages: Vec<_> = depths.iter().collect();
            return Err(Error::Layout(format!("stages (number, blocks) {stages:?} are not possible")));
        }
        Ok(Self(depths.into_values().collect()))
    }

    /// Blocks in all.
    pub(super) fn depth(&self) -> usize {
        self.0.iter().sum()
    }

    /// Number of a stage's block over the whole backbone.
    pub(super) fn block(&self, stage: usize, block: usize) -> usize {
        self.0.iter().take(stage).sum::<usize>() + block
    }
}

/// Which matrix of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Matrix {
    /// `fc1`, `[N, M]`.
    Down,
    /// `fc2`, `[M, N]`.
    Up,
}

/// Where a tensor of an adapter belongs, and what it is there: `weight`, `weight_orig`, `weight_mask`, `bias`.
pub(super) fn part<'a>(family: Family, stages: &Stages, name: &'a str) -> Option<(Site, Matrix, &'a str)> {
    let (stage, block, rest) = family.block(name)?;
    let (place, rest) = match rest.strip_prefix(MODULE)?.split_once(".fc")? {
        ("1", rest) => (Place::Attn, rest),
        ("2", rest) => (Place::Mlp, rest),
        _ => return None,
    };
    let (matrix, kind) = match rest.split_once('.')? {
        ("1", kind) => (Matrix::Down, kind),
        ("2", kind) => (Matrix::Up, kind),
        _ => return None,
    };
    Some((Site::new(stages.block(stage, block), place), matrix, kind))
}
