//! Training images apart: some to train on, some to choose by.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::train::data::dataset::classes::Split;
use crate::train::data::dataset::image::Image;

/// Share of each class that is chosen by.
const SHARE: f64 = 0.2;

/// Holds out a fifth of each of `classes` classes, at least one image where there are two. A class with a single image is
/// trained on only.
pub fn apart(images: &[Image], classes: usize, seed: u64) -> Split {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut split = Split { train: Vec::new(), validation: Vec::new() };
    for class in 0..classes {
        let mut own: Vec<Image> = images.iter().filter(|image| image.class == class).cloned().collect();
        own.shuffle(&mut random);
        let share = (own.len() as f64 * SHARE).round() as usize;
        let held_out = if own.len() < 2 { 0 } else { share.clamp(1, own.len() - 1) };
        split.validation.extend(own.drain(..held_out));
        split.train.extend(own);
    }
    split
}
