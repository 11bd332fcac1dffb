//! Where batches come from: kept rows, or images decoded and changed anew each time.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::augment::{AugmentOptions, mix};
use super::dataset::{Image, LeftOut};
use super::picture::picture;
use super::prefix::Rows;
use crate::image::{Limits, Preprocessing};

/// What one step is made on.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[B, ..]`, as the program's first input takes it.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
    /// Soft targets, each row summing to 1, `[B, C]`.
    pub targets: Vec<f32>,
    /// Class of each row before any mixing.
    pub classes: Vec<usize>,
}

/// What targets look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetOptions {
    /// Classes (C).
    pub classes: usize,
    /// Share of each target spread evenly over the classes (Szegedy et al. 2016).
    pub smoothing: f64,
}

/// Chance of one epoch, a generator for each image and each batch: what is drawn for one does not depend on the
/// others, on the order, or on threads.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// The training's seed.
    pub seed: u64,
    /// Different for each epoch.
    pub epoch: u64,
}

/// Words apart that generators begin; none draws as many.
const APART: u128 = 1 << 28;
/// A place that no image or batch has.
const LAST: u128 = 1 << 39;

impl Chance {
    /// For what concerns the whole epoch.
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

    /// For what follows the epoch.
    pub fn pruning(self) -> ChaCha8Rng {
        self.at(LAST)
    }

    fn at(self, place: u128) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        // Stream 0 drew the first values.
        random.set_stream(self.epoch + 1);
        random.set_word_pos(place * APART);
        random
    }
}

/// Training images.
#[derive(Clone, Debug)]
pub enum Source {
    /// The same at every epoch, kept as they are before some block.
    Kept(Rows),
    /// Decoded and changed at every epoch.
    Changing(Changing),
}

/// Images that are decoded and changed at every epoch.
#[derive(Clone, Debug)]
pub struct Changing {
    images: Vec<Image>,
    preprocessing: Preprocessing,
    options: AugmentOptions,
    classes: Vec<usize>,
    unreadable: Vec<LeftOut>,
    limits: Limits,
}

impl Changing {
    /// Decodes every image once, to know which can be read.
    pub fn new(
        images: &[Image],
        preprocessing: &Preprocessing,
        (options, limits): (AugmentOptions, Limits),
    ) -> Self {
        let tried: Vec<_> =
            images.par_iter().map(|image| picture(&image.path, &limits).map(|_| ())).collect();
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for (image, tried) in images.iter().zip(tried) {
            match tried {
                Ok(()) => readable.push(image.clone()),
                Err(reason) => unreadable.push(LeftOut::failed(&image.path, &reason)),
            }
        }
        let classes = readable.iter().map(|image| image.class).collect();
        let preprocessing = preprocessing.clone();
        Self { images: readable, preprocessing, options, classes, unreadable, limits }
    }

    fn values(&self, indices: &[usize], chance: Chance) -> Result<Vec<f32>> {
        let one = |&index: &usize| {
            let path = &self.images[index].path;
            let image = picture(path, &self.limits).with_context(|| path.display().to_string())?;
            self.options.apply(&image, &self.preprocessing, &mut chance.image(index))
        };
        let images: Vec<Vec<f32>> = indices.par_iter().map(one).collect::<Result<_>>()?;
        Ok(images.concat())
    }
}

impl Source {
    /// The block that batches stand before.
    pub fn block(&self) -> usize {
        match self {
            Self::Kept(rows) => rows.block,
            Self::Changing(_) => 0,
        }
    }

    /// Class of each image.
    pub fn classes(&self) -> &[usize] {
        match self {
            Self::Kept(rows) => &rows.classes,
            Self::Changing(images) => &images.classes,
        }
    }

    /// File of each image.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Kept(rows) => rows.paths.iter().map(PathBuf::as_path).collect(),
            Self::Changing(images) => images.images.iter().map(|image| image.path.as_path()).collect(),
        }
    }

    /// Files that could not be read, with the reason.
    pub fn unreadable(&self) -> &[LeftOut] {
        match self {
            Self::Kept(rows) => &rows.unreadable,
            Self::Changing(images) => &images.unreadable,
        }
    }

    /// The images at `indices`, which are the epoch's batch `number`.
    ///
    /// # Errors
    /// When an image can no longer be read.
    pub fn batch(
        &self,
        (indices, number): (&[usize], usize),
        options: TargetOptions,
        chance: Chance,
    ) -> Result<Batch> {
        let classes: Vec<usize> = indices.iter().map(|&i| self.classes()[i]).collect();
        let targets = classes.iter().flat_map(|&class| smoothed(class, options));
        let mut targets: Vec<f32> = targets.map(|t| t as f32).collect();
        let (shape, values) = match self {
            Self::Kept(rows) => (rows.batch_shape(indices.len()), rows.values.gather(indices)?),
            Self::Changing(images) => {
                let mut values = images.values(indices, chance)?;
                let side = images.preprocessing.image_size as usize;
                let size = (indices.len(), side);
                mix(&images.options, (&mut values, &mut targets), size, &mut chance.batch(number));
                (vec![indices.len(), 3, side, side], values)
            }
        };
        Ok(Batch { shape, values, targets, classes })
    }
}

/// `(1 − s)` at the class and `s / C` everywhere.
fn smoothed(class: usize, options: TargetOptions) -> impl Iterator<Item = f64> {
    let TargetOptions { classes, smoothing } = options;
    let rest = smoothing / classes as f64;
    (0..classes).map(move |c| if c == class { 1.0 - smoothing + rest } else { rest })
}
