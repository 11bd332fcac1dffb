//! Prepares images for a training: decodes them and runs the frozen blocks.

use std::path::Path;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::changing::Changing;
use super::dataset::image::Image;
use super::dataset::partition::Partition;
use super::intake::Intake;
use super::prefix::Prefix;
use super::rows::Rows;
use super::source::Source;
use super::varied::{MOST, Varied};
use crate::backbone::{BlockRange, hex};
use crate::files::beside;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;

/// Which rows are kept in a file rather than in memory.
#[derive(Clone, Copy, Debug)]
pub struct Overflow<'a> {
    /// Those of training images.
    pub train: bool,
    /// Those of held-out images.
    pub held_out: bool,
    /// Path beside which the files are created.
    pub beside: &'a Path,
}

/// Prepared images.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// To train on.
    pub train: Source,
    /// Held out, as inputs of the first trained block.
    pub held_out: Rows,
}

impl Loaded {
    /// SHA-256 of the classes and paths of all images, in their order.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let mut add = |class: usize, path: &Path| add_image(&mut digest, class, path);
        self.train.classes().iter().zip(self.train.paths()).for_each(|(&class, path)| add(class, path));
        // A class that no image has separates the two lists.
        add(usize::MAX, Path::new(""));
        self.held_out.classes.iter().zip(&self.held_out.paths).for_each(|(&class, path)| add(class, path));
        digest.update(self.train.truths().bytes());
        hex(&digest.finalize())
    }
}

/// Adds an image to a digest by its class and path.
pub(in crate::train) fn add_image(digest: &mut Sha256, class: usize, path: &Path) {
    let path = path.as_os_str().as_encoded_bytes();
    digest.update((class as u64).to_le_bytes());
    digest.update((path.len() as u64).to_le_bytes());
    digest.update(path);
}

/// Loads the images that are trained on and held out.
///
/// # Errors
/// When a run fails or rows that exceed the memory cannot be written.
pub fn load(
    setup: &Setup,
    images: &Partition,
    intake: &Intake,
    overflow: &Overflow<'_>,
    observe: &mut Observer<'_>,
) -> Result<Loaded> {
    let mut prefix = Prefix::new(setup, BlockRange { start: 0, end: intake.block })?;
    let mut keep = |what, images: &[Image], on_disk: bool| {
        let count = images.len();
        let tell = |done, rate| observe(Progress::Images { what, done, count, rate });
        match on_disk {
            true => prefix.load_to(&beside(overflow.beside), images, tell),
            false => prefix.load(images, tell),
        }
    };
    let held_out = keep("held-out images", &images.validation, overflow.held_out)?;
    let held_out = Rows { truths: images.truths.clone(), ..held_out };
    let train = match intake.augment.keeps_images() {
        true => Source::Kept(keep("training images", &images.train, overflow.train)?).meaning(&images.truths),
        false => changed(setup, &images.train, intake, overflow, observe)?.meaning(&images.truths),
    };
    Ok(Loaded { train, held_out })
}

/// Images that are changed: at every epoch, or in a number of variants that are kept.
///
/// # Errors
/// When a run fails, an image cannot be changed, or variants that exceed the memory cannot be written.
pub fn changed(
    setup: &Setup,
    images: &[Image],
    intake: &Intake,
    overflow: &Overflow<'_>,
    observe: &mut Observer<'_>,
) -> Result<Source> {
    let (config, variants) = (setup.resident.config(), intake.augment.variants);
    if variants == 0 {
        return Ok(Source::Changing(Changing::new(
            images,
            &config.preprocessing,
            intake.augment,
            setup.limits,
        )));
    }
    let bytes = Varied::bytes(config, intake, images.len());
    let path = (overflow.train || bytes > MOST).then(|| beside(overflow.beside));
    let (count, place) = (images.len(), if path.is_some() { "on disk" } else { "in memory" });
    observe(Progress::Note(&format!(
        "{variants} variants of {count} training images take {} MiB {place}",
        bytes.div_ceil(1 << 20)
    )));
    Varied::load(setup, images, intake, path.as_deref(), observe).map(Source::Varied)
}
