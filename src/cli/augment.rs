//! What is done to training images, as typed after `train-task` and `compare`.

use clap::{Args, ValueEnum};
use mimi_server::train::AugmentOptions;

/// What is done to training images of adapters; a head alone is trained on images as they are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Augmentation")]
pub struct AugmentArgs {
    /// Preset. The options below change single amounts.
    #[arg(long, default_value = "none")]
    pub augment: AugmentArg,
    /// Smallest share of the area that a random crop takes. 1 switches crops off.
    #[arg(long, value_name = "SHARE")]
    pub crop: Option<f64>,
    /// Chance of a left-right flip.
    #[arg(long, value_name = "CHANCE")]
    pub flip: Option<f64>,
    /// Largest change of brightness, contrast and saturation. Unused with RandAugment.
    #[arg(long, value_name = "AMOUNT")]
    pub jitter: Option<f64>,
    /// Magnitude of RandAugment, 0 (off) to 10.
    #[arg(long, value_name = "MAGNITUDE")]
    pub rand_augment: Option<f64>,
    /// Chance that noise replaces a rectangle.
    #[arg(long, value_name = "CHANCE")]
    pub erase: Option<f64>,
    /// Concentration of mixup; 0 switches it off.
    #[arg(long, value_name = "ALPHA")]
    pub mixup: Option<f64>,
    /// Concentration of cutmix; 0 switches it off.
    #[arg(long, value_name = "ALPHA")]
    pub cutmix: Option<f64>,
    /// Changed variants of each image to run through the frozen blocks once and keep. Every epoch draws one, so that
    /// --first-block saves time with augmentation too. Default: every epoch changes images again.
    #[arg(long, value_name = "COUNT")]
    pub variants: Option<usize>,
}

/// Where augmentation begins.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AugmentArg {
    /// Images as they are. Each runs through frozen blocks once.
    None,
    /// Mild crops and flips.
    Light,
    /// The paper's recipe: strong crops, flips, RandAugment, erasing, mixup, cutmix.
    Full,
}

impl AugmentArgs {
    /// The strength asked for, with what was said otherwise.
    pub fn options(&self) -> AugmentOptions {
        let start = match self.augment {
            AugmentArg::None => AugmentOptions::none(),
            AugmentArg::Light => AugmentOptions::light(),
            AugmentArg::Full => AugmentOptions::full(),
        };
        AugmentOptions {
            crop: self.crop.unwrap_or(start.crop),
            flip: self.flip.unwrap_or(start.flip),
            jitter: self.jitter.unwrap_or(start.jitter),
            rand_augment: self.rand_augment.unwrap_or(start.rand_augment),
            erase: self.erase.unwrap_or(start.erase),
            mixup: self.mixup.unwrap_or(start.mixup),
            cutmix: self.cutmix.unwrap_or(start.cutmix),
            variants: self.variants.unwrap_or(start.variants),
        }
    }
}
