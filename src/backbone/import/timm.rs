//! timm's naming of the ViT family: `blocks.0.attn.qkv.weight`.

use super::checkpoint::{Checkpoint, Tensor};
use super::config_files::{self, Pools, TimmConfig};
use super::draft::{Drawer, Family, Recognised, heads, square};
use super::{Request, attention_pool};
use crate::backbone::{Activation, Architecture, Error, Pool, Shape, VitConfig};

/// Tensors that belong to classifiers and training, not to the backbone.
/// The first is one where the backbone does not pool by it.
const LEAVE_OUT: &[&str] = &["attn_pool.", "head.", "head_dist.", "head_drop", "mask_token"];

/// Takes the tensors of a timm checkpoint.
pub(super) fn draw(drawer: &mut Drawer, request: &Request) -> Result<Recognised, Error> {
    for prefix in ["module.", "model.", "visual.", "trunk."] {
        drawer.from.strip_prefix(prefix);
    }
    let vit = describe(drawer, request)?;
    let family = family(&drawer.from, &vit);
    draw_embeddings(drawer, &vit);
    (0..vit.depth).for_each(|block| draw_block(drawer, &vit, block));
    drawer.norm(if vit.pool == Pool::MeanThenNorm { "fc_norm" } else { "norm" }, "norm");
    let mut leave_out = LEAVE_OUT;
    if vit.pool == Pool::Attention {
        attention_pool::draw(drawer, &vit, &attention_pool::TIMM);
        leave_out = &LEAVE_OUT[1..];
    }
    let architecture = Architecture::Vit(vit);
    Ok(Recognised { family, architecture, naming: "timm", leave_out })
}

fn draw_embeddings(drawer: &mut Drawer, vit: &VitConfig) {
    let parts = [
        (true, "patch_embed.proj.weight"),
        (vit.patch_bias, "patch_embed.proj.bias"),
        (vit.class_token, "cls_token"),
        (vit.distillation_token, "dist_token"),
        (vit.registers > 0, "reg_token"),
    ];
    for (_, name) in parts.into_iter().filter(|(there, _)| *there) {
        drawer.copy(name, name);
    }
    positions(drawer, vit);
    if vit.norm_pre {
        drawer.norm("norm_pre", "norm_pre");
    }
}

/// What the tensors prove; the rest is plain, whose preprocessing must be told.
///
/// CLIP models with exact GELU (OpenCLIP's) come with two preprocessings. LayerScale alone is no sign of
/// DINOv2: DeiT III has it too, but no position for its class token, and TIPS has one register, not four.
fn family(from: &Checkpoint, vit: &VitConfig) -> Family {
    const DINOV2_PATCH: usize = 14;
    const DINOV2_REGISTERS: usize = 4;
    let has_class_row = from.shape("pos_embed").is_some_and(|shape| shape[1] == vit.grid() * vit.grid() + 1);
    let like_dinov2 = match vit.registers {
        0 => has_class_row,
        registers => registers == DINOV2_REGISTERS && !has_class_row,
    };
    match vit {
        vit if vit.norm_pre && vit.activation == Activation::QuickGelu => Family::Clip,
        vit if vit.layer_scale && vit.class_token && vit.patch_size == DINOV2_PATCH && like_dinov2 => {
            Family::Dinov2
        }
        _ => Family::Plain,
    }
}

fn describe(drawer: &Drawer, request: &Request) -> Result<VitConfig, Error> {
    let from = &drawer.from;
    let unknown = |what: &str| Error::UnknownLayout {
        path: drawer.path(),
        reason: format!("neither timm's nor Hugging Face's naming of a ViT: {what}"),
    };
    let Some(&[width, 3, patch_size, _]) = from.shape("patch_embed.proj.weight") else {
        return Err(unknown("no patch_embed.proj.weight [D, 3, P, P]"));
    };
    let Some(&[1, rows, _]) = from.shape("pos_embed") else { return Err(unknown("no pos_embed [1, n, D]")) };
    let hidden = from.shape("blocks.0.mlp.fc1.weight").and_then(|shape| shape.first().copied());
    let mlp_width = hidden.ok_or_else(|| unknown("no blocks.0.mlp.fc1.weight"))?;
    let (class_token, distillation_token) = (from.has("cls_token"), from.has("dist_token"));
    // The table may hold rows for the tokens before the patches or not (`no_embed_class`).
    let prefix = class_token as usize + distillation_token as usize;
    let grid = square(rows).or_else(|| square(rows.checked_sub(prefix)?));
    let grid = grid.ok_or_else(|| unknown("pos_embed is no square"))?;
    let norm_pre = from.has("norm_pre.weight");
    let told = config_files::timm_config(request)?;
    let pools = told.as_ref().map_or(Ok(None), TimmConfig::pools)?;
    let pool = request.pool.unwrap_or_else(|| pool(from, pools));
    let ambiguous = norm_pre || matches!(pool, Pool::Mean | Pool::Attention);
    let vit = VitConfig {
        image_size: grid.saturating_mul(patch_size),
        patch_size,
        width,
        depth: from.count("blocks."),
        heads: heads(request, None, width)?,
        mlp_width,
        activation: activation(request, told.as_ref(), ambiguous)?,
        // timm: 1e-6 for ViT, DeiT and DINOv2, torch's 1e-5 for CLIP.
        layer_norm_eps: request.layer_norm_eps.unwrap_or(if norm_pre { 1e-5 } else { 1e-6 }),
        pool,
        class_token,
        distillation_token,
        registers: from.shape("reg_token").and_then(|shape| shape.get(1).copied()).unwrap_or(0),
        norm_pre,
        layer_scale: from.has("blocks.0.ls1.gamma"),
        patch_bias: from.has("patch_embed.proj.bias"),
    };
    // Before its numbers are counted to and divided by.
    vit.validate()?;
    Ok(vit)
}

/// What the feature is made of: told by a file, else by the tensors.
fn pool(from: &Checkpoint, told: Option<Pools>) -> Pool {
    let (class, both) = (from.has("cls_token"), from.has("dist_token"));
    match told {
        Some(Pools::Attention) => Pool::Attention,
        None if from.has(attention_pool::TIMM.latent()) => Pool::Attention,
        None | Some(Pools::Patches) if from.has("fc_norm.weight") => Pool::MeanThenNorm,
        Some(Pools::Patches) => Pool::Mean,
        None if !class => Pool::Mean,
        None | Some(Pools::Tokens) if both => Pool::ClassAndDistillation,
        None | Some(Pools::Tokens) => Pool::Cls,
    }
}

/// The MLP's non-linearity: asked for, else told by the architecture's name, else GELU where all models of
/// that shape have it. CLIP towers (`norm_pre`) have GELU or QuickGELU; SigLIP's, like other models that
/// average without `fc_norm`, GELU or its tanh approximation: timm's own differ by patch and size.
fn activation(request: &Request, told: Option<&TimmConfig>, ambiguous: bool) -> Result<Activation, Error> {
    let architecture = told.and_then(|config| config.architecture.as_deref());
    match (request.activation, architecture) {
        (Some(activation), _) => Ok(activation),
        (None, Some(name)) if name.contains("quickgelu") => Ok(Activation::QuickGelu),
        (None, Some(name)) if !name.contains("siglip") => Ok(Activation::Gelu),
        (None, None) if !ambiguous => Ok(Activation::Gelu),
        _ => Err(Error::Invalid {
            field: "activation",
            value: "unknown".into(),
            reason: "models of this shape do not agree and no file tells; give gelu, gelu_tanh or quick_gelu"
                .into(),
        }),
    }
}

/// The position table, with rows of zeros for tokens before the patches that have no position.
fn positions(drawer: &mut Drawer, vit: &VitConfig) {
    let Some(mut table) = drawer.take("pos_embed") else { return };
    if square(table.shape[1]).is_some_and(|side| side == vit.grid()) {
        table.data.splice(0..0, std::iter::repeat_n(0.0, vit.placed_tokens() * vit.width));
        table.shape[1] += vit.placed_tokens();
    }
    drawer.put("pos_embed", "pos_embed", Some(table));
}

fn draw_block(drawer: &mut Drawer, vit: &VitConfig, block: usize) {
    let b = format!("blocks.{block}");
    for norm in ["norm1", "norm2"] {
        drawer.norm(&format!("{b}.{norm}"), &format!("{b}.{norm}"));
    }
    draw_qkv(drawer, (&b, &b), vit.width);
    for linear in ["attn.proj", "mlp.fc1", "mlp.fc2"] {
        drawer.linear(&format!("{b}.{linear}"), &format!("{b}.{linear}"));
    }
    if vit.layer_scale {
        for scale in ["ls1.gamma", "ls2.gamma"] {
            drawer.copy(&format!("{b}.{scale}"), &format!("{b}.{scale}"));
        }
    }
}

/// Splits the fused `[3D, D]` of their block into query, key and value of ours.
pub(super) fn draw_qkv(drawer: &mut Drawer, (theirs, ours): (&str, &str), width: usize) {
    let (weight_name, bias_name) = (format!("{theirs}.attn.qkv.weight"), format!("{theirs}.attn.qkv.bias"));
    let (weight, bias) = (drawer.take(&weight_name), drawer.take(&bias_name));
    for (i, name) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
        let part = |tensor: &Option<Tensor>| {
            let fused = tensor.as_ref().filter(|t| t.shape.first() == Some(&(3 * width)));
            fused?.rows(i * width, (i + 1) * width)
        };
        let transposed = part(&weight).and_then(|tensor| tensor.transposed());
        drawer.put(&format!("{ours}.attn.{name}.weight"), &weight_name, transposed);
        drawer.put(&format!("{ours}.attn.{name}.bias"), &bias_name, part(&bias));
    }
}
