//! Random numbers of a training, all determined by its seed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Random numbers of one epoch: a generator for each image and each batch. Draws for one do not depend on the
/// others, on the order, or on threads.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// The training's seed.
    pub seed: u64,
    /// Different for each epoch.
    pub epoch: u64,
}

/// Distance between the starts of generators, in words. None draws as many.
const APART: u128 = 1 << 28;
/// A place that no image or batch has.
const LAST: u128 = 1 << 39;

impl Chance {
    /// For the whole epoch.
    pub fn whole(self) -> ChaCha8Rng {
        self.at(0)
    }

    /// For an image.
    pub fn image(self, index: usize) -> ChaCha8Rng {
        self.at(2 * index as u128 + 1)
    }

    /// For a batch.
    pub fn batch(self, number: usize) -> ChaCha8Rng {
        self.at(2 * number as u128 + 2)
    }

    /// For a pruning after the epoch.
    pub fn pruning(self) -> ChaCha8Rng {
        self.at(LAST)
    }

    /// For the paths that a batch drops.
    pub fn paths(self, number: usize) -> ChaCha8Rng {
        self.at(LAST + 1 + number as u128)
    }

    fn at(self, place: u128) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        // Stream 0 drew the first values.
        random.set_stream(self.epoch + 1);
        random.set_word_pos(place * APART);
        random
    }
}
