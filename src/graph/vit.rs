//! The ViT family as a graph, with MiMi adapters at the plan's sites.
//!
//! ```text
//! x₀      = [cls; reg; patches(pixels)] + positions          (norm_pre)
//! x      += A₁(ls1 · attn(norm1(x)))
//! x      += A₂(ls2 · mlp(norm2(x)))                           A(h) = h + up · act(down · h)
//! feature = pool(norm(x))
//! ```
//! Sources: Dosovitskiy et al. 2021; Radford et al. 2021 (CLIP: `norm_pre`, QuickGELU); Oquab et al. 2023
//! (DINOv2: LayerScale `ls`, registers); the adapters' place: Marouf et al. 2024, figure 2.

use super::ops::{Add, Concat, Constant, Conv, Gelu, LayerNorm, MatMul, Mul, Pad};
use super::ops::{ReduceMean, Reshape, Sigmoid, Slice, Softmax, Transpose};
use super::{Dim, Error, Fact, Graph, Plan, Wire};
use crate::backbone::{Activation, Place, Pool, Site, VitConfig};

/// Input of a program that begins at the first block, `[B, 3, S, S]`.
pub const PIXELS: &str = "pixels";
/// Input of a program that begins later, `[B, N, D]`.
pub const HIDDEN: &str = "hidden";
/// Output of a program that ends before the last block, `[B, N, D]`.
pub const HIDDEN_OUT: &str = "hidden_out";
/// Output of a program that ends at the last block, `[B, D]`.
pub const FEATURES: &str = "features";
/// Slope inside QuickGELU (CLIP's reference implementation).
const QUICK_GELU_SLOPE: f32 = 1.702;

/// How a graph's adapters are fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// One adapter for all rows or one for each row, as each run likes.
    Free,
    /// One adapter for all rows: what gradients need.
    Shared,
}

/// Wires the plan's blocks into `g` and returns the last wire with the name it has as an output.
///
/// # Shapes
/// [`FEATURES`] `[B, D]`, or [`HIDDEN_OUT`] `[B, N, D]` before the last block's end.
///
/// # Errors
/// [`Error::Wiring`] when the configuration contradicts itself.
pub fn wire(
    g: &mut Graph,
    config: &VitConfig,
    (adapter, feed): (Activation, Feed),
    plan: &Plan,
) -> Result<(&'static str, Wire), Error> {
    let mut vit = Builder { config, adapter, feed, g };
    let mut x = match plan.blocks.start {
        0 => vit.embed()?,
        _ => vit.g.input(HIDDEN, vit.tokens_fact())?,
    };
    for block in plan.blocks.iter() {
        x = vit.block(block, x, plan)?;
    }
    match plan.blocks.end == config.depth {
        true => Ok((FEATURES, vit.pool(x)?)),
        false => Ok((HIDDEN_OUT, x)),
    }
}

struct Builder<'a> {
    config: &'a VitConfig,
    adapter: Activation,
    feed: Feed,
    g: &'a mut Graph,
}

impl Builder<'_> {
    /// # Shapes
    /// `[B, N, D]`.
    fn tokens_fact(&self) -> Fact {
        Fact::f32([Dim::Batch, Dim::Fixed(self.config.tokens()), Dim::Fixed(self.config.width)])
    }

    /// Patches, then prefix tokens and positions.
    fn embed(&mut self) -> Result<Wire, Error> {
        let c = self.config;
        let (d, p, s) = (c.width, c.patch_size, c.image_size);
        let pixels = [Dim::Batch, Dim::Fixed(3), Dim::Fixed(s), Dim::Fixed(s)];
        let mut inputs = vec![self.g.input(PIXELS, Fact::f32(pixels))?];
        inputs.push(self.g.weight("patch_embed.proj.weight", &[d, 3, p, p])?);
        if c.patch_bias {
            inputs.push(self.g.weight("patch_embed.proj.bias", &[d])?);
        }
        let grid = self.g.wire("patch_embed.proj", Conv::patches(p), &inputs)?; // [B, D, S/P, S/P]
        let flat = Reshape { rest: vec![d, c.grid() * c.grid()] };
        let flat = self.g.wire("patch_embed.flat", flat, &[grid])?; // [B, D, n]
        let order = vec![0, 2, 1];
        let patches = self.g.wire("patch_embed.tokens", Transpose { order }, &[flat])?; // [B, n, D]
        let room = Pad { axis: 1, before: c.prefix_tokens(), after: 0 };
        let padded = self.g.wire("patch_embed.padded", room, &[patches])?; // [B, N, D]
        let table = self.position_table()?;
        let x = self.g.wire("embed", Add, &[padded, table])?;
        if c.norm_pre { self.norm("norm_pre", x) } else { Ok(x) }
    }

    /// Class and register tokens with the positions, ready to be added to the padded patches.
    ///
    /// # Shapes
    /// `[1, N, D]`.
    fn position_table(&mut self) -> Result<Wire, Error> {
        let c = self.config;
        let (d, patches) = (c.width, c.grid() * c.grid());
        let first = c.class_token as usize;
        let positions = self.g.weight("pos_embed", &[1, first + patches, d])?;
        if c.prefix_tokens() == 0 {
            return Ok(positions);
        }
        let mut parts = Vec::new();
        if c.class_token {
            let class = self.g.weight("cls_token", &[1, 1, d])?;
            let own = self.g.wire("pos_embed.class", Slice { axis: 1, start: 0, end: 1 }, &[positions])?;
            parts.push(self.g.wire("cls_token.placed", Add, &[class, own])?);
        }
        if c.registers > 0 {
            parts.push(self.g.weight("reg_token", &[1, c.registers, d])?);
        }
        let rest = Slice { axis: 1, start: first, end: first + patches };
        parts.push(self.g.wire("pos_embed.patches", rest, &[positions])?);
        self.g.wire("position_table", Concat { axis: 1 }, &parts)
    }

    fn block(&mut self, block: usize, x: Wire, plan: &Plan) -> Result<Wire, Error> {
        let b = format!("blocks.{block}");
        let h = self.norm(&format!("{b}.norm1"), x)?;
        let h = self.attention(&format!("{b}.attn"), h)?;
        let h = self.layer_scale(&format!("{b}.ls1"), h)?;
        let h = self.adapt(Site::new(block, Place::Attn), h, plan)?;
        let x = self.g.wire(format!("{b}.attn.residual"), Add, &[x, h])?;
        let h = self.norm(&format!("{b}.norm2"), x)?;
        let h = self.mlp(&format!("{b}.mlp"), h)?;
        let h = self.layer_scale(&format!("{b}.ls2"), h)?;
        let h = self.adapt(Site::new(block, Place::Mlp), h, plan)?;
        self.g.wire(format!("{b}.mlp.residual"), Add, &[x, h])
    }

    /// Multi-head self-attention: `softmax(q kᵀ / √(D/H)) v`, then the output projection.
    fn attention(&mut self, name: &str, x: Wire) -> Result<Wire, Error> {
        let (n, d, heads) = (self.config.tokens(), self.config.width, self.config.heads);
        let scale = Constant::scalar(1.0 / ((d / heads) as f32).sqrt());
        let q = self.heads(name, "q_proj", x, [0, 2, 1, 3])?; // [B, H, N, D/H]
        let k = self.heads(name, "k_proj", x, [0, 2, 3, 1])?; // [B, H, D/H, N]
        let v = self.heads(name, "v_proj", x, [0, 2, 1, 3])?; // [B, H, N, D/H]
        let scores = self.g.wire(format!("{name}.scores"), MatMul, &[q, k])?; // [B, H, N, N]
        let scale = self.g.constant(format!("{name}.scale"), scale)?;
        let scores = self.g.wire(format!("{name}.scaled"), Mul, &[scores, scale])?;
        let weights = self.g.wire(format!("{name}.softmax"), Softmax, &[scores])?;
        let mixed = self.g.wire(format!("{name}.mixed"), MatMul, &[weights, v])?; // [B, H, N, D/H]
        let order = vec![0, 2, 1, 3];
        let mixed = self.g.wire(format!("{name}.merged"), Transpose { order }, &[mixed])?;
        let merged = self.g.wire(format!("{name}.flat"), Reshape { rest: vec![n, d] }, &[mixed])?;
        self.linear(&format!("{name}.proj"), merged, d, d)
    }

    /// One of query, key and value, split into heads and put in `order` of `[B, N, H, D/H]`.
    fn heads(&mut self, attn: &str, name: &str, x: Wire, order: [usize; 4]) -> Result<Wire, Error> {
        let (n, d, heads) = (self.config.tokens(), self.config.width, self.config.heads);
        let name = format!("{attn}.{name}");
        let flat = self.linear(&name, x, d, d)?;
        let split = Reshape { rest: vec![n, heads, d / heads] };
        let split = self.g.wire(format!("{name}.split"), split, &[flat])?; // [B, N, H, D/H]
        self.g.wire(format!("{name}.heads"), Transpose { order: order.to_vec() }, &[split])
    }

    fn mlp(&mut self, name: &str, x: Wire) -> Result<Wire, Error> {
        let (d, m) = (self.config.width, self.config.mlp_width);
        let h = self.linear(&format!("{name}.fc1"), x, d, m)?;
        let h = self.activation(&format!("{name}.act"), self.config.activation, h)?;
        self.linear(&format!("{name}.fc2"), h, m, d)
    }

    /// The adapter `h + up · act(down · h)`; without one at the site, `h` itself and no node.
    fn adapt(&mut self, site: Site, h: Wire, plan: &Plan) -> Result<Wire, Error> {
        if !plan.sites.contains(site) {
            return Ok(h);
        }
        let (d, r) = (Dim::Fixed(self.config.width), Dim::Width(site));
        let fact = |shape: [Dim; 2]| match self.feed {
            Feed::Free => Fact::adapter(shape),
            Feed::Shared => Fact::f32(shape),
        };
        let down = self.g.input(down_input(site), fact([d, r]))?;
        let up = self.g.input(up_input(site), fact([r, d]))?;
        let name = format!("{site}.adapter");
        let z = self.g.wire(format!("{name}.hidden"), MatMul, &[h, down])?; // [B, N, R]
        let z = self.activation(&format!("{name}.act"), self.adapter, z)?;
        let r = self.g.wire(format!("{name}.change"), MatMul, &[z, up])?; // [B, N, D]
        self.g.wire(format!("{name}.out"), Add, &[h, r])
    }

    fn activation(&mut self, name: &str, activation: Activation, x: Wire) -> Result<Wire, Error> {
        match activation {
            Activation::Gelu => self.g.wire(name, Gelu, &[x]),
            Activation::QuickGelu => {
                let slope = Constant::scalar(QUICK_GELU_SLOPE);
                let slope = self.g.constant(format!("{name}.slope"), slope)?;
                let steep = self.g.wire(format!("{name}.steep"), Mul, &[x, slope])?;
                let gate = self.g.wire(format!("{name}.gate"), Sigmoid, &[steep])?;
                self.g.wire(name, Mul, &[x, gate])
            }
        }
    }

    fn layer_scale(&mut self, name: &str, x: Wire) -> Result<Wire, Error> {
        if !self.config.layer_scale {
            return Ok(x);
        }
        let gamma = self.g.weight(&format!("{name}.gamma"), &[self.config.width])?;
        self.g.wire(name, Mul, &[x, gamma])
    }

    fn linear(&mut self, name: &str, x: Wire, input: usize, output: usize) -> Result<Wire, Error> {
        let weight = self.g.weight(&format!("{name}.weight"), &[input, output])?;
        let bias = self.g.weight(&format!("{name}.bias"), &[output])?;
        let product = self.g.wire(format!("{name}.product"), MatMul, &[x, weight])?;
        self.g.wire(name, Add, &[product, bias])
    }

    fn norm(&mut self, name: &str, x: Wire) -> Result<Wire, Error> {
        let width = self.config.width;
        let scale = self.g.weight(&format!("{name}.weight"), &[width])?;
        let bias = self.g.weight(&format!("{name}.bias"), &[width])?;
        self.g.wire(name, LayerNorm { epsilon: self.config.layer_norm_eps }, &[x, scale, bias])
    }

    /// # Shapes
    /// `[B, N, D]` to `[B, D]`.
    fn pool(&mut self, x: Wire) -> Result<Wire, Error> {
        let (first, n, d) = (self.config.prefix_tokens(), self.config.tokens(), self.config.width);
        let patches = Slice { axis: 1, start: first, end: n };
        match self.config.pool {
            Pool::Cls => {
                let class = self.g.wire("pool.class", Slice { axis: 1, start: 0, end: 1 }, &[x])?;
                // The norm works token by token, so only the token that is read needs it.
                let class = self.norm("norm", class)?;
                self.g.wire("pool", Reshape { rest: vec![d] }, &[class])
            }
            Pool::Mean => {
                let x = self.norm("norm", x)?;
                let x = self.g.wire("pool.patches", patches, &[x])?;
                self.g.wire("pool", ReduceMean { axis: 1, keep: false }, &[x])
            }
            Pool::MeanThenNorm => {
                let x = self.g.wire("pool.patches", patches, &[x])?;
                let x = self.g.wire("pool", ReduceMean { axis: 1, keep: false }, &[x])?;
                self.norm("norm", x)
            }
        }
    }
}

/// Name of the input that takes a site's down-projection, `[D, R]` or `[B, D, R]`.
pub fn down_input(site: Site) -> String {
    format!("{site}.adapter.down")
}

/// Name of the input that takes a site's up-projection, `[R, D]` or `[B, R, D]`.
pub fn up_input(site: Site) -> String {
    format!("{site}.adapter.up")
}
