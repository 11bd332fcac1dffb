//! Random changes to training images. Defaults and order are timm's, as the reference uses them (METHOD section 5).
//!
//! ```text
//! bytes → crop → flip → RandAugment or colour jitter → normalise → erase      an image
//!       → mixup or cutmix                                                     a batch
//! ```
//! `crop`, `colour`, `affine`, `rand_augment` change 8-bit images, `erase` pixels, `mix` batches. All chance comes
//! from the generator that is given, so a seed determines everything.

mod affine;
mod colour;
mod crop;
mod erase;
mod mix;
mod rand_augment;

use anyhow::Result;
use image::{RgbImage, imageops};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::image::{Preprocessing, ResizeMode};

pub use mix::mix;
pub use rand_augment::RandAugment;

/// What is done to training images, and how much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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

    /// The reference's recipe (METHOD section 5): crops from 0.08, flips, `rand-m9-mstd0.5-inc1`, erasing 0.25,
    /// mixup 0.8, cutmix 1.0; jitter 0.4 where RandAugment is switched off.
    pub fn full() -> Self {
        Self { crop: 0.08, flip: 0.5, jitter: 0.4, rand_augment: 9.0, erase: 0.25, mixup: 0.8, cutmix: 1.0 }
    }

    /// Whether an image is the same at every epoch, so that what depends on it alone may be kept.
    pub fn keeps_images(&self) -> bool {
        let Self { crop, flip, jitter, rand_augment, erase, mixup, cutmix } = *self;
        crop >= 1.0 && [flip, jitter, rand_augment, erase, mixup, cutmix].iter().all(|&amount| amount <= 0.0)
    }

    /// One image, changed and normalised.
    ///
    /// # Shapes
    /// The answer is `[3, S, S]`.
    ///
    /// # Errors
    /// When the image cannot be resized.
    pub fn apply(
        &self,
        image: &RgbImage,
        preprocessing: &Preprocessing,
        random: &mut impl Rng,
    ) -> Result<Vec<f32>> {
        let mut square = if self.crop < 1.0 {
            let cut = crop::random_crop(image, self.crop, random);
            Preprocessing { resize: ResizeMode::Squash, ..preprocessing.clone() }.resize_rgb(&cut)?
        } else {
            preprocessing.resize_rgb(image)?
        };
        if random.random_bool(self.flip) {
            imageops::flip_horizontal_in_place(&mut square);
        }
        if self.rand_augment > 0.0 {
            let fill = preprocessing.mean.map(|mean| (255.0 * mean).round() as u8);
            square = RandAugment { magnitude: self.rand_augment, fill }.apply(square, random);
        } else if self.jitter > 0.0 {
            square = colour::jitter(square, self.jitter, random);
        }
        // Already of the right size, so this only normalises.
        let mut pixels = preprocessing.apply(&square)?;
        if random.random_bool(self.erase) {
            erase::erase(&mut pixels, preprocessing.image_size as usize, random);
        }
        Ok(pixels)
    }
}
