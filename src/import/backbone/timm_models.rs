//! What timm's architectures are made of, by name: `timm_models.csv`, read off timm 1.0.31's own models by
//! `tests/fixtures/reference/timm_models.py`.

use crate::backbone::Activation;

const TABLE: &str = include_str!("timm_models.csv");

/// One of timm's ViTs. A value that its weights' `model_args` tell otherwise is theirs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KnownModel {
    pub(super) name: String,
    /// The part that a plain ViT does not have.
    pub(super) unlike: Option<String>,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
    pub(super) patch_size: usize,
    pub(super) class_token: bool,
    pub(super) registers: usize,
    pub(super) no_embed_class: bool,
    pub(super) pre_norm: bool,
    pub(super) activation: Option<Activation>,
    pub(super) layer_norm_eps: Option<f32>,
    pub(super) global_pool: String,
    pub(super) pool_prefix: bool,
}

impl KnownModel {
    /// The model of that name; a tag (`.augreg_in21k`) says which weights, not which model.
    pub(super) fn named(architecture: &str) -> Option<Self> {
        let name = architecture.split('.').next()?;
        let is_it = |line: &&str| line.split(',').next() == Some(name);
        TABLE.lines().skip(1).find(is_it).and_then(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let [
            name,
            unlike,
            width,
            depth,
            heads,
            patch,
            class,
            registers,
            bare,
            pre_norm,
            act,
            eps,
            pool,
            prefix,
        ] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
        let number = |text: &str| text.parse::<usize>().ok();
        Some(Self {
            name: name.into(),
            unlike: (!unlike.is_empty()).then(|| unlike.into()),
            width: number(width)?,
            depth: number(depth)?,
            heads: number(heads).unwrap_or(0),
            patch_size: number(patch)?,
            class_token: class == "1",
            registers: number(registers)?,
            no_embed_class: bare == "1",
            pre_norm: pre_norm == "1",
            activation: activation(act),
            layer_norm_eps: eps.parse().ok(),
            global_pool: pool.into(),
            pool_prefix: prefix == "1",
        })
    }
}

/// timm's name of a non-linearity.
pub(super) fn activation(name: &str) -> Option<Activation> {
    match name {
        "gelu" => Some(Activation::Gelu),
        "gelu_tanh" => Some(Activation::GeluTanh),
        "quick_gelu" | "quickgelu" => Some(Activation::QuickGelu),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_tells_all_of_a_plain_model() {
        for line in TABLE.lines().skip(1) {
            let model = KnownModel::parse(line).unwrap();
            let whole = model.heads > 0 && model.activation.is_some() && model.layer_norm_eps.is_some();
            assert!(whole || model.unlike.is_some(), "{line}");
        }
    }

    #[test]
    fn models_are_found_with_and_without_a_tag() {
        let base = KnownModel::named("vit_base_patch16_224.augreg_in21k_ft_in1k").unwrap();
        assert_eq!((base.width, base.depth, base.heads), (768, 12, 12));
        assert_eq!(KnownModel::named("vit_base_patch16_224"), Some(base));
        assert!(KnownModel::named("vit_base_patch16_rpn_224").unwrap().unlike.is_some());
        assert_eq!(KnownModel::named("resnet50"), None);
    }
}
