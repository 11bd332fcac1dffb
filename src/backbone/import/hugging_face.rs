//! Hugging Face's naming of the ViT family: ViT, DeiT, the vision towers of CLIP and SigLIP, DINOv2.

use super::checkpoint::Checkpoint;
use super::draft::{Drawer, Family, Recognised, heads, square};
use super::{Request, attention_pool, config_files};
use crate::backbone::{Activation, Architecture, Error, Pool, Shape, VitConfig};

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

/// Prefixes under which models keep the vision tower.
const PREFIXES: [&str; 5] = ["vision_model.", "vit.", "deit.", "dinov2.", "dinov2_with_registers."];

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
pub(super) fn draw(drawer: &mut Drawer, request: &Request) -> Result<Recognised, Error> {
    PREFIXES.iter().for_each(|prefix| drawer.from.strip_prefix(prefix));
    let (family, names) = match &drawer.from {
        from if from.has(CLIP.class) => (Family::Clip, CLIP),
        // SigLIP's tower is named as CLIP's, and has no class token.
        from if from.has("encoder.layers.0.layer_norm1.weight") => (Family::Siglip, CLIP),
        from if from.has("encoder.layer.0.norm1.weight") => (Family::Dinov2, DINOV2),
        _ => (Family::Plain, PLAIN),
    };
    let vit = describe(drawer, request, (family, &names))?;
    draw_embeddings(drawer, &vit, &names);
    if family == Family::Clip {
        // The reference's own spelling.
        drawer.norm("pre_layrnorm", "norm_pre");
    }
    (0..vit.depth).for_each(|block| draw_block(drawer, &vit, block, &names));
    drawer.norm(names.norm, "norm");
    let mut leave_out = LEAVE_OUT;
    if vit.pool == Pool::Attention {
        attention_pool::draw(drawer, &vit, &attention_pool::HUGGING_FACE);
        leave_out = &LEAVE_OUT[1..];
    }
    let architecture = Architecture::Vit(vit);
    Ok(Recognised { family, architecture, naming: "hugging_face", leave_out })
}

fn describe(
    drawer: &Drawer,
    request: &Request,
    (family, names): (Family, &Names),
) -> Result<VitConfig, Error> {
    let from = &drawer.from;
    let unknown = |what: String| Error::UnknownLayout { path: drawer.path(), reason: what };
    let patch = format!("{}.weight", names.patch);
    let Some(&[width, 3, patch_size, _]) = from.shape(&patch) else {
        return Err(unknown(format!("no {patch} [D, 3, P, P]")));
    };
    let rows = from.shape(names.positions).and_then(|shape| shape.iter().rev().nth(1).copied());
    let distillation_token = from.has(DISTILLATION);
    let prefix = (family != Family::Siglip) as usize + distillation_token as usize;
    let grid = rows.and_then(|rows| square(rows.checked_sub(prefix)?));
    let grid = grid.ok_or_else(|| unknown(format!("{} is missing or no square", names.positions)))?;
    let fc1 = format!("{}0.{}.weight", names.blocks, names.fc1);
    let mlp_width = from.shape(&fc1).and_then(|shape| shape.first().copied());
    let told = config_files::hugging_face_config(request)?;
    let (activation, eps) = match family {
        // Defaults of CLIPVisionConfig, SiglipVisionConfig, Dinov2Config and ViTConfig.
        Family::Clip => (Activation::QuickGelu, 1e-5),
        Family::Siglip => (Activation::GeluTanh, 1e-6),
        Family::Dinov2 => (Activation::Gelu, 1e-6),
        Family::Plain => (Activation::Gelu, 1e-12),
    };
    let depth = from.count(names.blocks);
    if let Some(expected) = told.depth.filter(|&expected| expected != depth) {
        return Err(unknown(format!("config.json tells of {expected} blocks, the file has {depth}")));
    }
    let vit = VitConfig {
        image_size: grid.saturating_mul(patch_size),
        patch_size,
        width,
        depth,
        heads: heads(request, told.heads, width)?,
        mlp_width: mlp_width.ok_or_else(|| unknown(format!("no {fc1}")))?,
        activation: request.activation.or(told.activation).unwrap_or(activation),
        layer_norm_eps: request.layer_norm_eps.or(told.layer_norm_eps).unwrap_or(eps),
        pool: request.pool.unwrap_or_else(|| pool(from, family)),
        class_token: family != Family::Siglip,
        distillation_token,
        registers: from
            .shape("embeddings.register_tokens")
            .map_or(0, |shape| shape.iter().rev().nth(1).copied().unwrap_or(0)),
        norm_pre: family == Family::Clip,
        layer_scale: family == Family::Dinov2,
        patch_bias: from.has(&format!("{}.bias", names.patch)),
    };
    // Before its numbers are counted to and divided by.
    vit.validate()?;
    Ok(vit)
}

/// The family's pooling. A DeiT without the teacher's classifier is read at its class token alone, as
/// `DeiTForImageClassification` does.
fn pool(from: &Checkpoint, family: Family) -> Pool {
    match family {
        Family::Siglip if from.has(attention_pool::HUGGING_FACE.latent()) => Pool::Attention,
        Family::Siglip => Pool::Mean,
        _ if from.has("distillation_classifier.weight") => Pool::ClassAndDistillation,
        _ => Pool::Cls,
    }
}

fn draw_embeddings(drawer: &mut Drawer, vit: &VitConfig, names: &Names) {
    let d = vit.width;
    drawer.copy(&format!("{}.weight", names.patch), "patch_embed.proj.weight");
    if vit.patch_bias {
        drawer.copy(&format!("{}.bias", names.patch), "patch_embed.proj.bias");
    }
    if vit.class_token {
        drawer.reshape(names.class, "cls_token", vec![1, 1, d]);
    }
    if vit.distillation_token {
        drawer.copy(DISTILLATION, "dist_token");
    }
    if vit.registers > 0 {
        drawer.reshape("embeddings.register_tokens", "reg_token", vec![1, vit.registers, d]);
    }
    let rows = vit.grid() * vit.grid() + vit.placed_tokens();
    drawer.reshape(names.positions, "pos_embed", vec![1, rows, d]);
}

fn draw_block(drawer: &mut Drawer, vit: &VitConfig, block: usize, names: &Names) {
    let theirs = |name: &str| format!("{}{block}.{name}", names.blocks);
    let ours = |name: &str| format!("blocks.{block}.{name}");
    drawer.norm(&theirs(names.norm1), &ours("norm1"));
    drawer.norm(&theirs(names.norm2), &ours("norm2"));
    let linears = [
        (names.query, "attn.q_proj"),
        (names.key, "attn.k_proj"),
        (names.value, "attn.v_proj"),
        (names.proj, "attn.proj"),
        (names.fc1, "mlp.fc1"),
        (names.fc2, "mlp.fc2"),
    ];
    for (from, to) in linears {
        drawer.linear(&theirs(from), &ours(to));
    }
    if vit.layer_scale {
        drawer.copy(&theirs("layer_scale1.lambda1"), &ours("ls1.gamma"));
        drawer.copy(&theirs("layer_scale2.lambda1"), &ours("ls2.gamma"));
    }
}
