//! Sites: the places in a block where something may be changed.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Half-open range of blocks, numbered from 0 over the whole backbone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockRange {
    /// First block in the range.
    pub start: usize,
    /// First block after the range.
    pub end: usize,
}

impl BlockRange {
    /// The blocks in order.
    pub fn iter(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether the range holds `block`.
    pub fn contains(self, block: usize) -> bool {
        self.start <= block && block < self.end
    }
}

impl fmt::Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// A part of a block whose result may be changed, in order of computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The embedding of patches or of a stage's tokens, where the block is the first to see them.
    Tokens,
    /// The norm of those tokens: ViT's `norm_pre`, Swin's patch norm and the norm before it merges, CvT's stage norm.
    TokensNorm,
    /// The norm before the attention.
    Norm1,
    /// The query projection.
    Q,
    /// The key projection.
    K,
    /// The value projection.
    V,
    /// The scores of the attention, before the softmax: Swin's relative positions.
    Scores,
    /// The output projection of the attention.
    Proj,
    /// The whole attention, before its residual addition.
    Attn,
    /// The norm before the MLP.
    Norm2,
    /// The first linear layer of the MLP.
    Fc1,
    /// The second.
    Fc2,
    /// The whole MLP, before its residual addition.
    Mlp,
    /// The block's output, after both residual additions.
    Out,
}

impl Place {
    /// Every place, in order of computation.
    pub const ALL: [Self; 14] = [
        Self::Tokens,
        Self::TokensNorm,
        Self::Norm1,
        Self::Q,
        Self::K,
        Self::V,
        Self::Scores,
        Self::Proj,
        Self::Attn,
        Self::Norm2,
        Self::Fc1,
        Self::Fc2,
        Self::Mlp,
        Self::Out,
    ];

    /// The place's word in tensor names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::TokensNorm => "tokens_norm",
            Self::Norm1 => "norm1",
            Self::Q => "q",
            Self::K => "k",
            Self::V => "v",
            Self::Scores => "scores",
            Self::Proj => "proj",
            Self::Attn => "attn",
            Self::Norm2 => "norm2",
            Self::Fc1 => "fc1",
            Self::Fc2 => "fc2",
            Self::Mlp => "mlp",
            Self::Out => "out",
        }
    }

    /// Whether a linear layer makes what leaves the place.
    pub fn is_linear(self) -> bool {
        matches!(self, Self::Q | Self::K | Self::V | Self::Proj | Self::Fc1 | Self::Fc2)
    }
}

/// A place of one block.
///
/// ```
/// use mimi_server::backbone::{Place, Site};
///
/// let site = Site::new(3, Place::Attn);
/// assert_eq!(site.to_string(), "blocks.3.attn");
/// assert_eq!(Site::parse("blocks.3.attn"), Some(site));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// The block's number.
    pub block: usize,
    /// The place in it.
    pub place: Place,
}

impl Site {
    /// Makes a site.
    pub fn new(block: usize, place: Place) -> Self {
        Self { block, place }
    }

    /// The sites of adapters in `blocks`, in order of computation: after the attention and after the MLP.
    pub fn of_adapters(blocks: BlockRange) -> impl Iterator<Item = Self> {
        blocks.iter().flat_map(|block| [Self::new(block, Place::Attn), Self::new(block, Place::Mlp)])
    }

    /// Parses the form `blocks.3.attn`.
    pub fn parse(text: &str) -> Option<Self> {
        let (block, place) = text.strip_prefix("blocks.")?.split_once('.')?;
        let place = Place::ALL.into_iter().find(|known| known.as_str() == place)?;
        let number: usize = block.parse().ok()?;
        // One spelling: two keys must not name one site.
        (number.to_string() == block).then(|| Self::new(number, place))
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks.{}.{}", self.block, self.place.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_ordered_by_computation_and_read_as_they_are_written() {
        let sites: Vec<Site> = (0..3).flat_map(|b| Place::ALL.map(|place| Site::new(b, place))).collect();
        assert!(sites.is_sorted());
        assert!(sites.iter().all(|site| Site::parse(&site.to_string()) == Some(*site)));
        for other in ["blocks.3.norm", "blocks.03.attn", "blocks.+3.attn", "blocks..attn"] {
            assert_eq!(Site::parse(other), None);
        }
    }
}
