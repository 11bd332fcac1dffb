//! A set of images, as the methods of a comparison meet on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::run::Purpose;
use crate::backbone::{BlockRange, hex};
use crate::train::data::dataset::classes::Dataset;
use crate::train::data::dataset::image::{Image, limit};
use crate::train::data::dataset::origin::Origin;
use crate::train::data::dataset::partition::Partition;
use crate::train::data::intake::Intake;
use crate::train::data::load::{Loaded, Overflow, changed};
use crate::train::data::prefix::Prefix;
use crate::train::data::rows::Rows;
use crate::train::data::source::Source;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;
use crate::train::task::{check_classes, tell};

/// Share of each class of training images that settings are chosen on.
const SHARE: f64 = 0.2;
/// Seed that draws them, whatever the run's seed.
const SEED: u64 = 0;

/// A set of images by its name.
#[derive(Clone, Debug)]
pub struct ImageSet {
    /// Its name in results.
    pub name: String,
    /// Where its images are.
    pub origin: Origin,
    /// Whether results call its folder by the set's name, so that they say nothing of the machine.
    pub is_moved: bool,
    /// Whether a set with test images is refused.
    pub refuses_tests: bool,
}

impl ImageSet {
    /// Where its images are, as results tell it.
    pub(super) fn told(&self) -> Result<Value> {
        Ok(serde_json::to_value(Origin { data: self.folder(), ..self.origin.clone() })?)
    }

    fn folder(&self) -> PathBuf {
        if self.is_moved { PathBuf::from(&self.name) } else { self.origin.data.clone() }
    }
}

/// The images of a set.
pub(super) struct Arena<'a> {
    setup: &'a Setup,
    origin: &'a Origin,
    pub partition: Partition,
    /// SHA-256 of the labels, and of class and bytes of every image.
    pub fingerprint: String,
    /// Images before each block that some method begins at.
    rows: BTreeMap<usize, Both>,
    /// The changed images of the last run, by how they were taken in and how many they were.
    changed: Option<(Known, Source)>,
    /// Path beside which rows that exceed the memory are kept.
    beside: PathBuf,
}

/// How changed images were taken in, and how many they were.
type Known = (Intake, usize);

/// Rows of a set.
#[derive(Clone)]
struct Both {
    train: Rows,
    measured: Rows,
}

/// What a run sees.
pub(super) struct Seen {
    /// To train on; nothing is held out.
    pub loaded: Loaded,
    /// To measure once, at the end.
    pub measured: Rows,
    /// A few training images that may lie in a pack as its self-test.
    pub sample: Rows,
}

impl<'a> Arena<'a> {
    /// Finds the images. Test images are measured where there are some, else held-out ones.
    ///
    /// # Errors
    /// When they cannot be listed or read.
    pub fn open(
        setup: &'a Setup,
        set: &'a ImageSet,
        beside: &Path,
        observe: &mut Observer<'_>,
    ) -> Result<Self> {
        let mut partition =
            Partition::open_as(&set.origin, &set.folder()).with_context(|| set.name.clone())?;
        let is_apart = !partition.holds_tests();
        ensure!(is_apart || !set.refuses_tests, "{} has test images, which are not to be seen", set.name);
        // Images that were asked for are measured, whatever else there is.
        if set.origin.validation.is_none() && !partition.test.is_empty() {
            partition.validation = std::mem::take(&mut partition.test);
            partition.held_out = format!("the test images of {}", set.folder().display());
            if let Some(most) = set.origin.held_out_per_class {
                limit(&mut partition.validation, most, set.origin.seed);
            }
        }
        tell(&partition, observe);
        let fingerprint = digest(&partition)?;
        Ok(Self {
            setup,
            origin: &set.origin,
            partition,
            fingerprint,
            rows: BTreeMap::new(),
            changed: None,
            beside: beside.to_owned(),
        })
    }

    /// What a run sees that takes images in so.
    ///
    /// # Errors
    /// When images cannot be read or run, or a class has a single image and settings are to be chosen.
    pub fn seen(&mut self, intake: &Intake, purpose: Purpose, observe: &mut Observer<'_>) -> Result<Seen> {
        let Both { train, measured } = self.rows(intake.block, observe)?.clone();
        let (train, measured) = match purpose {
            Purpose::Result => (train, measured),
            Purpose::Tuning => {
                let images = train.images();
                let all = Dataset { labels: self.partition.labels.clone(), images, left_out: Vec::new() };
                let split = all.split(SHARE, SEED)?;
                (select(&train, &split.train)?, select(&train, &split.validation)?)
            }
        };
        let (held_out, sample) = (Rows::none(&measured), sample(&train)?);
        let train = match intake.augment.keeps_images() {
            true => Source::Kept(train),
            false => self.changed(intake, &train.images(), observe)?,
        };
        Ok(Seen { loaded: Loaded { train, held_out }, measured, sample })
    }

    /// Images that are changed. Variants are made once for all methods that take images in alike, one after another.
    fn changed(&mut self, intake: &Intake, images: &[Image], observe: &mut Observer<'_>) -> Result<Source> {
        let key = (*intake, images.len());
        if let Some((_, source)) = self.changed.as_ref().filter(|(known, _)| *known == key) {
            return Ok(source.clone());
        }
        self.changed = None;
        let overflow = Overflow { train: false, held_out: false, beside: &self.beside };
        let source = changed(self.setup, images, intake, &overflow, observe)?;
        self.changed = Some((key, source.clone()));
        Ok(source)
    }

    fn rows(&mut self, block: usize, observe: &mut Observer<'_>) -> Result<&Both> {
        if !self.rows.contains_key(&block) {
            let both = self.load(block, observe)?;
            self.rows.insert(block, both);
        }
        self.rows.get(&block).context("the images were not kept")
    }

    fn load(&self, block: usize, observe: &mut Observer<'_>) -> Result<Both> {
        let mut prefix = Prefix::new(self.setup, BlockRange { start: 0, end: block })?;
        let mut load = |what, images: &[Image]| {
            let count = images.len();
            prefix.load(images, |done, rate| observe(Progress::Images { what, done, count, rate }))
        };
        let train = load("training images", &self.partition.train)?;
        let measured = load("measured images", &self.partition.validation)?;
        let left_out = [&self.partition.left_out[..], &train.unreadable, &measured.unreadable].concat();
        self.origin.walk.write(&left_out)?;
        check_classes(&train.classes, &train.unreadable, &self.partition.labels)?;
        ensure!(!measured.is_empty(), "no image to measure could be read: {}", self.partition.held_out);
        Ok(Both { train, measured })
    }
}

fn select(rows: &Rows, images: &[Image]) -> Result<Rows> {
    let places: BTreeMap<&PathBuf, usize> =
        rows.paths.iter().enumerate().map(|(at, path)| (path, at)).collect();
    let found: Vec<usize> = images.iter().filter_map(|image| places.get(&image.path).copied()).collect();
    rows.select(&found)
}

/// An image of the first class, and one of another.
fn sample(rows: &Rows) -> Result<Rows> {
    let other = rows.classes.iter().position(|class| Some(class) != rows.classes.first());
    rows.select(&other.map_or(vec![0], |other| vec![0, other]))
}

fn digest(partition: &Partition) -> Result<String> {
    let mut digest = Sha256::new();
    partition.labels.iter().for_each(|label| add(&mut digest, label.as_bytes()));
    for images in [&partition.train, &partition.validation] {
        let files: Vec<_> = images.par_iter().map(|image| of_file(&image.path)).collect::<Result<_>>()?;
        digest.update((files.len() as u64).to_le_bytes());
        for (image, file) in images.iter().zip(files) {
            digest.update((image.class as u64).to_le_bytes());
            digest.update(file);
        }
    }
    Ok(hex(&digest.finalize()))
}

fn add(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}

fn of_file(path: &Path) -> Result<[u8; 32]> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Sha256::digest(bytes).into())
}
