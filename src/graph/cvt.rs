//! CvT as a graph, with MiMi adapters at the plan's sites.
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
use super::ops::{Add, Concat, Conv, Pad, Reshape, Slice, Transpose};
use super::parts::Parts;
use super::{Error, Wire};
use crate::backbone::{CvtBlock, CvtConfig, Place, Shape, Site};

impl Parts for CvtConfig {
    /// The first stage's tokens.
    fn embed(&self, layers: &mut Layers<'_>, pixels: Wire) -> Result<Wire, Error> {
        embed(self, layers, 0, (pixels, 3))
    }

    /// The first block of a later stage embeds the tokens of the stage before.
    fn block(&self, layers: &mut Layers<'_>, block: usize, x: Wire) -> Result<Wire, Error> {
        let place = self.block(block).ok_or_else(|| no_block(layers, block))?;
        let (d, epsilon) = (place.shape.width, self.layer_norm_eps);
        let x = match place {
            CvtBlock { stage: 1.., index: 0, .. } => embed_next(self, layers, place.stage, x)?,
            _ => x,
        };
        let b = format!("blocks.{block}");
        let h = layers.norm(&format!("{b}.norm1"), x, (d, epsilon))?;
        let x = match place.last {
            true => class_token(layers, (&format!("{b}.class"), x))?,
            false => x,
        };
        let h = attention(self, layers, place, (&format!("{b}.attn"), h))?;
        let h = layers.adapt(Site::new(block, Place::Attn), h)?;
        let x = layers.g.wire(format!("{b}.attn.residual"), Add, &[x, h])?;
        let h = layers.norm(&format!("{b}.norm2"), x, (d, epsilon))?;
        let mlp = Mlp { width: d, hidden: place.shape.mlp_width, activation: self.activation };
        let h = layers.mlp(&format!("{b}.mlp"), h, mlp)?;
        let h = layers.adapt(Site::new(block, Place::Mlp), h)?;
        layers.g.wire(format!("{b}.mlp.residual"), Add, &[x, h])
    }

    /// The class token, all that the last block leaves, after the final norm.
    fn pool(&self, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error> {
        let d = self.feature_width();
        let class = match self.final_norm {
            true => layers.norm("norm", x, (d, self.layer_norm_eps))?,
            false => x,
        };
        layers.g.wire("pool", Reshape { rest: vec![d] }, &[class])
    }
}

/// A later stage's tokens, from those of the stage before.
fn embed_next(cvt: &CvtConfig, layers: &mut Layers<'_>, stage: usize, x: Wire) -> Result<Wire, Error> {
    let (d, grid) = (cvt.stages[stage - 1].width, cvt.grid(stage - 1));
    let map = to_map(layers, (&format!("stages.{stage}.before"), x), (d, grid))?;
    embed(cvt, layers, stage, (map, d))
}

/// A stage's token embedding: overlapping patches, a norm, and in the last stage the class token before them.
///
/// # Shapes
/// `[B, D', G', G']` to `[B, N, D]`.
fn embed(
    cvt: &CvtConfig,
    layers: &mut Layers<'_>,
    stage: usize,
    (map, channels): (Wire, usize),
) -> Result<Wire, Error> {
    let (name, shape) = (format!("stages.{stage}"), &cvt.stages[stage]);
    let (d, k, n) = (shape.width, shape.patch_size, cvt.grid(stage) * cvt.grid(stage));
    let conv = Conv { kernel: k, stride: shape.patch_stride, padding: shape.patch_padding, groups: 1 };
    let kernel = layers.g.weight(&format!("{name}.embed.weight"), &[d, channels, k, k])?;
    let bias = layers.g.weight(&format!("{name}.embed.bias"), &[d])?;
    let map = layers.g.wire(format!("{name}.embed"), conv, &[map, kernel, bias])?; // [B, D, G, G]
    let x = to_tokens(layers, (&format!("{name}.tokens"), map), (d, n))?;
    let x = layers.norm(&format!("{name}.norm"), x, (d, cvt.layer_norm_eps))?;
    if cvt.class_tokens(stage) == 0 {
        return Ok(x);
    }
    // Room before the map's tokens, and the class token added to it, need no run-time shape.
    let class = layers.g.weight("cls_token", &[1, 1, d])?;
    let class = layers.g.wire("cls_token.placed", Pad { axis: 1, before: 0, after: n }, &[class])?;
    let x = layers.g.wire(format!("{name}.padded"), Pad { axis: 1, before: 1, after: 0 }, &[x])?;
    layers.g.wire(format!("{name}.with_class"), Add, &[x, class])
}

/// Attention with convolved queries, keys and values, then the output projection.
fn attention(
    cvt: &CvtConfig,
    layers: &mut Layers<'_>,
    place: CvtBlock<'_>,
    (name, x): (&str, Wire),
) -> Result<Wire, Error> {
    let d = place.shape.width;
    let (class, rest) = split_class(cvt, layers, place.stage, (name, x))?;
    let map = to_map(layers, (&format!("{name}.map"), rest), (d, cvt.grid(place.stage)))?;
    let mut part = |part: &str, stride| {
        let name = format!("{name}.{part}");
        let tokens = match stride {
            Some(stride) => Some(convolved(layers, place, (&name, map), stride)?),
            None => None,
        };
        heads(layers, place, (&name, [class, tokens]))
    };
    // The last block asks for its class token only.
    let q = part("q", (!place.last).then_some(1))?; // [B, H, N, D/H]
    let k = part("k", Some(place.shape.kv_stride))?; // [B, H, M, D/H]
    let v = part("v", Some(place.shape.kv_stride))?; // [B, H, M, D/H]
    let mixed = layers.attend_scaled(name, 1.0 / (d as f32).sqrt(), [q, k, v], &[])?; // [B, H, N, D/H]
    let (order, n) = (vec![0, 2, 1, 3], layers.g.fact(mixed).shape[2].fixed().unwrap_or_default());
    let mixed = layers.g.wire(format!("{name}.merged"), Transpose { order }, &[mixed])?;
    let merged = layers.g.wire(format!("{name}.flat"), Reshape { rest: vec![n, d] }, &[mixed])?;
    layers.linear(&format!("{name}.proj"), merged, (d, d))
}

/// # Shapes
/// `[B, N, D]` to `[B, 1, D]`.
fn class_token(layers: &mut Layers<'_>, (name, x): (&str, Wire)) -> Result<Wire, Error> {
    layers.g.wire(name, Slice { axis: 1, start: 0, end: 1 }, &[x])
}

/// The class token, if the stage has one, and the tokens of the map.
fn split_class(
    cvt: &CvtConfig,
    layers: &mut Layers<'_>,
    stage: usize,
    (name, x): (&str, Wire),
) -> Result<(Option<Wire>, Wire), Error> {
    if cvt.class_tokens(stage) == 0 {
        return Ok((None, x));
    }
    let class = class_token(layers, (&format!("{name}.class"), x))?;
    let rest = Slice { axis: 1, start: 1, end: cvt.tokens(stage) };
    Ok((Some(class), layers.g.wire(format!("{name}.rest"), rest, &[x])?))
}

/// A depth-wise convolution of the map, its batch norm folded in.
///
/// # Shapes
/// `[B, D, G, G]` to `[B, m, D]`.
fn convolved(
    layers: &mut Layers<'_>,
    place: CvtBlock<'_>,
    (name, map): (&str, Wire),
    stride: usize,
) -> Result<Wire, Error> {
    let (d, kernel) = (place.shape.width, place.shape.kernel);
    let conv = Conv { kernel, stride, padding: kernel / 2, groups: d };
    let weight = layers.g.weight(&format!("{name}_conv.weight"), &[d, 1, kernel, kernel])?;
    let bias = layers.g.weight(&format!("{name}_conv.bias"), &[d])?;
    let map = layers.g.wire(format!("{name}_conv"), conv, &[map, weight, bias])?;
    let sides = layers.g.fact(map).shape[2..].iter().filter_map(|dim| dim.fixed());
    let tokens = sides.product();
    to_tokens(layers, (&format!("{name}_conv.tokens"), map), (d, tokens))
}

/// The tokens, the class token first, projected, split into heads and put in `order` of `[B, M, H, D/H]`.
fn heads(
    layers: &mut Layers<'_>,
    place: CvtBlock<'_>,
    (name, tokens): (&str, [Option<Wire>; 2]),
) -> Result<Wire, Error> {
    let (d, heads) = (place.shape.width, place.shape.heads);
    let parts: Vec<Wire> = tokens.into_iter().flatten().collect();
    let x = match parts[..] {
        [alone] => alone,
        _ => layers.g.wire(format!("{name}.tokens"), Concat { axis: 1 }, &parts)?,
    };
    let n = layers.g.fact(x).shape[1].fixed().unwrap_or_default();
    let flat = layers.linear(&format!("{name}_proj"), x, (d, d))?;
    let split = Reshape { rest: vec![n, heads, d / heads] };
    let split = layers.g.wire(format!("{name}.split"), split, &[flat])?; // [B, M, H, D/H]
    layers.g.wire(format!("{name}.heads"), Transpose { order: vec![0, 2, 1, 3] }, &[split])
}

/// # Shapes
/// `[B, G², D]` to `[B, D, G, G]`.
fn to_map(
    layers: &mut Layers<'_>,
    (name, x): (&str, Wire),
    (d, grid): (usize, usize),
) -> Result<Wire, Error> {
    let order = vec![0, 2, 1];
    let x = layers.g.wire(format!("{name}.channels"), Transpose { order }, &[x])?;
    layers.g.wire(name, Reshape { rest: vec![d, grid, grid] }, &[x])
}

/// # Shapes
/// `[B, D, G, G]` to `[B, G², D]`.
fn to_tokens(
    layers: &mut Layers<'_>,
    (name, map): (&str, Wire),
    (d, n): (usize, usize),
) -> Result<Wire, Error> {
    let flat = layers.g.wire(format!("{name}.flat"), Reshape { rest: vec![d, n] }, &[map])?;
    layers.g.wire(name, Transpose { order: vec![0, 2, 1] }, &[flat])
}

/// A plan is checked before it is wired, so that this is not met.
fn no_block(layers: &Layers<'_>, block: usize) -> Error {
    let reason = "there is no such block".into();
    Error::Plan { plan: format!("{} block {block}", layers.g.name()), reason }
}
