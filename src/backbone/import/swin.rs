//! timm's and Hugging Face's namings of Swin (v1).

use super::checkpoint::{Checkpoint, Tensor};
use super::draft::{Drawer, Family, Recognised};
use super::timm_config::TimmConfig;
use super::{Request, spelling, swin_shape, timm};
use crate::backbone::{Architecture, Error, Shape, SwinConfig};

/// Tensors that belong to classifiers and training, not to the backbone.
const LEAVE_OUT: &[&str] = &["head.", "classifier.", "pooler.", "embeddings.mask_token"];

/// One library's names, around the numbers of stage and block and inside a block.
pub(super) struct Names {
    pub(super) naming: &'static str,
    pub(super) patch: &'static str,
    pub(super) patch_norm: &'static str,
    pub(super) stages: &'static str,
    pub(super) norm1: &'static str,
    pub(super) table: &'static str,
    /// Query, key and value, where they are not fused.
    pub(super) qkv: Option<[&'static str; 3]>,
    pub(super) proj: &'static str,
    pub(super) norm2: &'static str,
    pub(super) fc1: &'static str,
    pub(super) fc2: &'static str,
    pub(super) norm: &'static str,
}

const TIMM: Names = Names {
    naming: "timm",
    patch: "patch_embed.proj",
    patch_norm: "patch_embed.norm",
    stages: "layers.",
    norm1: "norm1",
    table: "attn.relative_position_bias_table",
    qkv: None,
    proj: "attn.proj",
    norm2: "norm2",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    norm: "norm",
};

const HUGGING_FACE: Names = Names {
    naming: "hugging_face",
    patch: "embeddings.patch_embeddings.projection",
    patch_norm: "embeddings.norm",
    stages: "encoder.layers.",
    norm1: "layernorm_before",
    table: "attention.self.relative_position_bias_table",
    qkv: Some(["attention.self.query", "attention.self.key", "attention.self.value"]),
    proj: "attention.output.dense",
    norm2: "layernorm_after",
    fc1: "intermediate.dense",
    fc2: "output.dense",
    norm: "layernorm",
};

/// The naming, if the checkpoint is a Swin's: windows have a table of relative positions in the first stage.
fn names(checkpoint: &Checkpoint) -> Option<&'static Names> {
    let bears = |names: &Names| checkpoint.has(&format!("{}0.blocks.0.{}", names.stages, names.table));
    [&TIMM, &HUGGING_FACE].into_iter().find(|names| bears(names))
}

/// Whether the checkpoint is a Swin's.
pub(super) fn recognises(checkpoint: &Checkpoint) -> bool {
    names(checkpoint).is_some()
}

/// Takes the tensors of a Swin's checkpoint.
pub(super) fn draw(drawer: &mut Drawer, request: &Request) -> Result<Recognised, Error> {
    let names = names(&drawer.from).unwrap_or(&TIMM);
    leave_out_buffers(&mut drawer.from);
    let Drawer { from, ledger, .. } = drawer;
    let (swin, pretrained_cfg) = match names.naming {
        "timm" => {
            let told = TimmConfig::read(from, request, ledger)?;
            (swin_shape::timms(from, ledger, (request, &told, names))?, told.pretrained_cfg)
        }
        _ => (swin_shape::hugging_faces(from, ledger, (request, names))?, None),
    };
    fill_biases(&mut drawer.from, &swin, names);
    drawer.copy(&format!("{}.weight", names.patch), "patch_embed.proj.weight");
    drawer.copy(&format!("{}.bias", names.patch), "patch_embed.proj.bias");
    drawer.norm(names.patch_norm, "patch_embed.norm");
    // timm since 0.9 keeps a merging with the stage it begins; timm before, the reference and Hugging Face with the
    // stage it ends.
    let ends_stages = drawer.from.has(&format!("{}0.downsample.reduction.weight", names.stages));
    for number in 0..swin.depth() {
        let block = swin.block(number);
        if block.merges() {
            let theirs = format!("{}{}.downsample", names.stages, block.stage - usize::from(ends_stages));
            draw_merging(drawer, &theirs, &format!("blocks.{number}.merge"));
        }
        draw_block(drawer, (&swin, number), names);
    }
    drawer.norm(names.norm, "norm");
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
fn draw_merging(drawer: &mut Drawer, theirs: &str, ours: &str) {
    drawer.norm(&format!("{theirs}.norm"), &format!("{ours}.norm"));
    let weight = format!("{theirs}.reduction.weight");
    let transposed = drawer.take(&weight).and_then(|tensor| tensor.transposed());
    drawer.put(&format!("{ours}.reduction.weight"), &weight, transposed);
}

fn draw_block(drawer: &mut Drawer, (swin, number): (&SwinConfig, usize), names: &Names) {
    let block = swin.block(number);
    let b = format!("{}{}.blocks.{}", names.stages, block.stage, block.index);
    let theirs = |name: &str| format!("{b}.{name}");
    let ours = |name: &str| format!("blocks.{number}.{name}");
    drawer.norm(&theirs(names.norm1), &ours("norm1"));
    match names.qkv {
        Some(three) => {
            for (from, to) in three.into_iter().zip(["attn.q_proj", "attn.k_proj", "attn.v_proj"]) {
                drawer.linear(&theirs(from), &ours(to));
            }
        }
        None => timm::draw_qkv(drawer, (&b, &format!("blocks.{number}")), block.width),
    }
    let table = theirs(names.table);
    let bias = drawer.take(&table).and_then(|table| gathered(&table, swin.window));
    drawer.put(&ours("attn.position_bias"), &table, bias);
    drawer.norm(&theirs(names.norm2), &ours("norm2"));
    for (from, to) in [(names.proj, "attn.proj"), (names.fc1, "mlp.fc1"), (names.fc2, "mlp.fc2")] {
        drawer.linear(&theirs(from), &ours(to));
    }
}

/// A table of relative positions as a bias for each pair of a window's tokens, so that a program just adds it. The
/// entry of a query at (a, b) and a key at (c, d) is that of offset (a − c, b − d), counted from (1 − W, 1 − W) row by
/// row.
///
/// # Shapes
/// `[(2W − 1)², H]` to `[H, W², W²]`.
fn gathered(table: &Tensor, window: usize) -> Option<Tensor> {
    let (side, n) = (2 * window - 1, window * window);
    let &[rows, heads] = &table.shape[..] else { return None };
    if rows != side * side {
        return None;
    }
    let offset = |query: usize, key: usize| {
        let (a, b, c, d) = (query / window, query % window, key / window, key % window);
        (a + window - 1 - c) * side + (b + window - 1 - d)
    };
    let entry = |i: usize| table.data[offset(i / n % n, i % n) * heads + i / (n * n)];
    Some(Tensor { shape: vec![heads, n, n], data: (0..heads * n * n).map(entry).collect() })
}
