//! timm's naming of the ViT family: `blocks.0.attn.qkv.weight`.

use serde_json::json;

use super::checkpoint::{Checkpoint, Tensor};
use super::error::Error;
use super::family::{Family, Recognised};
use super::guess::heads;
use super::ledger::{Ledger, Told};
use super::positions::{self, Said, Table};
use super::request::Request;
use super::timm_config::TimmConfig;
use super::translator::Translator;
use super::{attention_pool, spelling, timm_models, timm_pool};
use crate::backbone::{Activation, Architecture, Pool, Shape, VitConfig};

/// Tensors that belong to classifiers and training, not to the backbone.
/// The first is one where the backbone does not pool by it.
const LEAVE_OUT: &[&str] = &["attn_pool.", "head.", "head_dist.", "head_drop", "mask_token", "pre_logits."];

/// Arguments of timm's `VisionTransformer` that are read.
const USED: &[&str] = &[
    "img_size",
    "patch_size",
    "in_chans",
    "global_pool",
    "embed_dim",
    "depth",
    "num_heads",
    "mlp_ratio",
    "qkv_bias",
    "init_values",
    "class_token",
    "no_embed_class",
    "reg_tokens",
    "pre_norm",
    "fc_norm",
    "pool_include_prefix",
    "norm_layer",
    "act_layer",
    "proj_bias",
];

/// Takes the tensors of a timm checkpoint.
pub(super) fn translate(translator: &mut Translator, request: &Request) -> Result<Recognised, Error> {
    let hub_registers = spelling::as_timms(&mut translator.from)?;
    let Translator { from, ledger, .. } = translator;
    let told = TimmConfig::read(from, request, ledger)?;
    refuse_other_models(&told)?;
    let (vit, table) = describe(from, ledger, request, &told, hub_registers)?;
    let family = family(from, &vit);
    draw_embeddings(translator, &vit, table);
    spelling::fill_biases(&mut translator.from, &vit);
    (0..vit.depth).for_each(|block| draw_block(translator, &vit, block));
    let norm = if translator.from.has("fc_norm.weight") { "fc_norm" } else { "norm" };
    translator.norm(norm, "norm");
    let mut leave_out = LEAVE_OUT;
    if vit.pool == Pool::Attention {
        attention_pool::translate(translator, &vit, &attention_pool::TIMM);
        leave_out = &LEAVE_OUT[1..];
    }
    let architecture = Architecture::Vit(vit);
    let pretrained_cfg = told.pretrained_cfg;
    Ok(Recognised { family, architecture, naming: "timm", leave_out, pretrained_cfg })
}

/// Refuses what a plain ViT does not have; its tensors may look the same.
fn refuse_other_models(told: &TimmConfig) -> Result<(), Error> {
    if let Some((model, why)) = told.model.as_ref().and_then(|model| Some((model, model.unlike.as_ref()?))) {
        return Err(told.refuse("config.json: architecture", &format!("{} ({why})", model.name)));
    }
    let neutral = [
        ("qk_norm", json!(false)),
        ("scale_attn_norm", json!(false)),
        ("scale_mlp_norm", json!(false)),
        ("final_norm", json!(true)),
        ("pos_embed", json!("learn")),
    ];
    // Rectangles are refused for what they are, whatever else does not fit.
    told.image_size()?;
    told.understand(USED, &neutral)
}

fn draw_embeddings(translator: &mut Translator, vit: &VitConfig, table: Table) {
    let parts = [
        (true, "patch_embed.proj.weight"),
        (vit.patch_bias, "patch_embed.proj.bias"),
        (vit.class_token, "cls_token"),
        (vit.distillation_token, "dist_token"),
        (vit.registers > 0, "reg_token"),
    ];
    positions::place(&mut translator.from, vit, table);
    for (_, name) in parts.into_iter().filter(|(there, _)| *there) {
        translator.copy(name, name);
    }
    translator.copy("pos_embed", "pos_embed");
    if vit.norm_pre {
        translator.norm("norm_pre", "norm_pre");
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
        registers => registers == DINOV2_REGISTERS,
    };
    match vit {
        vit if vit.norm_pre && vit.activation == Activation::QuickGelu => Family::Clip,
        vit if vit.layer_scale && vit.class_token && vit.patch_size == DINOV2_PATCH && like_dinov2 => {
            Family::Dinov2
        }
        _ => Family::Plain,
    }
}

/// The shape, with where the tokens' positions are.
fn describe(
    from: &Checkpoint,
    ledger: &mut Ledger,
    request: &Request,
    told: &TimmConfig,
    hub_registers: bool,
) -> Result<(VitConfig, Table), Error> {
    let unknown = |what: &str| Error::UnknownLayout {
        path: from.path.clone(),
        reason: format!("neither timm's nor Hugging Face's naming of a ViT: {what}"),
    };
    let patch_size = match from.shape("patch_embed.proj.weight") {
        Some(&[_, 3, height, width]) if height != width => {
            return Err(unknown(&format!(
                "patch_embed.proj.weight has rectangular patches of {height}x{width}"
            )));
        }
        Some(&[_, 3, side, _]) => side,
        _ => return Err(unknown("no patch_embed.proj.weight [D, 3, P, P]")),
    };
    let Some(&[1, rows, width]) = from.shape("pos_embed") else {
        return Err(unknown("no pos_embed [1, n, D]"));
    };
    let hidden = from.shape("blocks.0.mlp.fc1.weight").and_then(|shape| shape.first().copied());
    let mlp_width = hidden.ok_or_else(|| unknown("no blocks.0.mlp.fc1.weight"))?;
    let mut vit = sizes(from, ledger, told, [width, patch_size, mlp_width])?;
    tokens(&mut vit, from, ledger, told)?;
    vit.pool = timm_pool::pool(from, ledger, request, told, &vit)?;
    vit.pool_prefix = timm_pool::prefix(ledger, told, &vit)?;
    let said = Said {
        rows,
        hub: hub_registers,
        sides: told.image_size()?,
        asked: request.image_size,
        bare: told.switch("no_embed_class", |m| m.no_embed_class)?,
    };
    let table = positions::timm_table(&vit, said, ledger, &from.path)?;
    vit.image_size = table.grid.saturating_mul(patch_size);
    numbers(&mut vit, ledger, request, told)?;
    // Before its numbers are counted to and divided by.
    vit.validate()?;
    Ok((vit, table))
}

/// Sizes that tensors show and files may tell.
fn sizes(
    from: &Checkpoint,
    ledger: &mut Ledger,
    told: &TimmConfig,
    [width, patch_size, mlp_width]: [usize; 3],
) -> Result<VitConfig, Error> {
    let depth = from.count("blocks.");
    let patch = told.or_model(told.side("patch_size")?, |model| model.patch_size)?;
    let embed = told.number("embed_dim", |model| model.width)?;
    let mut agree = |what: &str, value: usize, tensor: &str, told: Vec<Option<Told<usize>>>| {
        let shape = Told::shape(value, format!("shape of {tensor}"));
        ledger.settle(what, [shape].into_iter().chain(told), None).map(drop)
    };
    agree("patch_size", patch_size, "patch_embed.proj.weight", patch)?;
    agree("width", width, "pos_embed", embed.into_iter().chain(told.top_number("num_features")?).collect())?;
    agree("depth", depth, "blocks", told.number("depth", |model| model.depth)?)?;
    agree("mlp_width", mlp_width, "blocks.0.mlp.fc1.weight", told.mlp_width(width)?)?;
    Ok(VitConfig {
        image_size: 0,
        patch_size,
        width,
        depth,
        heads: 1,
        mlp_width,
        activation: Activation::Gelu,
        layer_norm_eps: 0.0,
        pool: Pool::Cls,
        class_token: from.has("cls_token"),
        distillation_token: from.has("dist_token"),
        registers: from.shape("reg_token").and_then(|shape| shape.get(1).copied()).unwrap_or(0),
        norm_pre: from.has("norm_pre.weight"),
        layer_scale: from.has("blocks.0.ls1.gamma"),
        patch_bias: from.has("patch_embed.proj.bias"),
        pool_prefix: false,
    })
}

/// Parts that a tensor's presence shows and files may tell.
fn tokens(
    vit: &mut VitConfig,
    from: &Checkpoint,
    ledger: &mut Ledger,
    told: &TimmConfig,
) -> Result<(), Error> {
    let shown = |there: bool, name: &str| {
        let (value, word) = (there, if there { "there is" } else { "there is no" });
        Told::shape(value, format!("{word} {name}"))
    };
    let mut agree = |what: &str, there: bool, name: &str, told: Vec<Option<Told<bool>>>| {
        ledger.settle(what, [shown(there, name)].into_iter().chain(told), None).map(drop)
    };
    agree("class_token", vit.class_token, "cls_token", told.switch("class_token", |m| m.class_token)?)?;
    agree("distillation_token", vit.distillation_token, "dist_token", Vec::new())?;
    agree("norm_pre", vit.norm_pre, "norm_pre.weight", told.switch("pre_norm", |m| m.pre_norm)?)?;
    let scaled = told.is_number("init_values")?;
    agree("layer_scale", vit.layer_scale, "blocks.0.ls1.gamma", scaled)?;
    let bias = from.has("blocks.0.attn.qkv.bias");
    agree("qkv_bias", bias, "blocks.0.attn.qkv.bias", told.arg_switch("qkv_bias")?)?;
    let bias = from.has("blocks.0.attn.proj.bias");
    agree("proj_bias", bias, "blocks.0.attn.proj.bias", told.arg_switch("proj_bias")?)?;
    agree("fc_norm", from.has("fc_norm.weight"), "fc_norm.weight", told.arg_switch("fc_norm")?)?;
    agree("patch_bias", vit.patch_bias, "patch_embed.proj.bias", Vec::new())?;
    let registers = told.number("reg_tokens", |model| model.registers)?;
    let shown = if vit.registers > 0 { "shape of reg_token" } else { "there is no reg_token" };
    let shape = Told::shape(vit.registers, shown);
    ledger.settle("registers", [shape].into_iter().chain(registers), None).map(drop)
}

/// Numbers that no tensor shows.
fn numbers(
    vit: &mut VitConfig,
    ledger: &mut Ledger,
    request: &Request,
    told: &TimmConfig,
) -> Result<(), Error> {
    let flag = Told::flag(request.heads, "heads");
    let sources = [flag].into_iter().chain(told.number("num_heads", |model| model.heads)?);
    vit.heads = heads(ledger, sources, vit.width)?;
    vit.activation = activation(vit, ledger, request, told)?;
    // timm: 1e-6 for ViT, DeiT and DINOv2, torch's 1e-5 for CLIP.
    let (usual, whose) = if vit.norm_pre { (1e-5, "timm's CLIP models") } else { (1e-6, "timm's ViTs") };
    let flag = Told::flag(request.layer_norm_eps, "layer-norm-eps");
    let sources = [flag].into_iter().chain(told.layer_norm_eps()?);
    let eps = ledger.settle("layer_norm_eps", sources, Told::guess(usual, format!("as {whose} have")))?;
    vit.layer_norm_eps = eps.unwrap_or(usual);
    Ok(())
}

/// The MLP's non-linearity: asked for, told by `act_layer` or the architecture's name, else GELU where all models
/// of that shape have it. CLIP towers (`norm_pre`) have GELU or QuickGELU; SigLIP's, like other models that
/// average without `fc_norm`, GELU or its tanh approximation: timm's own differ by patch and size.
fn activation(
    vit: &VitConfig,
    ledger: &mut Ledger,
    request: &Request,
    told: &TimmConfig,
) -> Result<Activation, Error> {
    let mut sources = vec![Told::flag(request.activation, "activation")];
    for text in told.text("act_layer")?.into_iter().flatten() {
        let known = timm_models::activation(&text.value);
        let known = known
            .ok_or_else(|| told.refuse("model_args.act_layer", &format!("activation {:?}", text.value)))?;
        sources.push(Some(text.with(known)));
    }
    if sources.iter().skip(1).all(Option::is_none) {
        sources.push(told.model_activation());
    }
    let ambiguous = vit.norm_pre || matches!(vit.pool, Pool::Mean | Pool::Attention);
    let usual =
        if ambiguous { None } else { Told::guess(Activation::Gelu, "as timm's ViTs of this shape have") };
    ledger.settle("activation", sources, usual)?.ok_or_else(|| {
        Error::invalid(
            "activation",
            "unknown",
            "models of this shape do not agree and no file tells; give gelu, gelu_tanh or quick_gelu",
        )
    })
}

fn draw_block(translator: &mut Translator, vit: &VitConfig, block: usize) {
    let b = format!("blocks.{block}");
    for norm in ["norm1", "norm2"] {
        translator.norm(&format!("{b}.{norm}"), &format!("{b}.{norm}"));
    }
    draw_qkv(translator, (&b, &b), vit.width);
    for linear in ["attn.proj", "mlp.fc1", "mlp.fc2"] {
        translator.linear(&format!("{b}.{linear}"), &format!("{b}.{linear}"));
    }
    if vit.layer_scale {
        for scale in ["ls1.gamma", "ls2.gamma"] {
            translator.copy(&format!("{b}.{scale}"), &format!("{b}.{scale}"));
        }
    }
}

/// Splits the fused `[3D, D]` of their block into query, key and value of ours.
pub(super) fn draw_qkv(translator: &mut Translator, (theirs, ours): (&str, &str), width: usize) {
    let (weight_name, bias_name) = (format!("{theirs}.attn.qkv.weight"), format!("{theirs}.attn.qkv.bias"));
    let (weight, bias) = (translator.take(&weight_name), translator.take(&bias_name));
    for (i, name) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
        let part = |tensor: &Option<Tensor>| {
            let fused = tensor.as_ref().filter(|t| t.shape.first() == Some(&(3 * width)));
            fused?.rows(i * width, (i + 1) * width)
        };
        let transposed = part(&weight).and_then(|tensor| tensor.transposed());
        translator.put(&format!("{ours}.attn.{name}.weight"), &weight_name, transposed);
        translator.put(&format!("{ours}.attn.{name}.bias"), &bias_name, part(&bias));
    }
}
