//! CvT: a transformer whose tokens are embedded, and projected to queries, keys and values, by convolutions.
//!
//! # Tokens
//!
//! A stage's tokens are its map row by row; in the last stage the class token precedes them. This is also the
//! hidden state at any boundary of blocks: a stage's token embedding belongs to its first block, so what enters
//! that block are the tokens of the stage before.

use serde::{Deserialize, Serialize};

use super::shape::{BlockShape, PlaceShape, Shape, ensure, ensure_numerics, push_linear, push_norm};
use super::{Activation, Error, Form, ModuleSet, Place, Site};

/// The convolutions that make queries, keys and values.
pub const PROJECTIONS: [&str; 3] = ["q", "k", "v"];

/// Shape of a CvT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CvtConfig {
    /// Side of the square input, pixels (S).
    pub image_size: usize,
    /// The stages, of which the last has a class token.
    pub stages: Vec<CvtStage>,
    /// The MLP's non-linearity; the adapters' is QuickGELU whatever this is.
    pub activation: Activation,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f32,
    /// Whether a layer norm follows the last block: not in a checkpoint of the bare `CvtModel`.
    pub final_norm: bool,
}

/// Shape of one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CvtStage {
    /// Width of a token (D).
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads (H).
    pub heads: usize,
    /// Width of the MLP's hidden layer.
    pub mlp_width: usize,
    /// Side of the token embedding's kernel, pixels of the map before.
    pub patch_size: usize,
    /// Its stride.
    pub patch_stride: usize,
    /// Zeros around the map before.
    pub patch_padding: usize,
    /// Side of the projections' kernels, odd, so that zeros around the map keep its size.
    pub kernel: usize,
    /// Stride of keys and values; above 1 there are fewer of them than tokens.
    pub kv_stride: usize,
}

/// One block's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CvtBlock<'a> {
    /// The stage's number, from 0.
    pub stage: usize,
    /// The block's number within the stage, from 0.
    pub index: usize,
    /// The stage.
    pub shape: &'a CvtStage,
    /// Whether it is the last of all: it computes only the class token, the one that the pooling reads. Its keys
    /// and values still come from all tokens.
    pub last: bool,
}

impl CvtConfig {
    /// Where the block numbered `block` over all stages stands, if there is one.
    pub fn block(&self, block: usize) -> Option<CvtBlock<'_>> {
        let mut index = block;
        for (stage, shape) in self.stages.iter().enumerate() {
            match index.checked_sub(shape.depth) {
                Some(rest) => index = rest,
                None => {
                    let last = stage + 1 == self.stages.len() && index + 1 == shape.depth;
                    return Some(CvtBlock { stage, index, shape, last });
                }
            }
        }
        None
    }

    /// Tokens along one side of a stage's map.
    pub fn grid(&self, stage: usize) -> usize {
        self.stages.iter().take(stage + 1).fold(self.image_size, |side, stage| {
            positions(side, stage.patch_size, stage.patch_stride, stage.patch_padding)
        })
    }

    /// Tokens before those of the map.
    pub fn class_tokens(&self, stage: usize) -> usize {
        (stage + 1 == self.stages.len()) as usize
    }

    /// Tokens of a stage (N).
    pub fn tokens(&self, stage: usize) -> usize {
        self.grid(stage).saturating_mul(self.grid(stage)) + self.class_tokens(stage)
    }

    /// The first block of a stage.
    pub fn first_block(&self, stage: usize) -> usize {
        self.stages.iter().take(stage).map(|stage| stage.depth).sum()
    }

    /// Keys along one side of a block's map.
    fn keys(&self, block: &CvtBlock<'_>) -> usize {
        let (kernel, stride) = (block.shape.kernel, block.shape.kv_stride);
        positions(self.grid(block.stage), kernel, stride, kernel / 2)
    }

    fn push_block(list: &mut Vec<(String, Vec<usize>)>, block: usize, stage: &CvtStage) {
        let (d, m, k) = (stage.width, stage.mlp_width, stage.kernel);
        let b = format!("blocks.{block}");
        push_norm(list, &format!("{b}.norm1"), d);
        for name in PROJECTIONS {
            list.push((format!("{b}.attn.{name}_conv.weight"), vec![d, 1, k, k]));
            list.push((format!("{b}.attn.{name}_conv.bias"), vec![d]));
            push_linear(list, &format!("{b}.attn.{name}_proj"), d, d);
        }
        push_linear(list, &format!("{b}.attn.proj"), d, d);
        push_norm(list, &format!("{b}.norm2"), d);
        push_linear(list, &format!("{b}.mlp.fc1"), d, m);
        push_linear(list, &format!("{b}.mlp.fc2"), m, d);
    }

    fn validate_stage(&self, index: usize, stage: &CvtStage) -> Result<(), Error> {
        let positive = [
            ("stages.width", stage.width),
            ("stages.depth", stage.depth),
            ("stages.heads", stage.heads),
            ("stages.mlp_width", stage.mlp_width),
            ("stages.patch_size", stage.patch_size),
            ("stages.patch_stride", stage.patch_stride),
            ("stages.kv_stride", stage.kv_stride),
        ];
        for (field, value) in positive {
            ensure(value > 0, field, value, "it must be at least 1")?;
        }
        let heads = stage.width.is_multiple_of(stage.heads);
        ensure(heads, "stages.width", stage.width, "it is not a multiple of heads")?;
        ensure(stage.kernel % 2 == 1, "stages.kernel", stage.kernel, "it must be odd")?;
        let before = if index == 0 { self.image_size } else { self.grid(index - 1) };
        let fits = stage.patch_size <= before.saturating_add(stage.patch_padding.saturating_mul(2));
        ensure(fits, "stages.patch_size", stage.patch_size, "the map before is smaller")
    }
}

/// Positions of a kernel along a side.
fn positions(side: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    let room = side.saturating_add(padding.saturating_mul(2)).saturating_sub(kernel);
    room / stride.max(1) + 1
}

impl Shape for CvtConfig {
    fn image_size(&self) -> usize {
        self.image_size
    }

    fn depth(&self) -> usize {
        self.stages.iter().fold(0, |depth, stage| depth.saturating_add(stage.depth))
    }

    fn block_width(&self, block: usize) -> usize {
        self.block(block).map_or(0, |block| block.shape.width)
    }

    fn block_tokens(&self, block: usize) -> usize {
        let of = |block: CvtBlock<'_>| match block.last {
            true => self.class_tokens(block.stage),
            false => self.tokens(block.stage),
        };
        self.block(block).map_or(0, of)
    }

    fn patch_size(&self) -> usize {
        self.stages.first().map_or(1, |stage| stage.patch_size)
    }

    fn layer_norm_eps(&self) -> f32 {
        self.layer_norm_eps
    }

    fn feature_width(&self) -> usize {
        self.stages.last().map_or(0, |stage| stage.width)
    }

    /// QuickGELU (docs/method.md section 1: the reference's CvT hands its own non-linearity, that of Microsoft's code, to its
    /// adapters). Hugging Face's class has GELU in its MLPs.
    fn activation(&self) -> Activation {
        Activation::QuickGelu
    }

    fn place(&self, site: Site) -> Option<PlaceShape> {
        let block = self.block(site.block)?;
        let (d, map) = (block.shape.width, self.grid(block.stage).pow(2));
        let begins = block.index == 0;
        match site.place {
            Place::Tokens | Place::TokensNorm => begins.then(|| PlaceShape::new(d, d, map)),
            place => {
                let (all, hidden) = (self.tokens(block.stage), block.shape.mlp_width);
                let keys = self.class_tokens(block.stage) + self.keys(&block).pow(2);
                let asking = self.block_tokens(site.block);
                BlockShape { width: d, hidden, all, keys, asking }.place(place)
            }
        }
    }

    fn refuses(&self, form: Form) -> Option<&'static str> {
        let reason =
            "queries, keys and values are convolved from a map of tokens, in which prompts have no place";
        matches!(form, Form::Prompts | Form::Prefix).then_some(reason)
    }

    /// Kernels are `[D, D', K, K]`, `D'` the width before, and `[D, 1, K, K]` where each channel has its own.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (mut list, mut before, mut block) = (Vec::new(), 3, 0);
        for (s, stage) in self.stages.iter().enumerate() {
            let (d, k) = (stage.width, stage.patch_size);
            list.push((format!("stages.{s}.embed.weight"), vec![d, before, k, k]));
            list.push((format!("stages.{s}.embed.bias"), vec![d]));
            push_norm(&mut list, &format!("stages.{s}.norm"), d);
            if self.class_tokens(s) > 0 {
                list.push(("cls_token".into(), vec![1, 1, d]));
            }
            for _ in 0..stage.depth {
                Self::push_block(&mut list, block, stage);
                block += 1;
            }
            before = d;
        }
        if self.final_norm {
            push_norm(&mut list, "norm", before);
        }
        list
    }

    /// A batch norm has a scale besides the bias that is left of it when it is folded into its convolution.
    fn parameters(&self) -> u64 {
        let stored: usize = self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        let scales: usize = self.stages.iter().map(|s| PROJECTIONS.len() * s.depth * s.width).sum();
        (stored + scales) as u64
    }

    fn validate(&self) -> Result<(), Error> {
        ensure(self.image_size > 0, "image_size", self.image_size, "it must be at least 1")?;
        ensure(!self.stages.is_empty(), "stages", 0, "there must be at least one")?;
        for (index, stage) in self.stages.iter().enumerate() {
            self.validate_stage(index, stage)?;
        }
        let shallow = self.depth() <= ModuleSet::MAX_BLOCKS;
        ensure(shallow, "stages.depth", self.depth(), "at most 64 blocks are supported")?;
        ensure_numerics(self.activation, self.layer_norm_eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cvt(depths: [usize; 3]) -> CvtConfig {
        let stage = |i: usize| CvtStage {
            width: [64, 192, 384][i],
            depth: depths[i],
            heads: [1, 3, 6][i],
            mlp_width: 4 * [64, 192, 384][i],
            patch_size: [7, 3, 3][i],
            patch_stride: [4, 2, 2][i],
            patch_padding: [2, 1, 1][i],
            kernel: 3,
            kv_stride: 2,
        };
        let stages = (0..3).map(stage).collect();
        let activation = Activation::Gelu;
        CvtConfig { image_size: 224, stages, activation, layer_norm_eps: 1e-5, final_norm: true }
    }

    #[test]
    fn published_models_have_their_number_of_parameters() {
        // transformers 5.23.0, CvtForImageClassification without its classifier.
        assert_eq!(cvt([1, 2, 10]).parameters(), 19_612_480);
        assert_eq!(cvt([1, 4, 16]).parameters(), 31_237_696);
    }

    #[test]
    fn blocks_are_numbered_over_the_stages() {
        let cvt = cvt([1, 2, 10]);
        cvt.validate().unwrap();
        assert_eq!([0, 1, 2].map(|s| (cvt.grid(s), cvt.tokens(s))), [(56, 3136), (28, 784), (14, 197)]);
        let place = |block: usize| cvt.block(block).map(|block| (block.stage, block.index));
        assert_eq!([0, 1, 2, 3, 12].map(place), [(0, 0), (1, 0), (1, 1), (2, 0), (2, 9)].map(Some));
        assert_eq!(place(13), None);
        assert_eq!([1, 3, 4].map(|b| cvt.hidden_shape(b)), [[3136, 64], [784, 192], [197, 384]]);
        assert_eq!([11, 12].map(|b| cvt.block_tokens(b)), [197, 1]);
    }

    #[test]
    fn impossible_shapes_are_refused_by_name() {
        let with = |change: fn(&mut CvtStage)| {
            let mut cvt = cvt([1, 2, 10]);
            change(&mut cvt.stages[1]);
            cvt.validate().unwrap_err().to_string()
        };
        assert!(with(|s| s.heads = 7).contains("stages.width = 192"));
        assert!(with(|s| s.kernel = 2).contains("stages.kernel = 2"));
        assert!(with(|s| s.patch_size = 59).contains("the map before is smaller"));
        assert!(with(|s| s.depth = 60).contains("64 blocks"));
        assert!(CvtConfig { stages: vec![], ..cvt([1, 2, 10]) }.validate().is_err());
    }
}
