//! Labelled images: found, divided and checked.
//!
//! In reading order: `tree` walks a folder and tells images from everything else by content; `layout` says what its
//! folders stand for, `folders` lists it so; `csv` reads a list in some `text`, by its `header`; `left_out` keeps what
//! is no image of either, with the reason. `listing` is what both name, `names` looks at the classes' names; `partition`
//! divides it into what is trained on and what is not; `leaks` looks for images on both sides.

mod csv;
mod folders;
mod header;
mod layout;
mod leaks;
mod left_out;
mod listing;
mod names;
mod partition;
mod text;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

pub use layout::Layout;
pub use left_out::{LeftOut, Reason, by_reason, summary, write_list};
pub use partition::{Origin, Partition};
pub use text::read_text;

use listing::{Listing, Part};

/// A labelled image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Its class, as a place among the dataset's labels.
    pub class: usize,
}

/// How data are walked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Whether images in folders within a class folder belong to the class.
    pub nested: bool,
    /// What folders stand for; none where that must be clear by itself.
    pub layout: Option<Layout>,
    /// File to list in what is left out, and why.
    pub list: Option<PathBuf>,
}

/// Labelled images of named classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Class names, sorted.
    pub labels: Vec<String>,
    /// Images, class by class.
    pub images: Vec<Image>,
    /// What was found and is none of these.
    pub left_out: Vec<LeftOut>,
}

/// Images to train on and images held out.
#[derive(Clone, Debug)]
pub struct Split {
    /// To train on.
    pub train: Vec<Image>,
    /// Held out.
    pub validation: Vec<Image>,
}

impl Walk {
    /// Runs a listing, and writes the file of what it left out, of a listing that failed too.
    fn listed<T>(&self, list: impl FnOnce(&mut Vec<LeftOut>) -> Result<T>) -> Result<(T, Vec<LeftOut>)> {
        let mut left_out = Vec::new();
        let listed = list(&mut left_out);
        let written = self.write(&left_out);
        let listed = listed?;
        written?;
        Ok((listed, left_out))
    }

    /// Writes the file of what is left out, if there is to be one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, left_out: &[LeftOut]) -> Result<()> {
        self.list.as_deref().map_or(Ok(()), |file| write_list(file, left_out))
    }
}

impl Dataset {
    /// Lists every image of a folder or a CSV file (see [`Origin::data`]), whatever it is for.
    ///
    /// # Errors
    /// When it cannot be listed, has fewer than two classes, a class without an image, or an image twice.
    pub fn open(source: &Path, walk: &Walk) -> Result<Self> {
        let (listing, left_out) = walk.listed(|left_out| Listing::open(source, walk, left_out))?;
        let labels = listing.labels()?;
        Ok(Self { images: listing.images(&labels, None)?, labels, left_out })
    }

    /// Lists the images to measure on, which must have no other classes than `labels`, and says which they are: the
    /// test images of divided data, else the validation images, else all.
    ///
    /// # Errors
    /// When it cannot be listed, a class has no image or is unknown, or an image stands twice.
    pub fn open_as(source: &Path, labels: &[String], walk: &Walk) -> Result<(Self, &'static str)> {
        let (listing, left_out) = walk.listed(|left_out| Listing::open(source, walk, left_out))?;
        let part = listing.measured();
        let images = listing.images(labels, part)?;
        Ok((Self { images, labels: labels.to_vec(), left_out }, part.map_or("all", Part::adjective)))
    }

    /// Images of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.labels.len()];
        self.images.iter().for_each(|image| counts[image.class] += 1);
        counts
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

/// Reads the lines of a CSV file from its bytes and counts them, whatever lies behind the paths.
///
/// # Errors
/// See [`Origin::data`]: with the line that is wrong.
pub fn parse_list(bytes: &[u8], file: &Path) -> Result<usize> {
    Ok(csv::parse(&text::text(bytes)?, file)?.len())
}

/// Keeps at most `most` images of each class, drawn by `seed`.
fn limit(images: &mut Vec<Image>, most: usize, seed: u64) {
    images.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut taken = BTreeMap::new();
    images.retain(|image| {
        let count = taken.entry(image.class).or_insert(0);
        *count += 1;
        *count <= most
    });
}
