//! What prompts cost, by the paper's way of counting and by ours.

use mimi_server::backbone::{Form, Module, ModuleSet, Place, Site};
use mimi_server::graph::{Plan, plan_flops};

use crate::swin::{PAPER, swin, swin_t};

/// Prompts of the paper's table 4.
const PROMPTS: u64 = 100;

/// Multiply-adds that prompts as tokens add to Swin-T, counted as [`PAPER`] is: linear layers, an operation for each
/// element of a norm or a GELU, and neither q·k nor weights·v. In every window they are queries, keys and values; the
/// MLP and the merging of patches see them once.
fn as_tokens(prompts: u64) -> u64 {
    let config = swin_t();
    let swin = swin(&config);
    let blocks: Vec<_> = (0..config.depth()).map(|i| swin.block(i)).collect();
    let of = |i: usize| {
        let (d, grid) = (blocks[i].width as u64, blocks[i].grid as u64);
        let windows = grid * grid / (swin.window * swin.window) as u64;
        let attention = windows * 4 * d * d;
        let (mlp, norms, gelu) = (8 * d * d, 2 * d, 4 * d);
        // Four times half the width is normed, and projected to the width.
        let merging = if blocks[i].merges() { 2 * d * d + 2 * d } else { 0 };
        prompts * (attention + mlp + norms + gelu + merging)
    };
    (0..blocks.len()).map(of).sum()
}

#[test]
fn prompts_cost_a_tenth_as_keys_and_values_of_what_they_cost_as_tokens() {
    let config = swin_t();
    let paper = 2.0 * (PAPER + as_tokens(PROMPTS)) as f64 / 1e9;
    // The paper's table says 18.40. What it counts beyond the layers' own products is not known.
    assert!((paper - 18.15).abs() < 0.01 && (paper / 18.40 - 1.0).abs() < 0.015, "{paper}");

    let at = |block| Module { site: Site::new(block, Place::Attn), form: Form::Prefix };
    let prefix: ModuleSet = config.blocks().iter().map(at).collect();
    let flops = |n: usize| plan_flops(&config, &Plan::whole(&config, prefix), |_| n).unwrap();
    let (bare, ours) = (flops(0), flops(PROMPTS as usize));
    assert_eq!(bare, 8_979_597_312);
    // Two products of every token with every prompt: 4 · N · n · D in each block.
    let block = |b: usize| (config.block_tokens(b) * config.block_width(b)) as u64;
    assert_eq!(ours - bare, 4 * PROMPTS * (0..config.depth()).map(block).sum::<u64>());
    assert_eq!((ours as f64 / 1e7).round() / 100.0, 9.55);
}
