//! Hugging Face's naming of the ViT family: ViT, DeiT, the vision towers of CLIP and SigLIP, DINOv2.

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::family::{Family, Recognised};
use super::guess::{heads, square};
use super::hugging_face_config::HuggingFaceConfig;
use super::ledger::{Ledger, Told};
use super::request::Request;
use super::translator::Translator;
use super::{attention_pool, hugging_face_pool, spelling};
use crate::backbone::{Activation, Architecture, Pool, Shape, VitConfig};

/// Tensors that belong to classifiers and training, not to the backbone.
/// The first is one where the backbone does not pool by it.
const LEAVE_OUT: &[&str] = &[
    "head.",
    "classifier.",
    "cls_classifier.",
    "distillation_classifier.",
    "pooler.",
    "visual_projection.",
    "text_model.",
    "text_projection.",
    "logit_scale",
    "logit_bias",
    "embeddings.mask_token",
    "embeddings.position_ids",
];

/// The second token of a distilled DeiT.
const DISTILLATION: &str = "embeddings.distillation_token";

/// Names of one family's tensors, around the block's number and inside it.
struct Names {
    patch: &'static str,
    class: &'static str,
    positions: &'static str,
    blocks: &'static str,
    norm1: &'static str,
    norm2: &'static str,
    query: &'static str,
    key: &'static str,
    value: &'static str,
    proj: &'static str,
    fc1: &'static str,
    fc2: &'static str,
    norm: &'static str,
}

const CLIP: Names = Names {
    patch: "embeddings.patch_embedding",
    class: "embeddings.class_embedding",
    positions: "embeddings.position_embedding.weight",
    blocks: "encoder.layers.",
    norm1: "layer_norm1",
    norm2: "layer_norm2",
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    value: "self_attn.v_proj",
    proj: "self_attn.out_proj",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    norm: "post_layernorm",
};

const DINOV2: Names = Names {
    patch: "embeddings.patch_embeddings.projection",
    class: "embeddings.cls_token",
    positions: "embeddings.position_embeddings",
    blocks: "encoder.layer.",
    norm1: "norm1",
    norm2: "norm2",
    query: "attention.attention.query",
    key: "attention.attention.key",
    value: "attention.attention.value",
    proj: "attention.output.dense",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    norm: "layernorm",
};

const PLAIN: Names = Names {
    norm1: "layernorm_before",
    norm2: "layernorm_after",
    fc1: "intermediate.dense",
    fc2: "output.dense",
    ..DINOV2
};

/// Whether the file is named as Hugging Face does.
pub(super) fn recognises(checkpoint: &Checkpoint) -> bool {
    let bears = |name: &str| {
        ["class_embedding", "cls_token", "patch_embedding."]
            .iter()
            .any(|part| name.contains(&format!("embeddings.{part}")))
    };
    checkpoint.tensors.keys().any(|name| bears(name))
}

/// Takes the tensors of a Hugging Face checkpoint.
pub(super) fn translate(translator: &mut Translator, request: &Request) -> Result<Recognised, Error> {
    let (family, names) = match &translator.from {
        from if from.has(CLIP.class) => (Family::Clip, CLIP),
        // SigLIP's tower is named as CLIP's, and has no class token.
        from if from.has("encoder.layers.0.layer_norm1.weight") => (Family::Siglip, CLIP),
        from if from.has("encoder.layer.0.norm1.weight") => (Family::Dinov2, DINOV2),
        _ => (Family::Plain, PLAIN),
    };
    let Translator { from, ledger, .. } = translator;
    let told = HuggingFaceConfig::read(request, ledger)?;
    let vit = describe(from, ledger, request, &told, family, &names)?;
    for layer in [names.query, names.key, names.value] {
        let all = (0..vit.depth).map(|block| format!("{}{block}.{layer}.bias", names.blocks)).collect();
        spelling::fill(&mut translator.from, all, vit.width);
    }
    draw_embeddings(translator, &vit, &names);
    if family == Family::Clip {
        // The reference's own spelling.
        translator.norm("pre_layrnorm", "norm_pre");
    }
    (0..vit.depth).for_each(|block| draw_block(translator, &vit, block, &names));
    translator.norm(names.norm, "norm");
    let mut leave_out = LEAVE_OUT;
    if vit.pool == Pool::Attention {
        attention_pool::translate(translator, &vit, &attention_pool::HUGGING_FACE);
        leave_out = &LEAVE_OUT[1..];
    }
    let architecture = Architecture::Vit(vit);
    Ok(Recognised { family, architecture, naming: "hugging_face", leave_out, pretrained_cfg: None })
}

fn describe(
    from: &Checkpoint,
    ledger: &mut Ledger,
    request: &Request,
    told: &HuggingFaceConfig,
    family: Family,
    names: &Names,
) -> Result<VitConfig, Error> {
    let unknown = |what: String| Error::UnknownLayout { path: from.path.clone(), reason: what };
    let patch = format!("{}.weight", names.patch);
    let (width, patch_size) = match from.shape(&patch) {
        Some(&[_, 3, height, across]) if height != across => {
            return Err(unknown(format!("{patch} has rectangular patches of {height}x{across}")));
        }
        Some(&[width, 3, side, _]) => (width, side),
        _ => return Err(unknown(format!("no {patch} [D, 3, P, P]"))),
    };
    let rows = from.shape(names.positions).and_then(|shape| shape.iter().rev().nth(1).copied());
    let distillation_token = from.has(DISTILLATION);
    let prefix = (family != Family::Siglip) as usize + distillation_token as usize;
    let grid = rows.and_then(|rows| square(rows.checked_sub(prefix)?));
    let grid = grid.ok_or_else(|| {
        let rows = rows.map_or_else(|| "is missing".into(), |rows| format!("is no square: {rows} rows"));
        unknown(format!("{} {rows}; rectangular inputs are not supported", names.positions))
    })?;
    let fc1 = format!("{}0.{}.weight", names.blocks, names.fc1);
    let mlp_width = from.shape(&fc1).and_then(|shape| shape.first().copied());
    let registers = from.shape("embeddings.register_tokens");
    let mut vit = VitConfig {
        image_size: grid.saturating_mul(patch_size),
        patch_size,
        width,
        depth: from.count(names.blocks),
        heads: 1,
        mlp_width: mlp_width.ok_or_else(|| unknown(format!("no {fc1}")))?,
        activation: Activation::Gelu,
        layer_norm_eps: 0.0,
        pool: Pool::Cls,
        class_token: family != Family::Siglip,
        distillation_token,
        registers: registers.map_or(0, |shape| shape.iter().rev().nth(1).copied().unwrap_or(0)),
        norm_pre: family == Family::Clip,
        layer_scale: family == Family::Dinov2,
        patch_bias: from.has(&format!("{}.bias", names.patch)),
        pool_prefix: false,
    };
    agree(&vit, from, ledger, request, told, names)?;
    vit.pool = hugging_face_pool::pool(from, ledger, request, told, &vit, family)?;
    numbers(&mut vit, ledger, request, told, family)?;
    // Before its numbers are counted to and divided by.
    vit.validate()?;
    Ok(vit)
}

/// What tensors show must be what `config.json` tells.
fn agree(
    vit: &VitConfig,
    from: &Checkpoint,
    ledger: &mut Ledger,
    request: &Request,
    told: &HuggingFaceConfig,
    names: &Names,
) -> Result<(), Error> {
    let mut both = |what: &str, value: usize, tensor: &str, told: Option<Told<usize>>| {
        ledger.settle(what, [Told::shape(value, tensor), told], None).map(drop)
    };
    both("patch_size", vit.patch_size, &format!("shape of {}", names.patch), told.patch_size()?)?;
    both("width", vit.width, &format!("shape of {}", names.patch), told.width())?;
    both("depth", vit.depth, &format!("{}*", names.blocks), told.depth())?;
    both(
        "mlp_width",
        vit.mlp_width,
        &format!("shape of {}0.{}", names.blocks, names.fc1),
        told.mlp_width(vit.width),
    )?;
    let shown = if vit.registers > 0 { "shape of" } else { "there is no" };
    both("registers", vit.registers, &format!("{shown} embeddings.register_tokens"), told.registers())?;
    let size = told.image_size()?.filter(|_| request.image_size.is_none());
    both("image_size", vit.image_size, &format!("shape of {}", names.positions), size)?;
    if let Some(size) = request.image_size.filter(|&size| size != vit.image_size) {
        ledger.note("image_size, resampled to", Told::flag(Some(size), "image-size"));
    }
    let query = format!("{}0.{}.bias", names.blocks, names.query);
    let there = |value: bool, name: &str| {
        Told::shape(value, format!("{} {name}", if value { "there is" } else { "there is no" }))
    };
    ledger.settle("qkv_bias", [there(from.has(&query), &query), told.qkv_bias()], None)?;
    ledger.note("class_token", there(vit.class_token, names.class));
    ledger.note("distillation_token", there(vit.distillation_token, DISTILLATION));
    Ok(())
}

/// Numbers that no tensor shows; what `config.json` leaves out has its class's default.
fn numbers(
    vit: &mut VitConfig,
    ledger: &mut Ledger,
    request: &Request,
    told: &HuggingFaceConfig,
    family: Family,
) -> Result<(), Error> {
    /// Of ViTConfig, DeiTConfig, CLIPVisionConfig, SiglipVisionConfig and Dinov2Config.
    const HEADS: usize = 12;
    // Defaults of CLIPVisionConfig, SiglipVisionConfig, Dinov2Config and ViTConfig.
    let (activation, eps, class) = match family {
        Family::Clip => (Activation::QuickGelu, 1e-5, "CLIPVisionConfig"),
        Family::Siglip => (Activation::GeluTanh, 1e-6, "SiglipVisionConfig"),
        Family::Dinov2 => (Activation::Gelu, 1e-6, "Dinov2Config"),
        Family::Plain => (Activation::Gelu, 1e-12, "ViTConfig"),
    };
    let told_heads = told.heads();
    // Without a file, heads follow from the width.
    let default = told_heads.is_none() && told.is_there() && request.heads.is_none();
    let heads_default = if default { Told::default(HEADS, class) } else { None };
    let sources = [Told::flag(request.heads, "heads"), told_heads, heads_default];
    vit.heads = heads(ledger, sources, vit.width)?;
    let sources = [Told::flag(request.activation, "activation"), told.activation()?];
    vit.activation =
        ledger.settle("activation", sources, Told::default(activation, class))?.unwrap_or(activation);
    let sources = [Told::flag(request.layer_norm_eps, "layer-norm-eps"), told.layer_norm_eps()];
    vit.layer_norm_eps = ledger.settle("layer_norm_eps", sources, Told::default(eps, class))?.unwrap_or(eps);
    Ok(())
}

fn draw_embeddings(translator: &mut Translator, vit: &VitConfig, names: &Names) {
    let d = vit.width;
    translator.copy(&format!("{}.weight", names.patch), "patch_embed.proj.weight");
    if vit.patch_bias {
        translator.copy(&format!("{}.bias", names.patch), "patch_embed.proj.bias");
    }
    if vit.class_token {
        translator.reshape(names.class, "cls_token", vec![1, 1, d]);
    }
    if vit.distillation_token {
        translator.copy(DISTILLATION, "dist_token");
    }
    if vit.registers > 0 {
        translator.reshape("embeddings.register_tokens", "reg_token", vec![1, vit.registers, d]);
    }
    let rows = vit.grid() * vit.grid() + vit.placed_tokens();
    translator.reshape(names.positions, "pos_embed", vec![1, rows, d]);
}

fn draw_block(translator: &mut Translator, vit: &VitConfig, block: usize, names: &Names) {
    let theirs = |name: &str| format!("{}{block}.{name}", names.blocks);
    let ours = |name: &str| format!("blocks.{block}.{name}");
    translator.norm(&theirs(names.norm1), &ours("norm1"));
    translator.norm(&theirs(names.norm2), &ours("norm2"));
    let linears = [
        (names.query, "attn.q_proj"),
        (names.key, "attn.k_proj"),
        (names.value, "attn.v_proj"),
        (names.proj, "attn.proj"),
        (names.fc1, "mlp.fc1"),
        (names.fc2, "mlp.fc2"),
    ];
    for (from, to) in linears {
        translator.linear(&theirs(from), &ours(to));
    }
    if vit.layer_scale {
        translator.copy(&theirs("layer_scale1.lambda1"), &ours("ls1.gamma"));
        translator.copy(&theirs("layer_scale2.lambda1"), &ours("ls2.gamma"));
    }
}
