//! Which linear layer of a block a module of transformers or timm is.

use crate::backbone::{Architecture, BackboneConfig, Place, Site};

/// What stands before the blocks: the model's name in its class for a task.
const MODELS: [&str; 6] = ["vit.", "deit.", "dinov2.", "dinov2_with_registers.", "swin.", "vision_model."];
/// What blocks are called: transformers 4, 5 and timm.
const BLOCKS: [&str; 3] = ["layer.", "layers.", "blocks."];

/// Names within a block: of transformers 4, of 5, of CLIP, of timm.
const PLACES: [(&str, &[Place]); 21] = [
    ("attention.attention.query", &[Place::Q]),
    ("attention.attention.key", &[Place::K]),
    ("attention.attention.value", &[Place::V]),
    ("attention.self.query", &[Place::Q]),
    ("attention.self.key", &[Place::K]),
    ("attention.self.value", &[Place::V]),
    ("attention.output.dense", &[Place::Proj]),
    ("intermediate.dense", &[Place::Fc1]),
    ("output.dense", &[Place::Fc2]),
    ("attention.q_proj", &[Place::Q]),
    ("attention.k_proj", &[Place::K]),
    ("attention.v_proj", &[Place::V]),
    ("attention.o_proj", &[Place::Proj]),
    ("self_attn.q_proj", &[Place::Q]),
    ("self_attn.k_proj", &[Place::K]),
    ("self_attn.v_proj", &[Place::V]),
    ("self_attn.out_proj", &[Place::Proj]),
    ("attn.qkv", &[Place::Q, Place::K, Place::V]),
    ("attn.proj", &[Place::Proj]),
    ("mlp.fc1", &[Place::Fc1]),
    ("mlp.fc2", &[Place::Fc2]),
];

/// The layer's site; three sites of a layer that makes query, key and value at once.
///
/// # Errors
/// A sentence, when the backbone has no such layer.
pub(super) fn sites(config: &BackboneConfig, module: &str) -> Result<Vec<Site>, String> {
    let known =
        "a linear layer of a block, as transformers or timm name those of ViT, DeiT, DINOv2, CLIP and Swin";
    let unknown = || format!("is not {known}");
    let model = model(module);
    if model == Some("dinov2.") && !has_layer_scale(config) {
        let name = &config.name;
        return Err(format!("DINOv2's blocks have a layer scale, those of {name} have none"));
    }
    let rest = module.strip_prefix(model.unwrap_or_default()).unwrap_or(module);
    let rest = rest.strip_prefix("encoder.").unwrap_or(rest);
    let rest = BLOCKS.iter().find_map(|blocks| rest.strip_prefix(blocks)).ok_or_else(unknown)?;
    let (number, rest) = numbered(rest).ok_or_else(unknown)?;
    let (block, rest) = match &config.architecture {
        Architecture::Vit(_) => (number, rest),
        Architecture::Swin(swin) => {
            let (inside, rest) = rest.strip_prefix("blocks.").and_then(numbered).ok_or_else(unknown)?;
            let before: usize = swin.depths.iter().take(number).sum();
            let is_there = swin.depths.get(number).is_some_and(|depth| inside < *depth);
            (if is_there { before + inside } else { usize::MAX }, rest)
        }
        Architecture::Cvt(_) => return Err(unknown()),
    };
    if block >= config.depth() {
        return Err(format!("the backbone {} has no such block; it has {}", config.name, config.depth()));
    }
    let (_, places) = PLACES.iter().find(|(name, _)| *name == rest).ok_or_else(unknown)?;
    Ok(places.iter().map(|place| Site::new(block, *place)).collect())
}

/// The model that a name is of, where it says so.
pub(super) fn model(module: &str) -> Option<&'static str> {
    MODELS.into_iter().find(|model| module.starts_with(model))
}

/// A number, and what follows its dot.
pub(super) fn numbered(text: &str) -> Option<(usize, &str)> {
    let (number, rest) = text.split_once('.')?;
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.parse().ok())?.map(|number| (number, rest))
}

fn has_layer_scale(config: &BackboneConfig) -> bool {
    matches!(&config.architecture, Architecture::Vit(vit) if vit.layer_scale)
}
