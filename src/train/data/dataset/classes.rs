//! Labelled images of named classes.

use std::path::Path;

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::entry::Part;
use super::image::{Image, counts};
use super::left_out::LeftOut;
use super::listing::Listing;
use super::meaning::Meaning;
use super::walk::Walk;
use crate::pack::ProblemType;
use crate::train::data::truth::Truths;

/// Labelled images of named classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Class names, sorted.
    pub labels: Vec<String>,
    /// Images, class by class.
    pub images: Vec<Image>,
    /// Skipped files.
    pub left_out: Vec<LeftOut>,
}

/// Images to measure on.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The images.
    pub dataset: Dataset,
    /// What they show.
    pub truths: Truths,
    /// Which of the source's images they are.
    pub part: &'static str,
}

/// Images to train on and images held out.
#[derive(Clone, Debug)]
pub struct Split {
    /// To train on.
    pub train: Vec<Image>,
    /// Held out.
    pub validation: Vec<Image>,
}

impl Dataset {
    /// Lists every image of a folder or a CSV file (see [`Origin::data`](super::origin::Origin::data)), whatever it is for.
    ///
    /// # Errors
    /// When it cannot be listed, has fewer than two classes, a class without an image, or an image twice.
    pub fn open(source: &Path, walk: &Walk) -> Result<Self> {
        let single = ProblemType::SingleLabelClassification;
        let (listing, left_out) = walk.listed(|left_out| Listing::open(source, walk, single, left_out))?;
        let labels = listing.labels()?;
        Ok(Self { images: listing.images(&labels, None)?, labels, left_out })
    }

    /// Lists the images to measure on, whose classes must be among `labels`. These are the test images of divided
    /// data, else the validation images, else all.
    ///
    /// # Errors
    /// When it cannot be listed, a class has no image or is unknown, or an image is listed twice.
    pub fn open_as(source: &Path, labels: &[String], walk: &Walk) -> Result<Measured> {
        Self::open_for(source, (labels, ProblemType::SingleLabelClassification), walk)
    }

    /// As [`Dataset::open_as`], for a pack of any outputs.
    ///
    /// # Errors
    /// As [`Dataset::open_as`].
    pub fn open_for(
        source: &Path,
        (labels, problem): (&[String], ProblemType),
        walk: &Walk,
    ) -> Result<Measured> {
        let (listing, left_out) = walk.listed(|left_out| Listing::open(source, walk, problem, left_out))?;
        let (part, mut meaning) = (listing.measured(), Meaning::known(labels, problem));
        let images = meaning.images(&listing, part)?;
        let dataset = Self { images, labels: labels.to_vec(), left_out };
        let part = part.map_or("all", Part::adjective);
        Ok(Measured { dataset, truths: meaning.truths_of_pack(), part })
    }

    /// Images of each class.
    pub fn counts(&self) -> Vec<usize> {
        counts(&self.images, self.labels.len())
    }

    /// Holds out `fraction` of each class, at least one image of every class that has two.
    ///
    /// # Errors
    /// When a class has a single image: it could be trained on or held out, not both.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<Split> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut split = Split { train: Vec::new(), validation: Vec::new() };
        for (class, label) in self.labels.iter().enumerate() {
            let mut images: Vec<Image> = self.images.iter().filter(|i| i.class == class).cloned().collect();
            ensure!(images.len() >= 2, "class {label} has a single image: none could be held out");
            images.shuffle(&mut random);
            let held_out = ((images.len() as f64 * fraction).round() as usize).clamp(1, images.len() - 1);
            split.validation.extend(images.drain(..held_out));
            split.train.extend(images);
        }
        Ok(split)
    }
}
