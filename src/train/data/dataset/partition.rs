//! Divides images into training, held-out and test images, and warns about oddities.

use std::path::Path;

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::classes::Dataset;
use super::entry::Part;
use super::image::{Image, limit};
use super::leaks::{Twins, check_apart, identical};
use super::left_out::LeftOut;
use super::listing::Listing;
use super::meaning::Meaning;
use super::names;
use super::origin::Origin;
use crate::train::data::truth::Truths;

/// Ratio of the largest class to the smallest beyond which a warning is given.
const IMBALANCE: usize = 10;

/// Images by what they are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Names of classes or labels, sorted, or of values.
    pub labels: Vec<String>,
    /// What the images show.
    pub truths: Truths,
    /// To train on.
    pub train: Vec<Image>,
    /// Held out: measured after every epoch.
    pub validation: Vec<Image>,
    /// Measured once, at the very end; often none.
    pub test: Vec<Image>,
    /// Whether the held-out images are test images: there were no others.
    pub measures_tests: bool,
    /// Where the held-out images came from.
    pub held_out: String,
    /// Warnings about the images.
    pub warnings: Vec<String>,
    /// What was found and is in none of the three.
    pub left_out: Vec<LeftOut>,
}

impl Partition {
    /// Finds the images and divides them as the data say, or else draws a share.
    ///
    /// # Errors
    /// When images cannot be listed, there are fewer than two classes, a class is unknown or empty, or an image
    /// is listed twice.
    pub fn open(origin: &Origin) -> Result<Self> {
        Self::open_as(origin, &origin.data)
    }

    /// As [`Partition::open`], where texts call the folder of the data otherwise.
    ///
    /// # Errors
    /// As [`Partition::open`].
    pub fn open_as(origin: &Origin, called: &Path) -> Result<Self> {
        let bounded = origin.per_class.is_some() || origin.held_out_per_class.is_some();
        let problem = origin.problem;
        ensure!(problem.is_single_label() || !bounded, "a bound per class needs classes, not a {problem}");
        let (mut all, left_out) = origin.walk.listed(|left_out| Self::find((origin, called), left_out))?;
        all.left_out = left_out;
        for (images, most) in
            [(&mut all.train, origin.per_class), (&mut all.validation, origin.held_out_per_class)]
        {
            if let Some(most) = most {
                limit(images, most, origin.seed);
            }
        }
        check_apart([&all.train, &all.validation, &all.test])?;
        all.warnings = all.oddities();
        Ok(all)
    }

    fn find((origin, called): (&Origin, &Path), left_out: &mut Vec<LeftOut>) -> Result<Self> {
        let listing = Listing::open(&origin.data, &origin.walk, origin.problem, left_out)?;
        let mut meaning = Meaning::learn(&listing, origin.problem)?;
        let mut part = |part| meaning.images(&listing, Some(part));
        let (train, validation, test) = (part(Part::Train)?, part(Part::Validation)?, part(Part::Test)?);
        let within = |name| format!("the {name} images of {}", called.display());
        let (held_out, (warnings, none)) = (String::new(), Default::default());
        let (labels, truths) = (meaning.labels.clone(), Truths::default());
        let mut all = Self {
            labels,
            truths,
            train,
            validation,
            test,
            measures_tests: false,
            held_out,
            warnings,
            left_out: none,
        };
        if let Some(path) = &origin.validation {
            let given = Listing::open(path, &origin.walk, origin.problem, left_out)?;
            let part = given.measured();
            all.validation = meaning.images(&given, part)?;
            let which = part.map(|part| format!("{} ", part.adjective())).unwrap_or_default();
            all.held_out = format!("the {which}images in {}", path.display());
        } else if !all.validation.is_empty() {
            all.held_out = within("validation");
        } else if !all.test.is_empty() {
            // With nothing else to look at, the test images are the held-out ones.
            all.validation = std::mem::take(&mut all.test);
            all.measures_tests = true;
            all.held_out = within("test");
        } else {
            all.draw(origin)?;
        }
        all.truths = meaning.truths(&all.train)?;
        Ok(all)
    }

    fn draw(&mut self, origin: &Origin) -> Result<()> {
        let (share, seed) = (100.0 * origin.holdout, origin.seed);
        if !origin.problem.is_single_label() {
            self.validation = hold_out(&mut self.train, origin)?;
            self.held_out = format!("{share:.0} % of all images, drawn with seed {seed}");
            return Ok(());
        }
        let (labels, images) = (self.labels.clone(), std::mem::take(&mut self.train));
        let split = Dataset { labels, images, left_out: Vec::new() }.split(origin.holdout, origin.seed)?;
        (self.train, self.validation) = (split.train, split.validation);
        self.held_out = format!("{share:.0} % of each class, drawn with seed {seed}");
        Ok(())
    }

    /// Whether test images are among those that are measured.
    pub fn holds_tests(&self) -> bool {
        !self.test.is_empty() || self.measures_tests
    }

    /// Training images of each class or label.
    pub fn counts(&self) -> Vec<usize> {
        self.count(&self.train)
    }

    fn count(&self, images: &[Image]) -> Vec<usize> {
        let classes: Vec<usize> = images.iter().map(|image| image.class).collect();
        self.truths.counts(&classes, self.labels.len())
    }

    fn oddities(&self) -> Vec<String> {
        let mut odd = names::oddities(&self.labels);
        let trained = self.counts();
        let place = |count: Option<&usize>| trained.iter().position(|c| Some(c) == count).unwrap_or(0);
        let (least, most) = (place(trained.iter().min()), place(trained.iter().max()));
        if trained[least] == 0 {
            odd.push(format!("no training image has the label {}", self.labels[least]));
        } else if trained[most] > IMBALANCE * trained[least] {
            odd.push(format!(
                "the classes are far from balanced: {} has {} training images, {} has {}; accuracy says little of \
                 the small ones",
                self.labels[most], trained[most], self.labels[least], trained[least]
            ));
        }
        let held_out = self.count(&self.validation);
        let bare: Vec<&str> =
            self.labels.iter().zip(held_out).filter(|(_, n)| *n == 0).map(|(l, _)| l.as_str()).collect();
        if let Some(first) = bare.first() {
            odd.push(format!("{} class(es) have no held-out image, {first} for one", bare.len()));
        }
        for (what, images) in [("held-out", &self.validation), ("test", &self.test)] {
            odd.extend(leak(what, &identical(&self.train, images)));
        }
        odd
    }
}

/// Takes a share of the images, at least one of two.
fn hold_out(images: &mut Vec<Image>, origin: &Origin) -> Result<Vec<Image>> {
    let count = images.len();
    ensure!(count >= 2, "{count} image(s): none could be held out");
    images.shuffle(&mut ChaCha8Rng::seed_from_u64(origin.seed));
    let share = (count as f64 * origin.holdout).round() as usize;
    Ok(images.drain(..share.clamp(1, count - 1)).collect())
}

fn leak(what: &str, pairs: &[Twins]) -> Option<String> {
    let Twins { held_out, trained } = pairs.first()?;
    Some(format!(
        "{} {what} image(s) are byte for byte the same as training images, so the {what} accuracy flatters: {} is {}",
        pairs.len(),
        held_out.display(),
        trained.display()
    ))
}
