//! The ViT family as a graph, with the plan's modules.
//!
//! ```text
//! x₀      = [cls; reg; patches(pixels)] + positions          (norm_pre)
//! x      += A₁(ls1 · attn(norm1(x)))
//! x      += A₂(ls2 · mlp(norm2(x)))                           A(h) = h + up · act(down · h)
//! feature = pool(norm(x))
//! ```
//! Sources: Dosovitskiy et al. 2021; Touvron et al. 2021 (DeiT's distillation token); Radford et al. 2021 (CLIP: `norm_pre`, QuickGELU); Oquab et al. 2023
//! (DINOv2: LayerScale `ls`, registers); Zhai et al. 2023 (SigLIP: attention pooling); the adapters' place: Marouf et al. 2024, figure 2.

use super::layers::{Layers, Mlp};
use super::ops::{Add, Concat, MatMul, Mul, Pad, ReduceMean, Reshape, Slice, Softmax, Trailing, Transpose};
use super::parts::Parts;
use super::patches::Patches;
use super::{Dim, Error, Wire};
use crate::backbone::{Place, Pool, Site, VitConfig};

impl Parts for VitConfig {
    /// Patches, then prefix tokens and positions.
    fn embed(&self, layers: &mut Layers<'_>, pixels: Wire) -> Result<Wire, Error> {
        let (image, side, width) = (self.image_size, self.patch_size, self.width);
        let mut patches = layers.at("patch_embed");
        let tokens = patches.patches(pixels, self.patch_bias, Patches { image, side, width })?; // [B, n, D]
        let tokens = patches.change(Site::new(0, Place::Tokens), tokens, tokens)?;
        let room = Pad { axis: 1, before: self.prefix_tokens(), after: 0 };
        let padded = patches.wire("padded", room, &[tokens])?; // [B, N, D]
        let table = position_table(self, layers)?;
        let mut x = layers.wire("embed", Add, &[padded, table])?;
        if self.norm_pre {
            x = norm(self, layers.at("norm_pre"), x)?;
            x = layers.change(Site::new(0, Place::TokensNorm), x, x)?;
        }
        layers.prompted(x)
    }

    fn block(&self, layers: &mut Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error> {
        let site = |place| Site::new(block, place);
        let mut layers = layers.at(&format!("blocks.{block}"));
        let all = norm(self, layers.at("norm1"), x)?;
        let all = layers.change(site(Place::Norm1), all, all)?;
        // What the pooling does not read need not be computed: only keys and values come from all tokens.
        let (mut asking, mut x) = (all, x);
        if block + 1 == self.depth {
            asking = read_tokens(self, layers.at("norm1.read"), asking)?;
            x = read_tokens(self, layers.at("read"), x)?;
        }
        let h = attention(self, layers.at("attn"), block, [asking, all])?;
        let h = layer_scale(self, layers.at("ls1"), h)?;
        let h = layers.change(site(Place::Attn), x, h)?;
        let x = layers.residual(site(Place::Attn), x, h)?;
        let h = norm(self, layers.at("norm2"), x)?;
        let h = layers.change(site(Place::Norm2), h, h)?;
        let h = layers.at("mlp").mlp(h, mlp(self, Some(block)))?;
        let h = layer_scale(self, layers.at("ls2"), h)?;
        let h = layers.change(site(Place::Mlp), x, h)?;
        let x = layers.residual(site(Place::Mlp), x, h)?;
        layers.change(site(Place::Out), x, x)
    }

    fn pool(&self, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error> {
        let (first, n, d) = (self.first_pooled_token(), self.tokens(), self.width);
        // The norm works token by token, so only the tokens that are read need it.
        let x = read_tokens(self, layers.at("pool.read"), x)?;
        let patches = Slice { axis: 1, start: first, end: n };
        let mean = ReduceMean { axis: 1, keep: false };
        match self.pool {
            Pool::Cls => {
                let class = norm(self, layers.at("norm"), x)?;
                layers.wire("pool", Reshape { rest: vec![d] }, &[class])
            }
            Pool::Mean => {
                let x = norm(self, layers.at("norm"), x)?;
                let x = layers.wire("pool.patches", patches, &[x])?;
                layers.wire("pool", mean, &[x])
            }
            Pool::MeanThenNorm => {
                let x = layers.wire("pool.patches", patches, &[x])?;
                let x = layers.wire("pool", mean, &[x])?;
                norm(self, layers.at("norm"), x)
            }
            Pool::ClassAndDistillation => {
                let both = norm(self, layers.at("norm"), x)?;
                layers.wire("pool", mean, &[both])
            }
            Pool::Attention if first > 0 => {
                let x = layers.wire("pool.patches", patches, &[x])?;
                attention_pool(self, layers, x)
            }
            Pool::Attention => attention_pool(self, layers, x),
        }
    }

    /// Attention pooling has learned its query for the last block; here it is the mean of what it attends to.
    fn pooled(&self, layers: &mut Layers<'_>, _: usize, x: Wire) -> Result<Wire, Error> {
        let x = read_tokens(self, layers.at("read"), x)?;
        let first = self.first_pooled_token();
        let x = match self.pool {
            Pool::Cls => return layers.wire("pool", Reshape { rest: vec![self.width] }, &[x]),
            Pool::Mean | Pool::MeanThenNorm | Pool::Attention if first > 0 => {
                layers.wire("patches", Slice { axis: 1, start: first, end: self.tokens() }, &[x])?
            }
            _ => x,
        };
        layers.wire("pool", ReduceMean { axis: 1, keep: false }, &[x])
    }
}

/// One learned query attends to the pooled tokens: `h = proj(softmax(x S) v(x))`, then `h + mlp(norm(h))`. The query is
/// no input, so that its scores are linear in the tokens, `S [D, H]`.
///
/// # Shapes
/// `[B, N, D]` to `[B, D]`.
fn attention_pool(vit: &VitConfig, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error> {
    let (n, d, heads) = (layers.size(x, 1), vit.width, vit.heads);
    let x = norm(vit, layers.at("norm"), x)?;
    let mut pool = layers.at("attn_pool");
    let scores = pool.weight("scores.weight", &[d, heads])?;
    let scores = pool.wire("scores", MatMul, &[x, scores])?; // [B, N, H]
    let scores = pool.wire("scores.heads", Transpose { order: vec![0, 2, 1] }, &[scores])?; // [B, H, N]
    let weights = pool.wire("softmax", Softmax, &[scores])?;
    let weights = pool.wire("weights", Reshape { rest: vec![heads, 1, n] }, &[weights])?; // [B, H, 1, N]
    let v = split_heads(vit, pool.at("v_proj"), None, x)?; // [B, H, N, D/H]
    let mixed = pool.wire("mixed", MatMul, &[weights, v])?; // [B, H, 1, D/H]
    let mixed = pool.wire("flat", Reshape { rest: vec![d] }, &[mixed])?;
    let h = pool.at("proj").linear(mixed, d, d)?; // [B, D]
    let change = norm(vit, pool.at("norm"), h)?;
    let change = pool.at("mlp").mlp(change, mlp(vit, None))?;
    layers.wire("pool", Add, &[h, change])
}

/// Shape of every MLP.
fn mlp(vit: &VitConfig, block: Option<usize>) -> Mlp {
    Mlp { block, width: vit.width, hidden: vit.mlp_width, activation: vit.activation }
}

/// Class and register tokens with the positions, ready to be added to the padded patches.
///
/// # Shapes
/// `[1, N, D]`.
fn position_table(vit: &VitConfig, layers: &mut Layers<'_>) -> Result<Wire, Error> {
    let (d, patches) = (vit.width, vit.grid() * vit.grid());
    let first = vit.placed_tokens();
    let g = &mut *layers.g;
    let positions = g.weight("pos_embed", &[1, first + patches, d])?;
    if vit.prefix_tokens() == 0 {
        return Ok(positions);
    }
    let mut parts = Vec::new();
    let placed = [(vit.class_token, "cls_token"), (vit.distillation_token, "dist_token")];
    for (i, (_, name)) in placed.into_iter().filter(|(there, _)| *there).enumerate() {
        let token = g.weight(name, &[1, 1, d])?;
        let row = Slice { axis: 1, start: i, end: i + 1 };
        let own = g.wire(format!("pos_embed.{name}"), row, &[positions])?;
        parts.push(g.wire(format!("{name}.placed"), Add, &[token, own])?);
    }
    if vit.registers > 0 {
        parts.push(g.weight("reg_token", &[1, vit.registers, d])?);
    }
    let rest = Slice { axis: 1, start: first, end: first + patches };
    parts.push(g.wire("pos_embed.patches", rest, &[positions])?);
    g.wire("position_table", Concat { axis: 1 }, &parts)
}

/// Multi-head attention of some tokens to all, then the output projection.
///
/// # Shapes
/// `asking [B, n, D]`, `all [B, N, D]`, the result `[B, n, D]`.
fn attention(
    vit: &VitConfig,
    mut layers: Layers<'_>,
    block: usize,
    [asking, all]: [Wire; 2],
) -> Result<Wire, Error> {
    let d = vit.width;
    let site = |place| Site::new(block, place);
    let q = split_heads(vit, layers.at("q_proj"), Some(site(Place::Q)), asking)?; // [B, H, n, D/H]
    let k = split_heads(vit, layers.at("k_proj"), Some(site(Place::K)), all)?; // [B, H, N, D/H]
    let v = split_heads(vit, layers.at("v_proj"), Some(site(Place::V)), all)?; // [B, H, N, D/H]
    let mixed = layers.attend(site(Place::Scores), [q, k, v], &[])?; // [B, H, n, D/H]
    let mixed = layers.wire("merged", Transpose { order: vec![0, 2, 1, 3] }, &[mixed])?;
    let merged = layers.join_last("flat", mixed, [vit.heads, d / vit.heads])?; // [B, n, D]
    layers.at("proj").linear_at(site(Place::Proj), merged, d, d)
}

/// A linear layer whose output is split into heads.
///
/// # Shapes
/// `[B, N, D]` to `[B, H, N, D/H]`.
fn split_heads(vit: &VitConfig, mut layers: Layers<'_>, site: Option<Site>, x: Wire) -> Result<Wire, Error> {
    let d = vit.width;
    let flat = layers.linear_at(site, x, d, d)?;
    let split = layers.split_last("split", flat, [vit.heads, d / vit.heads])?; // [B, N, H, D/H]
    layers.wire("heads", Transpose { order: vec![0, 2, 1, 3] }, &[split])
}

/// The tokens that the pooling reads; no node where there are no others.
fn read_tokens(vit: &VitConfig, mut layers: Layers<'_>, x: Wire) -> Result<Wire, Error> {
    let mut x = x;
    if let Dim::Joined(..) = layers.g.fact(x).shape[1] {
        x = layers.wire("unprompted", Trailing { axis: 1 }, &[x])?;
    }
    let count = vit.read_tokens();
    if count == layers.size(x, 1) {
        return Ok(x);
    }
    layers.wire("", Slice { axis: 1, start: 0, end: count }, &[x])
}

fn layer_scale(vit: &VitConfig, mut layers: Layers<'_>, x: Wire) -> Result<Wire, Error> {
    if !vit.layer_scale {
        return Ok(x);
    }
    let gamma = layers.weight("gamma", &[vit.width])?;
    layers.wire("", Mul, &[x, gamma])
}

fn norm(vit: &VitConfig, mut layers: Layers<'_>, x: Wire) -> Result<Wire, Error> {
    layers.norm(x, vit.width, vit.layer_norm_eps)
}
