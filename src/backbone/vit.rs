//! The ViT family: ViT, DeiT, the CLIP vision tower, DINOv2. One description covers them all.

use serde::{Deserialize, Serialize};

use super::Error;
use super::shape::{Shape, ensure, push_linear, push_norm};

/// The non-linearity of the MLP, and of the adapters put beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x Φ(x)` with the exact error function, as `torch.nn.GELU()`.
    Gelu,
    /// `x σ(1.702 x)`, as CLIP's QuickGELU.
    QuickGelu,
}

/// How tokens become one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The class token after the final norm.
    Cls,
    /// The mean of the patch tokens after the final norm.
    Mean,
    /// The mean of the patch tokens, then the norm (timm's `fc_norm`).
    MeanThenNorm,
}

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
    /// Number of register tokens between class token and patches (DINOv2 with registers).
    pub registers: usize,
    /// Whether a layer norm precedes the first block (CLIP's `pre_layrnorm`).
    pub norm_pre: bool,
    /// Whether each branch is scaled by a learned vector (DINOv2's LayerScale).
    pub layer_scale: bool,
    /// Whether the patch embedding has a bias.
    pub patch_bias: bool,
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

    /// Tokens before the patches.
    pub fn prefix_tokens(&self) -> usize {
        self.class_token as usize + self.registers
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

    fn block_tokens(&self, _block: usize) -> usize {
        self.tokens()
    }

    fn feature_width(&self) -> usize {
        self.width
    }

    fn activation(&self) -> Activation {
        self.activation
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
        if self.registers > 0 {
            list.push(("reg_token".into(), vec![1, self.registers, d]));
        }
        // The table holds one row for the class token and one for each patch; registers have no position.
        let positions = self.grid() * self.grid() + self.class_token as usize;
        list.push(("pos_embed".into(), vec![1, positions, d]));
        if self.norm_pre {
            push_norm(&mut list, "norm_pre", d);
        }
        (0..self.depth).for_each(|block| self.push_block(&mut list, block));
        push_norm(&mut list, "norm", d);
        list
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
        ensure(whole, "image_size", self.image_size, "it is no multiple of patch_size")?;
        ensure(self.width.is_multiple_of(self.heads), "width", self.width, "it is no multiple of heads")?;
        let shallow = self.depth <= super::SiteSet::MAX_BLOCKS;
        ensure(shallow, "depth", self.depth, "at most 64 blocks are supported")?;
        let poolable = self.class_token || self.pool != Pool::Cls;
        ensure(poolable, "pool", "cls", "there is no class token")?;
        ensure(self.layer_norm_eps > 0.0, "layer_norm_eps", self.layer_norm_eps, "it must be positive")
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
            registers: 0,
            norm_pre: false,
            layer_scale: false,
            patch_bias: true,
        }
    }

    #[test]
    fn vit_b16_has_the_published_number_of_parameters() {
        // timm vit_base_patch16_224 with num_classes=0: 85,798,656.
        let count: usize = vit_b16().tensors().iter().map(|(_, s)| s.iter().product::<usize>()).sum();
        assert_eq!(count, 85_798_656);
    }

    #[test]
    fn impossible_shapes_are_refused_by_name() {
        let odd = VitConfig { heads: 7, ..vit_b16() };
        assert!(odd.validate().unwrap_err().to_string().contains("width = 768"));
        let no_class = VitConfig { class_token: false, ..vit_b16() };
        assert!(no_class.validate().is_err());
    }
}
