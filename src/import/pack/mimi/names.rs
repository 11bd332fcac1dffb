//! The reference implementation's names of frozen tensors, as names that backbones are imported by.

use super::layout::Family;

/// Parts of ViT's names (after Dosovitskiy et al.'s own) and Hugging Face's.
const VIT: [(&str, &str); 10] = [
    ("embeddings.patch_embeddings.", "embeddings.patch_embeddings.projection."),
    ("encoder.encoder_norm.", "layernorm."),
    (".attention_norm.", ".layernorm_before."),
    (".ffn_norm.", ".layernorm_after."),
    (".attn.query.", ".attention.attention.query."),
    (".attn.key.", ".attention.attention.key."),
    (".attn.value.", ".attention.attention.value."),
    (".attn.out.", ".attention.output.dense."),
    (".ffn.fc1.", ".intermediate.dense."),
    (".ffn.fc2.", ".output.dense."),
];

/// Parts of CvT's names within a stage (Microsoft's) and Hugging Face's.
const CVT: [(&str, &str); 17] = [
    ("patch_embed.proj.", "embedding.convolution_embeddings.projection."),
    ("patch_embed.norm.", "embedding.convolution_embeddings.normalization."),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".conv_proj_q.conv.", ".attention.convolution_projection_query.convolution_projection.convolution."),
    (".conv_proj_k.conv.", ".attention.convolution_projection_key.convolution_projection.convolution."),
    (".conv_proj_v.conv.", ".attention.convolution_projection_value.convolution_projection.convolution."),
    (".conv_proj_q.bn.", ".attention.convolution_projection_query.convolution_projection.normalization."),
    (".conv_proj_k.bn.", ".attention.convolution_projection_key.convolution_projection.normalization."),
    (".conv_proj_v.bn.", ".attention.convolution_projection_value.convolution_projection.normalization."),
    (".proj_q.", ".attention.projection_query."),
    (".proj_k.", ".attention.projection_key."),
    (".proj_v.", ".attention.projection_value."),
    (".attn.proj.", ".attention.output.dense."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
    ("cls_token", "cls_token"),
];

/// A name that [`import`](crate::import::backbone) knows.
pub(super) fn importable(family: Family, name: &str) -> String {
    match family {
        // The reference's Swin is Swin's own, which timm's names follow.
        Family::Swin | Family::T2t => name.to_owned(),
        Family::Vit => replaced(&VIT, name.strip_prefix("transformer.").unwrap_or(name)),
        Family::Cvt => cvt(name),
    }
}

fn cvt(name: &str) -> String {
    let Some((stage, rest)) = name.strip_prefix("stage").and_then(|rest| rest.split_once('.')) else {
        return name
            .strip_prefix("norm.")
            .map_or_else(|| name.to_owned(), |rest| format!("layernorm.{rest}"));
    };
    let rest = replaced(&CVT, rest).replacen("blocks.", "layers.", 1).replacen(".attn.", ".attention.", 1);
    format!("cvt.encoder.stages.{stage}.{rest}")
}

/// The name with the first part that is in the table replaced.
fn replaced(table: &[(&str, &str)], name: &str) -> String {
    let found = table.iter().find(|(theirs, _)| name.contains(theirs));
    found.map_or_else(|| name.to_owned(), |(theirs, ours)| name.replacen(theirs, ours, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hugging_faces() {
        let stage = "cvt.encoder.stages.2";
        for (name, expected) in [
            ("stage2.patch_embed.proj.bias", "embedding.convolution_embeddings.projection.bias"),
            ("stage2.patch_embed.norm.bias", "embedding.convolution_embeddings.normalization.bias"),
            ("stage2.cls_token", "cls_token"),
            ("stage2.blocks.3.norm1.weight", "layers.3.layernorm_before.weight"),
            (
                "stage2.blocks.3.attn.conv_proj_q.bn.running_mean",
                "layers.3.attention.attention.convolution_projection_query.convolution_projection.normalization.running_mean",
            ),
            ("stage2.blocks.3.attn.proj_v.weight", "layers.3.attention.attention.projection_value.weight"),
            ("stage2.blocks.3.attn.proj.weight", "layers.3.attention.output.dense.weight"),
            ("stage2.blocks.3.mlp.fc2.bias", "layers.3.output.dense.bias"),
        ] {
            assert_eq!(importable(Family::Cvt, name), format!("{stage}.{expected}"));
        }
        assert_eq!(importable(Family::Cvt, "norm.bias"), "layernorm.bias");
    }
}
