//! timm's and Hugging Face's namings of Swin (v1).

use super::checkpoint::{Checkpoint, Tensor};
use super::draft::{Drawer, Family, Recognised, square};
use super::{Request, config_files, timm};
use crate::backbone::{Activation, Architecture, Error, Pool, Shape, SwinConfig};

/// Tensors that belong to classifiers and training, not to the backbone.
const LEAVE_OUT: &[&str] = &["head.", "classifier.", "pooler.", "embeddings.mask_token"];

/// One library's names, around the numbers of stage and block and inside a block.
struct Names {
    naming: &'static str,
    prefixes: &'static [&'static str],
    patch: &'static str,
    patch_norm: &'static str,
    stages: &'static str,
    norm1: &'static str,
    table: &'static str,
    /// Query, key and value, where they are not fused.
    qkv: Option<[&'static str; 3]>,
    proj: &'static str,
    norm2: &'static str,
    fc1: &'static str,
    fc2: &'static str,
    norm: &'static str,
}

const TIMM: Names = Names {
    naming: "timm",
    prefixes: &["module.", "model."],
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
    prefixes: &["swin."],
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
    let bears = |names: &Names| {
        let first = format!("{}0.blocks.0.{}", names.stages, names.table);
        let is_it = |name: &&str| match name.strip_suffix(first.as_str()) {
            Some("") => true,
            Some(prefix) => names.prefixes.iter().any(|known| prefix.ends_with(known)),
            None => false,
        };
        checkpoint.tensors.keys().map(String::as_str).any(|name| is_it(&name))
    };
    [&TIMM, &HUGGING_FACE].into_iter().find(|names| bears(names))
}

/// Whether the checkpoint is a Swin's.
pub(super) fn recognises(checkpoint: &Checkpoint) -> bool {
    names(checkpoint).is_some()
}

/// Takes the tensors of a Swin's checkpoint.
pub(super) fn draw(drawer: &mut Drawer, request: &Request) -> Result<Recognised, Error> {
    let names = names(&drawer.from).unwrap_or(&TIMM);
    names.prefixes.iter().for_each(|prefix| drawer.from.strip_prefix(prefix));
    leave_out_buffers(&mut drawer.from);
    let swin = describe(drawer, request, names)?;
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
    Ok(Recognised { family, architecture, naming: names.naming, leave_out: LEAVE_OUT })
}

/// Masks of shifted windows, which old checkpoints hold, follow from the shape.
fn leave_out_buffers(from: &mut Checkpoint) {
    let masks: Vec<String> =
        from.tensors.keys().filter(|name| name.ends_with(".attn_mask")).cloned().collect();
    masks.iter().for_each(|name| drop(from.tensors.remove(name)));
    from.left_out.extend(masks);
}

fn describe(drawer: &Drawer, request: &Request, names: &Names) -> Result<SwinConfig, Error> {
    let from = &drawer.from;
    let unknown = |what: &str| Error::UnknownLayout {
        path: drawer.path(),
        reason: format!("{}'s naming of a Swin: {what}", names.naming),
    };
    let patch = format!("{}.weight", names.patch);
    let Some(&[width, 3, patch_size, _]) = from.shape(&patch) else {
        return Err(unknown(&format!("no {patch} [D, 3, P, P]")));
    };
    let stages = from.count(names.stages).min(usize::BITS as usize / 2);
    let at = |stage: usize| format!("{}{stage}.blocks.", names.stages);
    let depths: Vec<usize> = (0..stages).map(|stage| from.count(&at(stage))).collect();
    let table = |stage: usize| from.shape(&format!("{}0.{}", at(stage), names.table));
    let heads = (0..stages).map(|stage| table(stage)?.get(1).copied()).collect::<Option<Vec<_>>>();
    let heads = heads.ok_or_else(|| unknown(&format!("a stage without {} [offsets, H]", names.table)))?;
    let offsets = table(0).and_then(|shape| square(shape[0])).filter(|side| side % 2 == 1);
    let window =
        offsets.map(|side| side.div_ceil(2)).ok_or_else(|| unknown("a table that is no odd square"))?;
    let fc1 = format!("{}0.{}.weight", at(0), names.fc1);
    let hidden = from.shape(&fc1).and_then(|shape| shape.first().copied());
    let hidden = hidden.filter(|hidden| width > 0 && hidden.is_multiple_of(width));
    let mlp_ratio = hidden.ok_or_else(|| unknown(&format!("no {fc1} of whole widths")))? / width;
    refuse_what_is_told(request)?;
    let told = config_files::hugging_face_config(request)?;
    let told_size = told.image_size.or(config_files::timm_config(request)?.and_then(|c| c.image_size()));
    // In every published model the last stage's map is one window.
    let smallest = patch_size.saturating_mul(window) << stages.saturating_sub(1);
    let swin = SwinConfig {
        image_size: request.image_size.or(told_size).unwrap_or(smallest),
        patch_size,
        width,
        depths,
        heads,
        window,
        mlp_ratio,
        activation: request.activation.or(told.activation).unwrap_or(Activation::Gelu),
        layer_norm_eps: request.layer_norm_eps.or(told.layer_norm_eps).unwrap_or(1e-5),
    };
    // Before its numbers are counted to and divided by.
    swin.validate()?;
    Ok(swin)
}

/// What a Swin's tensors tell, or what no Swin does otherwise, may not be asked for differently.
fn refuse_what_is_told(request: &Request) -> Result<(), Error> {
    let refuse =
        |field, value: String, reason: &str| Err(Error::Invalid { field, value, reason: reason.into() });
    match (request.heads, request.pool) {
        (Some(heads), _) => {
            refuse("heads", heads.to_string(), "a Swin's own tensors tell each stage's heads")
        }
        (_, Some(pool)) if pool != Pool::Mean => {
            refuse("pool", format!("{pool:?}"), "a Swin's feature is the mean of its normed tokens")
        }
        _ => Ok(()),
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
