//! The ViT family: ViT, DeiT, the vision towers of CLIP and SigLIP, DINOv2. One description covers them all.

use serde::{Deserialize, Serialize};

use super::shape::{BlockShape, PlaceShape, Shape, ensure, ensure_numerics, push_linear, push_norm};
use super::{Activation, Error, Place, Pool, Site};

/// Shape of a ViT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Side of the square input, pixels (S).
    pub image_size: usize,
    /// Side of a square patch, pixels.
    pub patch_size: usize,
    /// Width of a token (D).
    pub width: usize,
    /// Number of blocks (L).
    pub depth: usize,
    /// Attention heads (H).
    pub heads: usize,
    /// Width of the MLP's hidden layer.
    pub mlp_width: usize,
    /// The MLP's non-linearity.
    pub activation: Activation,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f32,
    /// How tokens become one feature.
    pub pool: Pool,
    /// Whether there is a class token.
    pub class_token: bool,
    /// Whether a distillation token follows the class token (distilled DeiT).
    #[serde(default)]
    pub distillation_token: bool,
    /// Number of register tokens between class token and patches (DINOv2 with registers).
    pub registers: usize,
    /// Whether a layer norm precedes the first block (CLIP's `pre_layrnorm`).
    pub norm_pre: bool,
    /// Whether each branch is scaled by a learned vector (DINOv2's LayerScale).
    pub layer_scale: bool,
    /// Whether the patch embedding has a bias.
    pub patch_bias: bool,
    /// Whether mean and attention pooling read the tokens before the patches too (timm's `pool_include_prefix`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pool_prefix: bool,
}

impl VitConfig {
    /// Patches along one side.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Tokens in a sequence (N): patches, class token and registers.
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid() + self.prefix_tokens()
    }

    /// Tokens that the pooling reads, the first of the sequence; the last block computes no others. Its keys and
    /// values still come from all.
    pub fn read_tokens(&self) -> usize {
        match self.pool {
            Pool::Cls => 1,
            Pool::ClassAndDistillation => 2,
            Pool::Mean | Pool::MeanThenNorm | Pool::Attention => self.tokens(),
        }
    }

    /// The first token that mean and attention pooling read.
    pub fn first_pooled_token(&self) -> usize {
        if self.pool_prefix { 0 } else { self.prefix_tokens() }
    }

    /// Tokens before the patches.
    pub fn prefix_tokens(&self) -> usize {
        self.placed_tokens() + self.registers
    }

    /// Tokens before the patches that have a row in the position table; registers have none.
    pub fn placed_tokens(&self) -> usize {
        self.class_token as usize + self.distillation_token as usize
    }

    /// The pooling's query and key projection are one matrix `[D, H]`: see [`import`](super::import).
    fn push_attention_pool(&self, list: &mut Vec<(String, Vec<usize>)>) {
        let (d, m) = (self.width, self.mlp_width);
        list.push(("attn_pool.scores.weight".into(), vec![d, self.heads]));
        push_linear(list, "attn_pool.v_proj", d, d);
        push_linear(list, "attn_pool.proj", d, d);
        push_norm(list, "attn_pool.norm", d);
        push_linear(list, "attn_pool.mlp.fc1", d, m);
        push_linear(list, "attn_pool.mlp.fc2", m, d);
    }

    fn push_block(&self, list: &mut Vec<(String, Vec<usize>)>, block: usize) {
        let (d, m) = (self.width, self.mlp_width);
        let b = format!("blocks.{block}");
        push_norm(list, &format!("{b}.norm1"), d);
        for name in ["q_proj", "k_proj", "v_proj", "proj"] {
            push_linear(list, &format!("{b}.attn.{name}"), d, d);
        }
        push_norm(list, &format!("{b}.norm2"), d);
        push_linear(list, &format!("{b}.mlp.fc1"), d, m);
        push_linear(list, &format!("{b}.mlp.fc2"), m, d);
        if self.layer_scale {
            list.push((format!("{b}.ls1.gamma"), vec![d]));
            list.push((format!("{b}.ls2.gamma"), vec![d]));
        }
    }
}

impl Shape for VitConfig {
    fn image_size(&self) -> usize {
        self.image_size
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn block_width(&self, _block: usize) -> usize {
        self.width
    }

    fn block_tokens(&self, block: usize) -> usize {
        if block + 1 == self.depth { self.read_tokens() } else { self.tokens() }
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn layer_norm_eps(&self) -> f32 {
        self.layer_norm_eps
    }

    fn feature_width(&self) -> usize {
        self.width
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn place(&self, Site { block, place }: Site) -> Option<PlaceShape> {
        let (d, all) = (self.width, self.tokens());
        if block >= self.depth {
            return None;
        }
        match place {
            Place::Tokens => (block == 0).then(|| PlaceShape::new(d, d, self.grid() * self.grid())),
            Place::TokensNorm => (block == 0 && self.norm_pre).then(|| PlaceShape::new(d, d, all)),
            place => {
                let asking = self.block_tokens(block);
                BlockShape { width: d, hidden: self.mlp_width, all, keys: all, asking }.place(place)
            }
        }
    }

    /// The patch kernel is `[D, 3, P, P]`; tables are `[1, tokens, D]`.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let d = self.width;
        let mut list = vec![("patch_embed.proj.weight".into(), vec![d, 3, self.patch_size, self.patch_size])];
        if self.patch_bias {
            list.push(("patch_embed.proj.bias".into(), vec![d]));
        }
        if self.class_token {
            list.push(("cls_token".into(), vec![1, 1, d]));
        }
        if self.distillation_token {
            list.push(("dist_token".into(), vec![1, 1, d]));
        }
        if self.registers > 0 {
            list.push(("reg_token".into(), vec![1, self.registers, d]));
        }
        let positions = self.grid() * self.grid() + self.placed_tokens();
        list.push(("pos_embed".into(), vec![1, positions, d]));
        if self.norm_pre {
            push_norm(&mut list, "norm_pre", d);
        }
        (0..self.depth).for_each(|block| self.push_block(&mut list, block));
        push_norm(&mut list, "norm", d);
        if self.pool == Pool::Attention {
            self.push_attention_pool(&mut list);
        }
        list
    }

    /// A folded query counts as the query, its projection and the keys' that it was made of.
    fn parameters(&self) -> u64 {
        let stored: usize = self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        let (d, learned) = (self.width, stored as u64);
        match self.pool {
            Pool::Attention => learned + (d + 2 * (d * d + d)) as u64 - (d * self.heads) as u64,
            _ => learned,
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let positive = [
            ("image_size", self.image_size),
            ("patch_size", self.patch_size),
            ("width", self.width),
            ("depth", self.depth),
            ("heads", self.heads),
            ("mlp_width", self.mlp_width),
        ];
        for (field, value) in positive {
            ensure(value > 0, field, value, "it must be at least 1")?;
        }
        let whole = self.image_size.is_multiple_of(self.patch_size);
        ensure(whole, "image_size", self.image_size, "it is not a multiple of patch_size")?;
        ensure(self.width.is_multiple_of(self.heads), "width", self.width, "it is not a multiple of heads")?;
        let shallow = self.depth <= super::ModuleSet::MAX_BLOCKS;
        ensure(shallow, "depth", self.depth, "at most 64 blocks are supported")?;
        let poolable = self.class_token || self.pool != Pool::Cls;
        ensure(poolable, "pool", "cls", "there is no class token")?;
        let two = self.class_token || !self.distillation_token;
        ensure(two, "distillation_token", true, "there is no class token before it")?;
        let poolable = self.distillation_token || self.pool != Pool::ClassAndDistillation;
        ensure(poolable, "pool", "class_and_distillation", "there is no distillation token")?;
        ensure_numerics(self.activation, self.layer_norm_eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn vit_b16() -> VitConfig {
        VitConfig {
            image_size: 224,
            patch_size: 16,
            width: 768,
            depth: 12,
            heads: 12,
            mlp_width: 3072,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-6,
            pool: Pool::Cls,
            class_token: true,
            distillation_token: false,
            registers: 0,
            norm_pre: false,
            layer_scale: false,
            patch_bias: true,
            pool_prefix: false,
        }
    }

    /// A plain ViT of another size; the MLP is four times as wide.
    fn sized(width: usize, depth: usize, heads: usize) -> VitConfig {
        VitConfig { width, depth, heads, mlp_width: 4 * width, ..vit_b16() }
    }

    fn distilled(vit: VitConfig) -> VitConfig {
        VitConfig { distillation_token: true, pool: Pool::ClassAndDistillation, ..vit }
    }

    fn dinov2(vit: VitConfig) -> VitConfig {
        VitConfig { image_size: 518, patch_size: 14, registers: 4, layer_scale: true, ..vit }
    }

    fn siglip(vit: VitConfig) -> VitConfig {
        VitConfig { class_token: false, pool: Pool::Attention, ..vit }
    }

    #[test]
    fn published_models_have_their_number_of_parameters() {
        let so400m = VitConfig { patch_size: 14, mlp_width: 4304, ..sized(1152, 27, 16) };
        // timm 1.0.31 with num_classes=0. Its table has no row for the class token where there are registers,
        // ours a row of zeros.
        let cases = [
            ("vit_base_patch16_224", vit_b16(), 85_798_656),
            ("vit_large_patch16_224", sized(1024, 24, 16), 303_301_632),
            ("deit_tiny_patch16_224", sized(192, 12, 3), 5_524_416),
            ("deit_small_patch16_224", sized(384, 12, 6), 21_665_664),
            ("deit_tiny_distilled_patch16_224", distilled(sized(192, 12, 3)), 5_524_800),
            ("deit_base_distilled_patch16_224", distilled(vit_b16()), 85_800_192),
            ("vit_small_patch14_reg4_dinov2", dinov2(sized(384, 12, 6)), 22_057_344 + 384),
            ("vit_base_patch14_reg4_dinov2", dinov2(vit_b16()), 86_582_016 + 768),
            ("vit_large_patch14_reg4_dinov2", dinov2(sized(1024, 24, 16)), 304_370_688 + 1024),
            ("vit_base_patch16_siglip_224", siglip(vit_b16()), 92_884_224),
            ("vit_so400m_patch14_siglip_224", siglip(so400m), 427_680_704),
        ];
        for (name, vit, expected) in cases {
            vit.validate().unwrap();
            assert_eq!(vit.parameters(), expected, "{name}");
        }
    }

    #[test]
    fn impossible_shapes_are_refused_by_name() {
        let odd = VitConfig { heads: 7, ..vit_b16() };
        assert!(odd.validate().unwrap_err().to_string().contains("width = 768"));
        let no_class = VitConfig { class_token: false, ..vit_b16() };
        assert!(no_class.validate().is_err());
    }
}
