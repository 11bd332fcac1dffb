//! The ViT family as a graph, with MiMi adapters at the plan's sites.
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
use super::ops::{Add, Concat, Conv, MatMul, Mul, Pad, ReduceMean, Reshape, Slice, Softmax, Transpose};
use super::parts::Parts;
use super::{Error, Wire};
use crate::backbone::{Place, Pool, Shape, Site, VitConfig};

impl Parts for VitConfig {
    /// Patches, then prefix tokens and positions.
    fn embed(&self, layers: &mut Layers<'_>, pixels: Wire) -> Result<Wire, Error> {
        let (d, p) = (self.width, self.patch_size);
        let mut inputs = vec![pixels, layers.g.weight("patch_embed.proj.weight", &[d, 3, p, p])?];
        if self.patch_bias {
            inputs.push(layers.g.weight("patch_embed.proj.bias", &[d])?);
        }
        let grid = layers.g.wire("patch_embed.proj", Conv::patches(p), &inputs)?; // [B, D, S/P, S/P]
        let flat = Reshape { rest: vec![d, self.grid() * self.grid()] };
        let flat = layers.g.wire("patch_embed.flat", flat, &[grid])?; // [B, D, n]
        let order = vec![0, 2, 1];
        let patches = layers.g.wire("patch_embed.tokens", Transpose { order }, &[flat])?; // [B, n, D]
        let room = Pad { axis: 1, before: self.prefix_tokens(), after: 0 };
        let padded = layers.g.wire("patch_embed.padded", room, &[patches])?; // [B, N, D]
        let table = position_table(self, layers)?;
        let x = layers.g.wire("embed", Add, &[padded, table])?;
        if self.norm_pre { norm(self, layers, ("norm_pre", x)) } else { Ok(x) }
    }

    fn block(&self, layers: &mut Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error> {
        let b = format!("blocks.{block}");
        let all = norm(self, layers, (&format!("{b}.norm1"), x))?;
        // What the pooling does not read need not be computed: only keys and values come from all tokens.
        let read = self.block_tokens(block);
        let asking = first_tokens(layers, (&format!("{b}.norm1.read"), all), read)?;
        let x = first_tokens(layers, (&format!("{b}.read"), x), read)?;
        let h = attention(self, layers, (&format!("{b}.attn"), [asking, all]))?;
        let h = layer_scale(self, layers, (&format!("{b}.ls1"), h))?;
        let h = layers.adapt(Site::new(block, Place::Attn), h)?;
        let x = layers.g.wire(format!("{b}.attn.residual"), Add, &[x, h])?;
        let h = norm(self, layers, (&format!("{b}.norm2"), x))?;
        let h = layers.mlp(&format!("{b}.mlp"), h, mlp(self))?;
        let h = layer_scale(self, layers, (&format!("{b}.ls2"), h))?;
        let h = layers.adapt(Site::new(block, Place::Mlp), h)?;
        layers.g.wire(format!("{b}.mlp.residual"), Add, &[x, h])
    }

    fn pool(&self, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error> {
        let (first, n, d) = (self.first_pooled_token(), self.tokens(), self.width);
        // The norm works token by token, so only the tokens that are read need it.
        let x = first_tokens(layers, ("pool.read", x), self.read_tokens())?;
        let patches = Slice { axis: 1, start: first, end: n };
        match self.pool {
            Pool::Cls => {
                let class = norm(self, layers, ("norm", x))?;
                layers.g.wire("pool", Reshape { rest: vec![d] }, &[class])
            }
            Pool::Mean => {
                let x = norm(self, layers, ("norm", x))?;
                let x = layers.g.wire("pool.patches", patches, &[x])?;
                layers.g.wire("pool", ReduceMean { axis: 1, keep: false }, &[x])
            }
            Pool::MeanThenNorm => {
                let x = layers.g.wire("pool.patches", patches, &[x])?;
                let x = layers.g.wire("pool", ReduceMean { axis: 1, keep: false }, &[x])?;
                norm(self, layers, ("norm", x))
            }
            Pool::ClassAndDistillation => {
                let both = norm(self, layers, ("norm", x))?;
                layers.g.wire("pool", ReduceMean { axis: 1, keep: false }, &[both])
            }
            Pool::Attention if first > 0 => {
                let x = layers.g.wire("pool.patches", patches, &[x])?;
                attention_pool(self, layers, x)
            }
            Pool::Attention => attention_pool(self, layers, x),
        }
    }
}

/// One learned query attends to the pooled tokens: `h = proj(softmax(x S) v(x))`, then `h + mlp(norm(h))`. The query is
/// no input, so that its scores are linear in the tokens, `S [D, H]`.
///
/// # Shapes
/// `[B, N, D]` to `[B, D]`.
fn attention_pool(vit: &VitConfig, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error> {
    let (n, d, heads) = (tokens(layers, x), vit.width, vit.heads);
    let x = norm(vit, layers, ("norm", x))?;
    let scores = layers.g.weight("attn_pool.scores.weight", &[d, heads])?;
    let scores = layers.g.wire("attn_pool.scores", MatMul, &[x, scores])?; // [B, N, H]
    let order = vec![0, 2, 1];
    let scores = layers.g.wire("attn_pool.scores.heads", Transpose { order }, &[scores])?; // [B, H, N]
    let weights = layers.g.wire("attn_pool.softmax", Softmax, &[scores])?;
    let query = Reshape { rest: vec![heads, 1, n] };
    let weights = layers.g.wire("attn_pool.weights", query, &[weights])?; // [B, H, 1, N]
    let v = split_heads(vit, layers, ("attn_pool.v_proj", x))?; // [B, H, N, D/H]
    let mixed = layers.g.wire("attn_pool.mixed", MatMul, &[weights, v])?; // [B, H, 1, D/H]
    let mixed = layers.g.wire("attn_pool.flat", Reshape { rest: vec![d] }, &[mixed])?;
    let h = layers.linear("attn_pool.proj", mixed, (d, d))?; // [B, D]
    let change = norm(vit, layers, ("attn_pool.norm", h))?;
    let change = layers.mlp("attn_pool.mlp", change, mlp(vit))?;
    layers.g.wire("pool", Add, &[h, change])
}

/// Shape of every MLP.
fn mlp(vit: &VitConfig) -> Mlp {
    Mlp { width: vit.width, hidden: vit.mlp_width, activation: vit.activation }
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
    layers: &mut Layers<'_>,
    (name, [asking, all]): (&str, [Wire; 2]),
) -> Result<Wire, Error> {
    let (n, d) = (tokens(layers, asking), vit.width);
    let mut heads = |part: &str, x| split_heads(vit, layers, (&format!("{name}.{part}"), x));
    let q = heads("q_proj", asking)?; // [B, H, n, D/H]
    let k = heads("k_proj", all)?; // [B, H, N, D/H]
    let v = heads("v_proj", all)?; // [B, H, N, D/H]
    let mixed = layers.attend(name, [q, k, v], &[])?; // [B, H, n, D/H]
    let order = vec![0, 2, 1, 3];
    let mixed = layers.g.wire(format!("{name}.merged"), Transpose { order }, &[mixed])?;
    let merged = layers.g.wire(format!("{name}.flat"), Reshape { rest: vec![n, d] }, &[mixed])?;
    layers.linear(&format!("{name}.proj"), merged, (d, d))
}

/// A linear layer whose output is split into heads.
///
/// # Shapes
/// `[B, N, D]` to `[B, H, N, D/H]`.
fn split_heads(vit: &VitConfig, layers: &mut Layers<'_>, (name, x): (&str, Wire)) -> Result<Wire, Error> {
    let (n, d) = (tokens(layers, x), vit.width);
    let flat = layers.linear(name, x, (d, d))?;
    let split = Reshape { rest: vec![n, vit.heads, d / vit.heads] };
    let split = layers.g.wire(format!("{name}.split"), split, &[flat])?; // [B, N, H, D/H]
    layers.g.wire(format!("{name}.heads"), Transpose { order: vec![0, 2, 1, 3] }, &[split])
}

/// Tokens in `[B, N, D]`.
fn tokens(layers: &Layers<'_>, x: Wire) -> usize {
    layers.g.fact(x).shape.get(1).and_then(|dim| dim.fixed()).unwrap_or(1)
}

/// The first `count` tokens; no node where there are no others.
fn first_tokens(layers: &mut Layers<'_>, (name, x): (&str, Wire), count: usize) -> Result<Wire, Error> {
    if count == tokens(layers, x) {
        return Ok(x);
    }
    layers.g.wire(name, Slice { axis: 1, start: 0, end: count }, &[x])
}

fn layer_scale(vit: &VitConfig, layers: &mut Layers<'_>, (name, x): (&str, Wire)) -> Result<Wire, Error> {
    if !vit.layer_scale {
        return Ok(x);
    }
    let gamma = layers.g.weight(&format!("{name}.gamma"), &[vit.width])?;
    layers.g.wire(name, Mul, &[x, gamma])
}

fn norm(vit: &VitConfig, layers: &mut Layers<'_>, (name, x): (&str, Wire)) -> Result<Wire, Error> {
    layers.norm(name, x, (vit.width, vit.layer_norm_eps))
}
