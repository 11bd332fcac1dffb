//! A number of changed variants of each training image, run once through the frozen blocks and kept.
//!
//! Augmentation and the kept prefix then go together: each epoch draws one of the variants of each image. Rows are kept
//! as halves, `images · variants · row · 2` bytes, in memory up to [`MOST`] and in a file beyond.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use rand::RngExt;
use rayon::prelude::*;

use super::augment::mix::{Mixed, mix};
use super::augment::options::AugmentOptions;
use super::chance::Chance;
use super::dataset::image::Image;
use super::dataset::left_out::LeftOut;
use super::half_store::HalfStore;
use super::intake::Intake;
use super::minibatch::{Draw, Minibatch};
use super::picture::picture;
use super::prefix::{BATCH, Prefix};
use super::rows::row_shape;
use super::truth::Truths;
use crate::backbone::{BackboneConfig, BlockRange};
use crate::image::{Preprocessing, RgbImage};
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;

/// Most bytes that are kept in memory where no bound was given: 2 GiB.
pub const MOST: u64 = 2 << 30;
/// The first of the numbers of epochs that variants are drawn by; no training has as many epochs.
const DRAWN_BY: u64 = 1 << 40;
/// Bytes of a half.
const HALF: u64 = 2;

/// Variants of images as inputs of some block.
#[derive(Clone, Debug)]
pub struct Varied {
    /// The block.
    pub block: usize,
    /// Class of each image.
    pub classes: Vec<usize>,
    /// What the classes mean.
    pub truths: Truths,
    /// File of each image.
    pub paths: Vec<PathBuf>,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<LeftOut>,
    shape: Vec<usize>,
    /// All variants of the first image, then all of the second, and so on.
    values: HalfStore,
    augment: AugmentOptions,
}

impl Varied {
    /// Bytes that the variants of `images` images take.
    pub fn bytes(config: &BackboneConfig, intake: &Intake, images: usize) -> u64 {
        let row: usize = row_shape(config, intake.block).iter().product();
        HALF * (row * images * intake.augment.variants) as u64
    }

    /// Makes every variant. Those that exceed the memory go to a file at `path`. Unreadable files are listed and not
    /// fatal.
    ///
    /// # Errors
    /// When a run fails, an image cannot be changed, or the file cannot be written.
    pub fn load(
        setup: &Setup,
        images: &[Image],
        intake: &Intake,
        path: Option<&Path>,
        observe: &mut Observer<'_>,
    ) -> Result<Self> {
        let mut varied = Self::none(setup.resident.config(), images.len(), intake, path)?;
        let mut prefix = Prefix::new(setup, BlockRange { start: 0, end: intake.block })?;
        let (what, count, started) = ("variants of training images", images.len(), Instant::now());
        for (index, image) in images.iter().enumerate() {
            match picture(&image.path, &setup.limits) {
                Ok(picture) => {
                    let pixels = intake.variants(&picture, &setup.resident.config().preprocessing, index)?;
                    for some in pixels.chunks(BATCH) {
                        varied.values.push(&prefix.run(some.concat())?)?;
                    }
                    varied.classes.push(image.class);
                    varied.paths.push(image.path.clone());
                }
                Err(reason) => varied.unreadable.push(LeftOut::failed(&image.path, &reason)),
            }
            let (done, passed) = (index + 1, started.elapsed().as_secs_f64());
            observe(Progress::Images { what, done, count, rate: done as f64 / passed });
        }
        Ok(varied)
    }

    fn none(config: &BackboneConfig, images: usize, intake: &Intake, path: Option<&Path>) -> Result<Self> {
        let shape = row_shape(config, intake.block);
        let values = HalfStore::new(shape.iter().product(), images * intake.augment.variants, path)?;
        let (classes, paths, unreadable) = (Vec::new(), Vec::new(), Vec::new());
        let (block, augment, truths) = (intake.block, intake.augment, Truths::default());
        Ok(Self { block, classes, truths, paths, unreadable, shape, values, augment })
    }

    /// One variant of each drawn image, under `targets` for each; mixing changes the targets too.
    ///
    /// # Errors
    /// When kept rows cannot be read.
    pub fn batch(&self, draw: &Draw<'_>, mut targets: Vec<f32>) -> Result<Minibatch> {
        let variants = self.augment.variants;
        let place = |&index: &usize| index * variants + draw.chance.image(index).random_range(0..variants);
        let places: Vec<usize> = draw.indices.iter().map(place).collect();
        let mut values = self.values.gather(&places)?;
        let count = places.len();
        // Cutmix, which needs pixels, is refused with variants; mixup mixes numbers of any kind.
        let mixed = Mixed { pixels: &mut values, targets: &mut targets, count, side: 1 };
        mix(&self.augment, mixed, &mut draw.chance.batch(draw.number));
        let classes = draw.indices.iter().map(|&index| self.classes[index]).collect();
        Ok(Minibatch { shape: [&[count], &self.shape[..]].concat(), values, targets, classes })
    }
}

impl Intake {
    /// Pixels of every variant of an image, which only the seed and the image's place determine.
    fn variants(
        &self,
        image: &RgbImage,
        preprocessing: &Preprocessing,
        index: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let one = |variant| {
            let chance = Chance { seed: self.seed, epoch: DRAWN_BY + variant as u64 };
            self.augment.apply(image, preprocessing, &mut chance.image(index))
        };
        (0..self.augment.variants).into_par_iter().map(one).collect()
    }
}
