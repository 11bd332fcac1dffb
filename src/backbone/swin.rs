//! Swin (v1): attention within windows that shift from block to block, and stages of falling resolution.
//!
//! # Order of tokens
//!
//! Everything in a block but the attention works token by token, so tokens travel in the order of windows: a
//! block's tokens are those of its first window row by row, then those of its second, and the windows themselves
//! go row by row over the (shifted) map. The next block brings them into its own order by one permutation, which
//! is roll, partition and their inverses in one. [`SwinConfig::order`] is the order in which a block works and
//! leaves its tokens.

use serde::{Deserialize, Serialize};

use super::shape::{BlockShape, PlaceShape, Shape, ensure, ensure_numerics, push_linear, push_norm};
use super::{Activation, Error, Form, ModuleSet, Place, Site};

/// Pixels of a map that one merging makes one, along a side.
const MERGED: usize = 2;

/// Shape of a Swin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwinConfig {
    /// Side of the square input, pixels (S).
    pub image_size: usize,
    /// Side of a square patch, pixels.
    pub patch_size: usize,
    /// Width of a token in the first stage; each stage doubles it.
    pub width: usize,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Attention heads of each stage (H).
    pub heads: Vec<usize>,
    /// Side of a square window, tokens (W).
    pub window: usize,
    /// Width of the MLP's hidden layer, in widths of a token.
    pub mlp_ratio: usize,
    /// The MLP's non-linearity.
    pub activation: Activation,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f32,
}

/// One block's place in its stage, and the stage's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwinBlock {
    /// The stage, from 0.
    pub stage: usize,
    /// The block's number within the stage, from 0.
    pub index: usize,
    /// Width of a token (D).
    pub width: usize,
    /// Attention heads (H).
    pub heads: usize,
    /// Tokens along one side of the map (G).
    pub grid: usize,
    /// By how many tokens the windows are shifted down and right; 0 for regular windows.
    pub shift: usize,
}

impl SwinBlock {
    /// Whether patches are merged before this block.
    pub fn merges(&self) -> bool {
        self.stage > 0 && self.index == 0
    }
}

impl SwinConfig {
    /// Where the block numbered `block` over all stages stands. One that does not exist counts to the last stage.
    pub fn block(&self, block: usize) -> SwinBlock {
        let (mut stage, mut index) = (0, block);
        while stage + 1 < self.depths.len() && index >= self.depths[stage] {
            index -= self.depths[stage];
            stage += 1;
        }
        let grid = self.image_size / self.patch_size / MERGED.pow(stage as u32);
        // One window over the whole map has nowhere to shift to.
        let shifted = index % 2 == 1 && grid > self.window;
        SwinBlock {
            stage,
            index,
            width: self.width << stage,
            heads: self.heads.get(stage).copied().unwrap_or(1),
            grid,
            shift: if shifted { self.window / 2 } else { 0 },
        }
    }

    /// For each position among a block's tokens, the token's number in the map, row by row.
    ///
    /// # Shapes
    /// `[N]`.
    pub fn order(&self, block: SwinBlock) -> Vec<usize> {
        let (w, grid) = (self.window, block.grid);
        let windows = grid / w;
        let along = |window: usize, inside: usize| (window * w + inside + block.shift) % grid;
        let token = |position: usize| {
            let (window, inside) = (position / (w * w), position % (w * w));
            let row = along(window / windows, inside / w);
            row * grid + along(window % windows, inside % w)
        };
        (0..grid * grid).map(token).collect()
    }

    /// The region of the map in which each of a shifted block's tokens lies, in the block's order. Rolling brings
    /// what was not adjacent into one window, where only tokens of one region attend to each other.
    ///
    /// # Shapes
    /// `[N]`.
    pub fn regions(&self, block: SwinBlock) -> Vec<usize> {
        let (w, grid) = (self.window, block.grid);
        let windows = grid / w;
        // Along one axis of the rolled map: the last window begins in the old last rows and ends in the old first.
        let band = |x: usize| usize::from(x >= grid - w) + usize::from(x >= grid - block.shift);
        let region = |position: usize| {
            let (window, inside) = (position / (w * w), position % (w * w));
            3 * band(window / windows * w + inside / w) + band(window % windows * w + inside % w)
        };
        (0..grid * grid).map(region).collect()
    }

    /// Entries of a head's table of relative positions: offsets of `-(W-1)..W` along both axes.
    pub fn offsets(&self) -> usize {
        (2 * self.window - 1).pow(2)
    }

    /// The entry of the table for a query and a key of a window: that of offset (a − c, b − d) of their rows and columns,
    /// counted from (1 − W, 1 − W) row by row.
    pub fn offset(&self, query: usize, key: usize) -> usize {
        let w = self.window;
        let (a, b, c, d) = (query / w, query % w, key / w, key % w);
        (a + w - 1 - c) * (2 * w - 1) + (b + w - 1 - d)
    }

    fn push_block(&self, list: &mut Vec<(String, Vec<usize>)>, number: usize) {
        let block = self.block(number);
        let (d, m) = (block.width, block.width * self.mlp_ratio);
        let b = format!("blocks.{number}");
        if block.merges() {
            // Four tokens of half the width.
            push_norm(list, &format!("{b}.merge.norm"), 2 * d);
            list.push((format!("{b}.merge.reduction.weight"), vec![2 * d, d]));
        }
        push_norm(list, &format!("{b}.norm1"), d);
        for name in ["q_proj", "k_proj", "v_proj", "proj"] {
            push_linear(list, &format!("{b}.attn.{name}"), d, d);
        }
        let n = self.window * self.window;
        list.push((format!("{b}.attn.position_bias"), vec![block.heads, n, n]));
        push_norm(list, &format!("{b}.norm2"), d);
        push_linear(list, &format!("{b}.mlp.fc1"), d, m);
        push_linear(list, &format!("{b}.mlp.fc2"), m, d);
    }

    fn blocks(&self) -> impl Iterator<Item = SwinBlock> {
        (0..self.depth()).map(|block| self.block(block))
    }
}

impl Shape for SwinConfig {
    fn image_size(&self) -> usize {
        self.image_size
    }

    fn depth(&self) -> usize {
        self.depths.iter().sum()
    }

    fn block_width(&self, block: usize) -> usize {
        self.block(block).width
    }

    fn block_tokens(&self, block: usize) -> usize {
        self.block(block).grid.pow(2)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn layer_norm_eps(&self) -> f32 {
        self.layer_norm_eps
    }

    fn feature_width(&self) -> usize {
        self.block(self.depth()).width
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn place(&self, site: Site) -> Option<PlaceShape> {
        if site.block >= self.depth() {
            return None;
        }
        let (block, n) = (self.block(site.block), self.window * self.window);
        let (d, all) = (block.width, block.grid * block.grid);
        match site.place {
            Place::Tokens => (site.block == 0).then(|| PlaceShape::new(d, d, all)),
            Place::TokensNorm if site.block == 0 => Some(PlaceShape::new(d, d, all)),
            // Four tokens of half the width are normed together.
            Place::TokensNorm => block.merges().then(|| PlaceShape::new(2 * d, 2 * d, all)),
            Place::Scores => Some(PlaceShape { input: d, output: vec![block.heads, n, n], tokens: all }),
            place => {
                let hidden = d * self.mlp_ratio;
                BlockShape { width: d, hidden, all, keys: all, asking: all }.place(place)
            }
        }
    }

    fn refuses(&self, form: Form) -> Option<&'static str> {
        (form == Form::Prompts).then_some("prompts that stay belong to no window and no merged patch")
    }

    /// The patch kernel is `[D, 3, P, P]`; `position_bias` is `[H, W², W²]`, each head's table of relative positions
    /// gathered at import, so that a program just adds it.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, p) = (self.width, self.patch_size);
        let mut list = vec![("patch_embed.proj.weight".into(), vec![d, 3, p, p])];
        list.push(("patch_embed.proj.bias".into(), vec![d]));
        push_norm(&mut list, "patch_embed.norm", d);
        (0..self.depth()).for_each(|block| self.push_block(&mut list, block));
        push_norm(&mut list, "norm", self.feature_width());
        list
    }

    /// A gathered table repeats its entries; they count once.
    fn parameters(&self) -> u64 {
        let stored: u64 =
            self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
        let repeated = self.window.pow(4) - self.offsets();
        let heads: usize = self.blocks().map(|block| block.heads).sum();
        stored - (repeated * heads) as u64
    }

    fn validate(&self) -> Result<(), Error> {
        const MOST_STAGES: usize = 8;
        let positive = [
            ("image_size", self.image_size),
            ("patch_size", self.patch_size),
            ("width", self.width),
            ("window", self.window),
            ("mlp_ratio", self.mlp_ratio),
        ];
        for (field, value) in positive {
            ensure(value > 0, field, value, "it must be at least 1")?;
        }
        let stages = self.depths.len();
        ensure((1..=MOST_STAGES).contains(&stages), "depths", stages, "there must be 1 to 8 stages")?;
        ensure(self.heads.len() == stages, "heads", self.heads.len(), "each stage needs its number")?;
        ensure(!self.depths.contains(&0), "depths", "0", "a stage needs a block")?;
        let depth = self.depths.iter().fold(0usize, |sum, &n| sum.saturating_add(n));
        ensure(depth <= ModuleSet::MAX_BLOCKS, "depths", depth, "at most 64 blocks are supported")?;
        let whole = self.image_size.is_multiple_of(self.patch_size << (stages - 1));
        ensure(whole, "image_size", self.image_size, "it is not a multiple of patch_size and the mergings")?;
        for block in self.blocks() {
            let fits = block.grid.is_multiple_of(self.window);
            ensure(fits, "window", self.window, "it does not divide the map of every stage")?;
            let split = block.heads > 0 && block.width.is_multiple_of(block.heads);
            ensure(split, "heads", block.heads, "it does not divide the stage's width")?;
        }
        ensure_numerics(self.activation, self.layer_norm_eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swin(width: usize, depths: [usize; 4], window: usize) -> SwinConfig {
        SwinConfig {
            image_size: 32 * window,
            patch_size: 4,
            width,
            depths: depths.into(),
            heads: (0..4).map(|stage| (width << stage) / 32).collect(),
            window,
            mlp_ratio: 4,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-5,
        }
    }

    #[test]
    fn published_models_have_the_published_number_of_parameters() {
        // timm 1.0.31, num_classes=0: swin_{tiny,small,base,large}_patch4_window7_224 and the 384 ones.
        let cases = [
            (swin(96, [2, 2, 6, 2], 7), 27_519_354),
            (swin(96, [2, 2, 18, 2], 7), 48_837_258),
            (swin(128, [2, 2, 18, 2], 7), 86_743_224),
            (swin(192, [2, 2, 18, 2], 7), 194_995_476),
            (swin(128, [2, 2, 18, 2], 12), 86_878_584),
            (swin(192, [2, 2, 18, 2], 12), 195_198_516),
        ];
        for (config, expected) in cases {
            config.validate().unwrap();
            assert_eq!(config.parameters(), expected, "{config:?}");
        }
    }

    #[test]
    fn blocks_are_numbered_through_the_stages() {
        let t = swin(96, [2, 2, 6, 2], 7);
        let at = |block| {
            let b = t.block(block);
            (b.stage, b.index, b.width, b.heads, b.grid, b.shift, b.merges())
        };
        assert_eq!(at(0), (0, 0, 96, 3, 56, 0, false));
        assert_eq!(at(3), (1, 1, 192, 6, 28, 3, false));
        assert_eq!(at(4), (2, 0, 384, 12, 14, 0, true));
        assert_eq!(at(11), (3, 1, 768, 24, 7, 0, false), "one window cannot shift");
        assert_eq!((t.hidden_shape(4), t.hidden_shape(5)), (vec![784, 192], vec![196, 384]));
        assert_eq!(t.feature_width(), 768);
    }

    #[test]
    fn an_order_goes_window_by_window() {
        let t = SwinConfig { image_size: 16, depths: vec![2], heads: vec![3], ..swin(96, [1; 4], 2) };
        assert_eq!(t.order(t.block(0)), [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
        // Shifted by one: the last window holds the four corners, which do not see each other.
        assert_eq!(t.order(t.block(1)), [5, 6, 9, 10, 7, 4, 11, 8, 13, 14, 1, 2, 15, 12, 3, 0]);
        assert_eq!(t.regions(t.block(1)), [0, 0, 0, 0, 1, 2, 1, 2, 3, 3, 6, 6, 4, 5, 7, 8]);
    }

    #[test]
    fn impossible_shapes_are_refused_by_name() {
        let refused = |config: SwinConfig, word: &str| {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        let t = || swin(96, [2, 2, 6, 2], 7);
        refused(SwinConfig { image_size: 256, ..t() }, "window = 7");
        refused(SwinConfig { image_size: 112, ..t() }, "image_size = 112");
        refused(SwinConfig { heads: vec![3, 6, 12], ..t() }, "heads = 3");
        refused(SwinConfig { heads: vec![3, 6, 12, 7], ..t() }, "heads = 7");
        refused(SwinConfig { depths: vec![2, 0, 6, 2], ..t() }, "depths = 0");
        refused(SwinConfig { depths: vec![usize::MAX, 2, 6, 2], ..t() }, "depths");
    }
}
