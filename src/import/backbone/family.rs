//! What a checkpoint turned out to be.

use super::config_files::PretrainedConfig;
use crate::backbone::Architecture;

/// Which training a checkpoint comes from, where its tensors tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// CLIP's vision tower.
    Clip,
    /// SigLIP's vision tower.
    Siglip,
    /// DINOv2.
    Dinov2,
    /// ViT or DeiT.
    Plain,
}

/// What a checkpoint turned out to be.
pub(super) struct Recognised {
    pub(super) family: Family,
    pub(super) architecture: Architecture,
    /// `timm` or `hugging_face`.
    pub(super) naming: &'static str,
    /// How the names begin of what belongs to classifiers and training, not to the backbone.
    pub(super) leave_out: &'static [&'static str],
    /// How timm's `config.json` prepares images.
    pub(super) pretrained_cfg: Option<PretrainedConfig>,
}
