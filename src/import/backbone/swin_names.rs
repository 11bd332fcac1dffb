//! What timm and Hugging Face call the tensors of a Swin.

use super::checkpoint::Checkpoint;

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

pub(super) const TIMM: Names = Names {
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

pub(super) const HUGGING_FACE: Names = Names {
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
pub(super) fn names(checkpoint: &Checkpoint) -> Option<&'static Names> {
    let bears = |names: &Names| checkpoint.has(&format!("{}0.blocks.0.{}", names.stages, names.table));
    [&TIMM, &HUGGING_FACE].into_iter().find(|names| bears(names))
}
