//! How a training takes images in.

use super::augment::options::AugmentOptions;

/// How images are prepared before the first step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intake {
    /// The first block that is trained; the depth for a head alone, and
    /// [`BackboneConfig::behind_pooling`](crate::backbone::BackboneConfig::behind_pooling) for one that reads depths. What
    /// comes before is frozen.
    pub block: usize,
    /// How training images are changed at every epoch.
    pub augment: AugmentOptions,
    /// Seed that variants are drawn by.
    pub seed: u64,
}
