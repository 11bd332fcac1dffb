//! A labelled image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// A labelled image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Its class, as a place among the dataset's labels.
    pub class: usize,
}

/// Images of each of `classes` classes.
pub fn counts(images: &[Image], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    images.iter().for_each(|image| counts[image.class] += 1);
    counts
}

/// Keeps at most `most` images of each class, drawn by `seed`.
pub fn limit(images: &mut Vec<Image>, most: usize, seed: u64) {
    images.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut taken = BTreeMap::new();
    images.retain(|image| {
        let count = taken.entry(image.class).or_insert(0);
        *count += 1;
        *count <= most
    });
}
