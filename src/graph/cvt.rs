//! CvT as a graph, with the plan's modules.
//!
//! ```text
//! stage:   x  = norm(conv(map of the tokens before))          (last stage: [cls; x])
//! block:   x += A₁(proj(softmax(q kᵀ / √D) v)),  q = Q(conv_q(norm1(x))), likewise k and v
//!          x += A₂(mlp(norm2(x)))                              A(h) = h + up · act(down · h)
//! feature = norm(cls)
//! ```
//! The convolutions of a block work channel by channel on the map of the tokens; keys and values may have a
//! stride. The class token passes them by. Scores are divided by the root of the whole width, not of a head's.
//! Sources: Wu et al. 2021; the adapters' place: Marouf et al. 2024, figure 2.

use super::layers::{Layers, Mlp};
use super::ops::{Add, Concat, Conv, Pad, ReduceMean, Reshape, Slice, Transpose};
use super::parts::Parts;
use super::{Error, Wire};
use crate::backbone::{CvtBlock, CvtConfig, Place, Shape, Site};

impl Parts for CvtConfig {
    /// The first stage's tokens.
    fn embed(&self, layers: &mut Layers<'_>, pixels: Wire) -> Result<Wire, Error> {
        embed(self, layers, 0, pixels)
    }

    /// The first block of a later stage embeds the tokens of the stage before.
    fn block(&self, layers: &mut Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error> {
        let place = self.block(block).ok_or_else(|| no_block(layers, block))?;
        let (d, epsilon) = (place.shape.width, self.layer_norm_eps);
        let x = match place {
            CvtBlock { stage: 1.., index: 0, .. } => embed_next(self, layers, place.stage, x)?,
            _ => x,
        };
        let site = |place| Site::new(block, place);
        let mut layers = layers.at(&format!("blocks.{block}"));
        let h = layers.at("norm1").norm(x, d, epsilon)?;
        let h = layers.change(site(Place::Norm1), h, h)?;
        let x = match place.last {
            true => class_token(layers.at("class"), x)?,
            false => x,
        };
        let h = attention(self, layers.at("attn"), block, h)?;
        let h = layers.change(site(Place::Attn), x, h)?;
        let x = layers.residual(site(Place::Attn), x, h)?;
        let h = layers.at("norm2").norm(x, d, epsilon)?;
        let h = layers.change(site(Place::Norm2), h, h)?;
        let (hidden, activation) = (place.shape.mlp_width, self.activation);
        let h = layers.at("mlp").mlp(h, Mlp { block: Some(block), width: d, hidden, activation })?;
        let h = layers.change(site(Place::Mlp), x, h)?;
        let x = layers.residual(site(Place::Mlp), x, h)?;
        layers.change(site(Place::Out), x, x)
    }

    /// The class token, all that the last block leaves, after the final norm.
    fn pool(&self, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error> {
        let d = self.feature_width();
        let class = match self.final_norm {
            true => layers.at("norm").norm(x, d, self.layer_norm_eps)?,
            false => x,
        };
        layers.wire("pool", Reshape { rest: vec![d] }, &[class])
    }

    /// The class token where the stage has one, else the mean of the map's tokens.
    fn pooled(&self, layers: &mut Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error> {
        let place = self.block(block).ok_or_else(|| no_block(layers, block))?;
        if self.class_tokens(place.stage) == 0 {
            return layers.wire("pool", ReduceMean { axis: 1, keep: false }, &[x]);
        }
        let class = if place.last { x } else { class_token(layers.at("class"), x)? };
        layers.wire("pool", Reshape { rest: vec![place.shape.width] }, &[class])
    }
}

/// A later stage's tokens, from those of the stage before.
fn embed_next(cvt: &CvtConfig, layers: &mut Layers<'_>, stage: usize, x: Wire) -> Result<Wire, Error> {
    let map = to_map(layers.at(&format!("stages.{stage}.before")), x, cvt.grid(stage - 1))?;
    embed(cvt, layers, stage, map)
}

/// A stage's token embedding: overlapping patches, a norm, and in the last stage the class token before them.
///
/// # Shapes
/// `[B, D', G', G']` to `[B, N, D]`.
fn embed(cvt: &CvtConfig, layers: &mut Layers<'_>, stage: usize, map: Wire) -> Result<Wire, Error> {
    let (channels, shape) = (layers.size(map, 1), &cvt.stages[stage]);
    let (d, k, n) = (shape.width, shape.patch_size, cvt.grid(stage) * cvt.grid(stage));
    let conv = Conv { kernel: k, stride: shape.patch_stride, padding: shape.patch_padding, groups: 1 };
    let mut own = layers.at(&format!("stages.{stage}"));
    let kernel = own.weight("embed.weight", &[d, channels, k, k])?;
    let bias = own.weight("embed.bias", &[d])?;
    let map = own.wire("embed", conv, &[map, kernel, bias])?; // [B, D, G, G]
    let site = |place| Site::new(cvt.first_block(stage), place);
    let x = to_tokens(own.at("tokens"), map)?;
    let x = own.change(site(Place::Tokens), x, x)?;
    let x = own.at("norm").norm(x, d, cvt.layer_norm_eps)?;
    let x = own.change(site(Place::TokensNorm), x, x)?;
    if cvt.class_tokens(stage) == 0 {
        return Ok(x);
    }
    // Room before the map's tokens, and the class token added to it, need no run-time shape.
    let class = layers.weight("cls_token", &[1, 1, d])?;
    let class = layers.wire("cls_token.placed", Pad { axis: 1, before: 0, after: n }, &[class])?;
    let mut own = layers.at(&format!("stages.{stage}"));
    let x = own.wire("padded", Pad { axis: 1, before: 1, after: 0 }, &[x])?;
    own.wire("with_class", Add, &[x, class])
}

/// Attention with convolved queries, keys and values, then the output projection.
fn attention(cvt: &CvtConfig, mut layers: Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error> {
    let place = cvt.block(block).ok_or_else(|| no_block(&layers, block))?;
    let (d, site) = (place.shape.width, |place| Site::new(block, place));
    let (class, rest) = split_class(cvt, &mut layers, place.stage, x)?;
    let map = to_map(layers.at("map"), rest, cvt.grid(place.stage))?;
    let mut part = |site: Site, stride: Option<usize>| {
        let part = site.place.as_str();
        let convolved = |stride| convolved(layers.at(&format!("{part}_conv")), place, map, stride);
        let tokens = stride.map(convolved).transpose()?;
        heads(&mut layers, place, site, [class, tokens])
    };
    // The last block asks for its class token only.
    let q = part(site(Place::Q), (!place.last).then_some(1))?; // [B, H, N, D/H]
    let k = part(site(Place::K), Some(place.shape.kv_stride))?; // [B, H, M, D/H]
    let v = part(site(Place::V), Some(place.shape.kv_stride))?; // [B, H, M, D/H]
    let mixed = layers.attend_scaled(site(Place::Scores), 1.0 / (d as f32).sqrt(), [q, k, v], &[])?; // [B, H, N, D/H]
    let n = layers.size(mixed, 2);
    let mixed = layers.wire("merged", Transpose { order: vec![0, 2, 1, 3] }, &[mixed])?;
    let merged = layers.wire("flat", Reshape { rest: vec![n, d] }, &[mixed])?;
    layers.at("proj").linear_at(site(Place::Proj), merged, d, d)
}

/// # Shapes
/// `[B, N, D]` to `[B, 1, D]`.
fn class_token(mut layers: Layers<'_>, x: Wire) -> Result<Wire, Error> {
    layers.wire("", Slice { axis: 1, start: 0, end: 1 }, &[x])
}

/// The class token, if the stage has one, and the tokens of the map.
fn split_class(
    cvt: &CvtConfig,
    layers: &mut Layers<'_>,
    stage: usize,
    x: Wire,
) -> Result<(Option<Wire>, Wire), Error> {
    if cvt.class_tokens(stage) == 0 {
        return Ok((None, x));
    }
    let class = class_token(layers.at("class"), x)?;
    let rest = Slice { axis: 1, start: 1, end: cvt.tokens(stage) };
    Ok((Some(class), layers.wire("rest", rest, &[x])?))
}

/// A depth-wise convolution of the map, its batch norm folded in.
///
/// # Shapes
/// `[B, D, G, G]` to `[B, m, D]`.
fn convolved(mut layers: Layers<'_>, place: CvtBlock<'_>, map: Wire, stride: usize) -> Result<Wire, Error> {
    let (d, kernel) = (place.shape.width, place.shape.kernel);
    let conv = Conv { kernel, stride, padding: kernel / 2, groups: d };
    let weight = layers.weight("weight", &[d, 1, kernel, kernel])?;
    let bias = layers.weight("bias", &[d])?;
    let map = layers.wire("", conv, &[map, weight, bias])?;
    to_tokens(layers.at("tokens"), map)
}

/// The tokens, the class token first, projected, split into heads: `[B, H, M, D/H]`.
fn heads(
    layers: &mut Layers<'_>,
    place: CvtBlock<'_>,
    site: Site,
    tokens: [Option<Wire>; 2],
) -> Result<Wire, Error> {
    let (d, heads, part) = (place.shape.width, place.shape.heads, site.place.as_str());
    let parts: Vec<Wire> = tokens.into_iter().flatten().collect();
    let x = match parts[..] {
        [alone] => alone,
        _ => layers.wire(&format!("{part}.tokens"), Concat { axis: 1 }, &parts)?,
    };
    let n = layers.size(x, 1);
    let flat = layers.at(&format!("{part}_proj")).linear_at(site, x, d, d)?;
    let mut layers = layers.at(part);
    let split = layers.wire("split", Reshape { rest: vec![n, heads, d / heads] }, &[flat])?; // [B, M, H, D/H]
    layers.wire("heads", Transpose { order: vec![0, 2, 1, 3] }, &[split])
}

/// # Shapes
/// `[B, G², D]` to `[B, D, G, G]`.
fn to_map(mut layers: Layers<'_>, x: Wire, grid: usize) -> Result<Wire, Error> {
    let d = layers.size(x, 2);
    let x = layers.wire("channels", Transpose { order: vec![0, 2, 1] }, &[x])?;
    layers.wire("", Reshape { rest: vec![d, grid, grid] }, &[x])
}

/// # Shapes
/// `[B, D, G, G]` to `[B, G², D]`.
fn to_tokens(mut layers: Layers<'_>, map: Wire) -> Result<Wire, Error> {
    let [d, height, width] = [1, 2, 3].map(|axis| layers.size(map, axis));
    let flat = layers.wire("flat", Reshape { rest: vec![d, height * width] }, &[map])?;
    layers.wire("", Transpose { order: vec![0, 2, 1] }, &[flat])
}

/// A plan is checked before it is wired, so that this is not met.
fn no_block(layers: &Layers<'_>, block: usize) -> Error {
    let reason = "there is no such block".into();
    Error::Plan { plan: format!("{} block {block}", layers.g.name()), reason }
}
