//! Sites, the places an adapter may sit, and sets of them.

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

/// Which sub-layer of a block an adapter follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// After the attention, before its residual addition.
    Attn,
    /// After the MLP, before its residual addition.
    Mlp,
}

impl Place {
    /// The place's word in tensor names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attn => "attn",
            Self::Mlp => "mlp",
        }
    }
}

/// A place for an adapter: after one sub-layer of one block.
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
    /// The sub-layer.
    pub place: Place,
}

impl Site {
    /// Makes a site.
    pub fn new(block: usize, place: Place) -> Self {
        Self { block, place }
    }

    /// Position in the order of computation: attention before MLP, block after block.
    pub fn index(self) -> usize {
        2 * self.block + (self.place == Place::Mlp) as usize
    }

    /// The inverse of [`Site::index`].
    pub fn from_index(index: usize) -> Self {
        let place = if index.is_multiple_of(2) { Place::Attn } else { Place::Mlp };
        Self::new(index / 2, place)
    }

    /// Key of the down-projection in a pack, e.g. `blocks.3.attn.adapter.down.weight`.
    pub fn down_key(self) -> String {
        format!("{self}.adapter.down.weight")
    }

    /// Key of the up-projection in a pack.
    pub fn up_key(self) -> String {
        format!("{self}.adapter.up.weight")
    }

    /// Parses the form `blocks.3.attn`.
    pub fn parse(text: &str) -> Option<Self> {
        let (block, place) = text.strip_prefix("blocks.")?.split_once('.')?;
        let place = match place {
            "attn" => Place::Attn,
            "mlp" => Place::Mlp,
            _ => return None,
        };
        Some(Self::new(block.parse().ok()?, place))
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks.{}.{}", self.block, self.place.as_str())
    }
}

/// A set of sites as bits; small, `Copy`, and cheap to compare, so that a plan is a plain key.
///
/// ```
/// use mimi_server::backbone::{BlockRange, SiteSet};
///
/// let all = SiteSet::all(BlockRange { start: 0, end: 12 });
/// let late = all.within(BlockRange { start: 8, end: 12 });
/// assert_eq!((all.len(), late.len()), (24, 8));
/// assert!(late.is_subset(all));
/// assert_eq!(late.lowest_block(), Some(8));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteSet(u128);

impl SiteSet {
    /// Deepest backbone a set can describe, in blocks (the deepest Swin and ViT have 24, ViT-g 40).
    pub const MAX_BLOCKS: usize = 64;
    /// The set without a site.
    pub const EMPTY: Self = Self(0);

    /// Both sites of every block of `blocks`.
    pub fn all(blocks: BlockRange) -> Self {
        blocks.iter().flat_map(|b| [Site::new(b, Place::Attn), Site::new(b, Place::Mlp)]).collect()
    }

    /// Adds a site.
    pub fn insert(&mut self, site: Site) {
        self.0 |= 1u128 << site.index();
    }

    /// Whether the set holds the site.
    pub fn contains(self, site: Site) -> bool {
        self.0 >> site.index() & 1 == 1
    }

    /// Sites in either set.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every site of this set is in `other`.
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Sites within the blocks of `blocks`.
    pub fn within(self, blocks: BlockRange) -> Self {
        Self(self.0 & Self::all(blocks).0)
    }

    /// The first block with a site.
    pub fn lowest_block(self) -> Option<usize> {
        (self.0 != 0).then(|| Site::from_index(self.0.trailing_zeros() as usize).block)
    }

    /// How many sites there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The sites in order of computation.
    pub fn iter(self) -> impl Iterator<Item = Site> {
        (0..128).filter(move |i| self.0 >> i & 1 == 1).map(Site::from_index)
    }
}

impl FromIterator<Site> for SiteSet {
    fn from_iter<I: IntoIterator<Item = Site>>(sites: I) -> Self {
        let mut set = Self::EMPTY;
        sites.into_iter().for_each(|site| set.insert(site));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_numbered_in_order_of_computation() {
        for index in 0..48 {
            assert_eq!(Site::from_index(index).index(), index);
        }
        assert_eq!(Site::parse("blocks.3.mlp"), Some(Site::new(3, Place::Mlp)));
        assert_eq!(Site::parse("blocks.3.norm"), None);
    }

    #[test]
    fn a_set_restricted_to_a_range_forgets_the_rest() {
        let all = SiteSet::all(BlockRange { start: 0, end: 12 });
        let late = all.within(BlockRange { start: 8, end: 12 });
        assert_eq!((all.len(), late.len()), (24, 8));
        assert!(late.is_subset(all) && !all.is_subset(late));
        assert_eq!(late.iter().next(), Some(Site::new(8, Place::Attn)));
    }
}
