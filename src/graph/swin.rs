//! Swin as a graph, with the plan's modules.
//!
//! ```text
//! x₀      = norm(patches(pixels))
//! x       = norm([4 neighbours]) · R                          before the first block of a later stage
//! x      += A₁(attn(norm1(x)))                                within windows, shifted in every other block
//! x      += A₂(mlp(norm2(x)))                                 A(h) = h + up · act(down · h)
//! feature = mean(norm(x))
//! ```
//! Sources: Liu et al. 2021 (Swin); the adapters' place: Marouf et al. 2024, figure 2.
//!
//! Tokens travel in the order of windows (see [`SwinConfig::order`]): rolling and partitioning are one permutation
//! before a block, and nothing is rolled back after it, since the next block permutes anyway.

use super::layers::{Layers, Mlp};
use super::ops::{MatMul, ReduceMean, Reorder, Reshape, Transpose};
use super::parts::Parts;
use super::patches::Patches;
use super::{Constant, Error, Wire};
use crate::backbone::{Place, Shape, Site, SwinBlock, SwinConfig};

/// Added to the score of two tokens that are neighbours only because the map was rolled (the reference's value).
const APART: f32 = -100.0;

impl Parts for SwinConfig {
    /// Patches row by row, normed.
    fn embed(&self, layers: &mut Layers<'_>, pixels: Wire) -> Result<Wire, Error> {
        let (image, side, d) = (self.image_size, self.patch_size, self.width);
        let mut layers = layers.at("patch_embed");
        let x = layers.patches(pixels, true, Patches { image, side, width: d })?; // [B, N, D]
        let x = layers.change(Site::new(0, Place::Tokens), x, x)?;
        let x = layers.at("norm").norm(x, d, self.layer_norm_eps)?;
        layers.change(Site::new(0, Place::TokensNorm), x, x)
    }

    fn block(&self, layers: &mut Layers<'_>, number: usize, x: Wire) -> Result<Wire, Error> {
        let (block, epsilon) = (self.block(number), self.layer_norm_eps);
        let (d, site) = (block.width, |place| Site::new(number, place));
        let mut layers = layers.at(&format!("blocks.{number}"));
        let x = enter(self, &mut layers, number, x)?;
        let h = layers.at("norm1").norm(x, d, epsilon)?;
        let h = layers.change(site(Place::Norm1), h, h)?;
        let h = attention(self, layers.at("attn"), number, h)?;
        let h = layers.change(site(Place::Attn), x, h)?;
        let x = layers.residual(site(Place::Attn), x, h)?;
        let h = layers.at("norm2").norm(x, d, epsilon)?;
        let h = layers.change(site(Place::Norm2), h, h)?;
        let (hidden, activation) = (d * self.mlp_ratio, self.activation);
        let h = layers.at("mlp").mlp(h, Mlp { block: Some(number), width: d, hidden, activation })?;
        let h = layers.change(site(Place::Mlp), x, h)?;
        let x = layers.residual(site(Place::Mlp), x, h)?;
        layers.change(site(Place::Out), x, x)
    }

    fn pool(&self, layers: &mut Layers<'_>, x: Wire) -> Result<Wire, Error> {
        let x = layers.at("norm").norm(x, self.feature_width(), self.layer_norm_eps)?;
        layers.wire("pool", ReduceMean { axis: 1, keep: false }, &[x])
    }

    fn pooled(&self, layers: &mut Layers<'_>, _: usize, x: Wire) -> Result<Wire, Error> {
        layers.wire("pool", ReduceMean { axis: 1, keep: false }, &[x])
    }
}

/// Brings the tokens the block before left into this block's order, four becoming one where a stage begins.
fn enter(swin: &SwinConfig, layers: &mut Layers<'_>, number: usize, x: Wire) -> Result<Wire, Error> {
    let block = swin.block(number);
    let before = number.checked_sub(1).map(|before| swin.block(before));
    let left: Vec<usize> = match before {
        Some(before) => swin.order(before),
        None => (0..block.grid * block.grid).collect(),
    };
    match before {
        Some(before) if block.merges() => {
            let mut merge = layers.at("merge");
            let four = reorder(merge.at("neighbours"), x, &left, &neighbours(swin, block))?;
            let wide = 4 * before.width;
            let rest = vec![block.grid * block.grid, wide];
            let four = merge.wire("four", Reshape { rest }, &[four])?; // [B, N/4, 4 D]
            let four = merge.at("norm").norm(four, wide, swin.layer_norm_eps)?;
            let four = merge.change(Site::new(number, Place::TokensNorm), four, four)?;
            let weight = merge.weight("reduction.weight", &[wide, block.width])?;
            merge.wire("reduction", MatMul, &[four, weight])
        }
        _ => reorder(layers.at("windows"), x, &left, &swin.order(block)),
    }
}

/// The four tokens of the finer map that each of a block's tokens is made of, in the block's order: columns left to
/// right, each from top to bottom.
fn neighbours(swin: &SwinConfig, block: SwinBlock) -> Vec<usize> {
    let fine = 2 * block.grid;
    let four = |token: usize| {
        let corner = 2 * (token / block.grid) * fine + 2 * (token % block.grid);
        [corner, corner + fine, corner + 1, corner + fine + 1]
    };
    swin.order(block).into_iter().flat_map(four).collect()
}

/// Tokens in the order `from` brought into the order `to`; no node where the two are one.
fn reorder(mut layers: Layers<'_>, x: Wire, from: &[usize], to: &[usize]) -> Result<Wire, Error> {
    if from == to {
        return Ok(x);
    }
    let mut position = vec![0; from.len()];
    from.iter().enumerate().for_each(|(i, &token)| position[token] = i);
    let order = to.iter().map(|&token| position[token]).collect();
    layers.wire("", Reorder { axis: 1, order }, &[x])
}

/// Multi-head self-attention within each window, then the output projection.
fn attention(swin: &SwinConfig, mut layers: Layers<'_>, number: usize, x: Wire) -> Result<Wire, Error> {
    let (block, site) = (swin.block(number), |place| Site::new(number, place));
    let (tokens, n, d) = (block.grid * block.grid, swin.window * swin.window, block.width);
    let mut heads = |part: &str, place: Place| {
        let mut layers = layers.at(part);
        let flat = layers.linear_at(site(place), x, d, d)?;
        let split = Reshape { rest: vec![tokens / n, n, block.heads, d / block.heads] };
        let split = layers.wire("split", split, &[flat])?; // [B, windows, n, H, D/H]
        layers.wire("heads", Transpose { order: vec![0, 1, 3, 2, 4] }, &[split])
    };
    let q = heads("q_proj", Place::Q)?; // [B, windows, H, n, D/H]
    let k = heads("k_proj", Place::K)?;
    let v = heads("v_proj", Place::V)?;
    let position = layers.weight("position_bias", &[block.heads, n, n])?;
    let mut biases = vec![("positioned", position)];
    if block.shift > 0 {
        biases.push(("masked", mask(swin, &mut layers, block)?));
    }
    let mixed = layers.attend(site(Place::Scores), [q, k, v], &biases)?; // [B, windows, H, n, D/H]
    let mixed = layers.wire("merged", Transpose { order: vec![0, 1, 3, 2, 4] }, &[mixed])?;
    let merged = layers.wire("flat", Reshape { rest: vec![tokens, d] }, &[mixed])?;
    layers.at("proj").linear_at(site(Place::Proj), merged, d, d)
}

/// What keeps the regions of a shifted window apart; one for all of a stage's shifted blocks.
///
/// # Shapes
/// `[windows, 1, W², W²]`.
fn mask(swin: &SwinConfig, layers: &mut Layers<'_>, block: SwinBlock) -> Result<Wire, Error> {
    let n = swin.window * swin.window;
    layers.g.shared_constant(&format!("stages.{}.mask", block.stage), || {
        let regions = swin.regions(block);
        let pairs = |window: &[usize]| -> Vec<f32> {
            let apart = |a: usize| window.iter().map(move |&b| if a == b { 0.0 } else { APART });
            window.iter().flat_map(|&a| apart(a)).collect()
        };
        let data = regions.chunks(n).flat_map(pairs).collect();
        Constant::F32 { shape: vec![regions.len() / n, 1, n, n], data }
    })
}
