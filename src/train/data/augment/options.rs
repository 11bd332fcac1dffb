//! How much training images are changed.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Most variants of an image.
const MOST_VARIANTS: usize = 1024;

/// What is done to training images, and how much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default = "AugmentOptions::none")]
pub struct AugmentOptions {
    /// Smallest share of the image's area that a random crop takes; 1 leaves the backbone's own crop.
    pub crop: f64,
    /// Chance of a left-right flip.
    pub flip: f64,
    /// Largest change of brightness, contrast and saturation; unused where RandAugment is on, as in timm.
    pub jitter: f64,
    /// Magnitude of RandAugment, 0 to 10; 0 switches it off.
    pub rand_augment: f64,
    /// Chance that a rectangle is replaced by noise.
    pub erase: f64,
    /// Concentration of mixup's Beta distribution; 0 switches it off.
    pub mixup: f64,
    /// Concentration of cutmix's Beta distribution; 0 switches it off.
    pub cutmix: f64,
    /// Changed variants of each image that are kept, of which every epoch draws one; 0 changes images again at each. Left out of
    /// an identity where it is 0, so that older records can be continued.
    #[serde(skip_serializing_if = "is_none")]
    pub variants: usize,
}

impl AugmentOptions {
    /// Nothing: images are decoded once, and frozen blocks run once. The default, and fastest on a CPU.
    pub fn none() -> Self {
        Self { crop: 1.0, ..Self::default() }
    }

    /// Crops of at least half the area and flips: mild enough for small data and short trainings.
    pub fn light() -> Self {
        Self { crop: 0.5, flip: 0.5, ..Self::none() }
    }

    /// The reference's recipe (docs/method.md section 5): crops from 0.08, flips, `rand-m9-mstd0.5-inc1`, erasing 0.25,
    /// mixup 0.8, cutmix 1.0; jitter 0.4 where RandAugment is switched off.
    pub fn full() -> Self {
        Self {
            crop: 0.08,
            flip: 0.5,
            jitter: 0.4,
            rand_augment: 9.0,
            erase: 0.25,
            mixup: 0.8,
            cutmix: 1.0,
            ..Self::none()
        }
    }

    /// Whether an image is the same at every epoch, so that what depends on it alone may be kept.
    pub fn keeps_images(&self) -> bool {
        let Self { crop, flip, jitter, rand_augment, erase, mixup, cutmix, variants: _ } = *self;
        crop >= 1.0 && [flip, jitter, rand_augment, erase, mixup, cutmix].iter().all(|&amount| amount <= 0.0)
    }

    /// Whether what frozen blocks make of an image can be kept: it is the same at every epoch, or one of its variants.
    pub fn keeps_rows(&self) -> bool {
        self.keeps_images() || self.variants > 0
    }

    /// Checks that the amounts make sense.
    ///
    /// # Errors
    /// When one does not, with its name.
    pub fn check(&self) -> Result<()> {
        let Self { crop, flip, jitter, rand_augment, erase, mixup, cutmix, variants } = *self;
        for (name, share) in [("crop", crop), ("flip", flip), ("erase", erase)] {
            ensure!((0.0..=1.0).contains(&share), "{name} is {share}, expected 0 to 1");
        }
        for (name, amount) in [("jitter", jitter), ("mixup", mixup), ("cutmix", cutmix)] {
            ensure!(amount >= 0.0 && amount.is_finite(), "{name} is {amount}, expected 0 or more");
        }
        ensure!((0.0..=10.0).contains(&rand_augment), "rand_augment is {rand_augment}, expected 0 to 10");
        ensure!(
            variants == 0 || cutmix <= 0.0,
            "cutmix needs pixels, and of variants only later rows are kept"
        );
        ensure!(variants <= MOST_VARIANTS, "{variants} variants, expected at most {MOST_VARIANTS}");
        Ok(())
    }
}

fn is_none(variants: &usize) -> bool {
    *variants == 0
}
