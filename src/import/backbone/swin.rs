//! timm's and Hugging Face's namings of Swin (v1).

use super::checkpoint::{Checkpoint, Tensor};
use super::error::Error;
use super::family::{Family, Recognised};
use super::request::Request;
use super::swin_names::{Names, TIMM, names};
use super::timm_config::TimmConfig;
use super::translator::Translator;
use super::{spelling, swin_shape, timm};
use crate::backbone::{Architecture, Shape, SwinConfig};

/// Tensors that belong to classifiers and training, not to the backbone.
const LEAVE_OUT: &[&str] = &["head.", "classifier.", "pooler.", "embeddings.mask_token"];

/// Whether the checkpoint is a Swin's.
pub(super) fn recognises(checkpoint: &Checkpoint) -> bool {
    names(checkpoint).is_some()
}

/// Takes the tensors of a Swin's checkpoint.
pub(super) fn translate(translator: &mut Translator, request: &Request) -> Result<Recognised, Error> {
    let names = names(&translator.from).unwrap_or(&TIMM);
    leave_out_buffers(&mut translator.from);
    let Translator { from, ledger, .. } = translator;
    let (swin, pretrained_cfg) = match names.naming {
        "timm" => {
            let told = TimmConfig::read(from, request, ledger)?;
            (swin_shape::timms(from, ledger, request, &told, names)?, told.pretrained_cfg)
        }
        _ => (swin_shape::hugging_faces(from, ledger, request, names)?, None),
    };
    fill_biases(&mut translator.from, &swin, names);
    translator.copy(&format!("{}.weight", names.patch), "patch_embed.proj.weight");
    translator.copy(&format!("{}.bias", names.patch), "patch_embed.proj.bias");
    translator.norm(names.patch_norm, "patch_embed.norm");
    // timm since 0.9 keeps a merging with the stage it begins; timm before, the reference and Hugging Face with the
    // stage it ends.
    let ends_stages = translator.from.has(&format!("{}0.downsample.reduction.weight", names.stages));
    for number in 0..swin.depth() {
        let block = swin.block(number);
        if block.merges() {
            let theirs = format!("{}{}.downsample", names.stages, block.stage - usize::from(ends_stages));
            draw_merging(translator, &theirs, &format!("blocks.{number}.merge"));
        }
        draw_block(translator, (&swin, number), names);
    }
    translator.norm(names.norm, "norm");
    let (family, architecture) = (Family::Plain, Architecture::Swin(swin));
    Ok(Recognised { family, architecture, naming: names.naming, leave_out: LEAVE_OUT, pretrained_cfg })
}

/// Masks of shifted windows, which old checkpoints hold, follow from the shape.
fn leave_out_buffers(from: &mut Checkpoint) {
    let masks: Vec<String> =
        from.tensors.keys().filter(|name| name.ends_with(".attn_mask")).cloned().collect();
    masks.iter().for_each(|name| drop(from.tensors.remove(name)));
    from.left_out.extend(masks);
}

/// Zeros for the biases of queries, keys and values, if no block has them (`qkv_bias` false).
fn fill_biases(from: &mut Checkpoint, swin: &SwinConfig, names: &Names) {
    let fused = ["attn.qkv"];
    for part in names.qkv.as_ref().map_or(&fused[..], |three| &three[..]) {
        let blocks: Vec<_> = (0..swin.depth()).map(|number| swin.block(number)).collect();
        let name = |stage: usize, index: usize| format!("{}{stage}.blocks.{index}.{part}.bias", names.stages);
        if blocks.iter().any(|block| from.has(&name(block.stage, block.index))) {
            continue;
        }
        for block in blocks {
            let width = if names.qkv.is_some() { block.width } else { 3 * block.width };
            spelling::fill(from, vec![name(block.stage, block.index)], width);
        }
    }
}

/// The four tokens' norm and the projection to twice the width, which has no bias.
fn draw_merging(translator: &mut Translator, theirs: &str, ours: &str) {
    translator.norm(&format!("{theirs}.norm"), &format!("{ours}.norm"));
    let weight = format!("{theirs}.reduction.weight");
    let transposed = translator.take(&weight).and_then(|tensor| tensor.transposed());
    translator.put(&format!("{ours}.reduction.weight"), &weight, transposed);
}

fn draw_block(translator: &mut Translator, (swin, number): (&SwinConfig, usize), names: &Names) {
    let block = swin.block(number);
    let b = format!("{}{}.blocks.{}", names.stages, block.stage, block.index);
    let theirs = |name: &str| format!("{b}.{name}");
    let ours = |name: &str| format!("blocks.{number}.{name}");
    translator.norm(&theirs(names.norm1), &ours("norm1"));
    match names.qkv {
        Some(three) => {
            for (from, to) in three.into_iter().zip(["attn.q_proj", "attn.k_proj", "attn.v_proj"]) {
                translator.linear(&theirs(from), &ours(to));
            }
        }
        None => timm::draw_qkv(translator, (&b, &format!("blocks.{number}")), block.width),
    }
    let table = theirs(names.table);
    let bias = translator.take(&table).and_then(|table| gathered(&table, swin));
    translator.put(&ours("attn.position_bias"), &table, bias);
    translator.norm(&theirs(names.norm2), &ours("norm2"));
    for (from, to) in [(names.proj, "attn.proj"), (names.fc1, "mlp.fc1"), (names.fc2, "mlp.fc2")] {
        translator.linear(&theirs(from), &ours(to));
    }
}

/// A table of relative positions as a bias for each pair of a window's tokens, so that a program just adds it.
///
/// # Shapes
/// `[(2W − 1)², H]` to `[H, W², W²]`.
fn gathered(table: &Tensor, swin: &SwinConfig) -> Option<Tensor> {
    let n = swin.window * swin.window;
    let &[rows, heads] = &table.shape[..] else { return None };
    if rows != swin.offsets() {
        return None;
    }
    let entry = |i: usize| table.data[swin.offset(i / n % n, i % n) * heads + i / (n * n)];
    Some(Tensor { shape: vec![heads, n, n], data: (0..heads * n * n).map(entry).collect() })
}
