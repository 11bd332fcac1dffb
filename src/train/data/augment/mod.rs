//! Random changes to training images. Defaults and order are timm's, as the reference uses them (docs/method.md section 5).
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
pub(in crate::train) mod mix;
pub(in crate::train) mod options;
mod rand_augment;

use anyhow::Result;
use image::{RgbImage, imageops};
use rand::{Rng, RngExt};

use crate::image::{Preprocessing, ResizeMode};

use options::AugmentOptions;
use rand_augment::RandAugment;

impl AugmentOptions {
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
