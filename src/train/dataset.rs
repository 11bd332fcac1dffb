//! Labelled images: one folder a class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Endings of files that are taken for images; what they really are, decoding tells.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// A labelled image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Its class, as a place among the dataset's labels.
    pub class: usize,
}

/// Labelled images of named classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Class names: the folders', sorted.
    pub labels: Vec<String>,
    /// Images, class by class, sorted by name.
    pub images: Vec<Image>,
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
    /// Lists `dir/<class>/<image>`.
    ///
    /// # Errors
    /// When the folder cannot be listed, has fewer than two classes, or a class without an image.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut classes: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in list(dir)?.into_iter().filter(|path| path.is_dir()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            classes.insert(name, list(&path)?.into_iter().filter(|file| is_image(file)).collect());
        }
        ensure!(
            classes.len() >= 2,
            "{} has {} class folder(s); a classifier needs at least 2",
            dir.display(),
            classes.len()
        );
        if let Some((name, _)) = classes.iter().find(|(_, images)| images.is_empty()) {
            bail!("class {name} in {} has no image", dir.display());
        }
        let labels = classes.keys().cloned().collect();
        let images = classes
            .into_values()
            .enumerate()
            .flat_map(|(class, paths)| paths.into_iter().map(move |path| Image { path, class }))
            .collect();
        Ok(Self { labels, images })
    }

    /// Opens a folder that must have no other classes than `labels`.
    ///
    /// # Errors
    /// As [`Dataset::open`], and when a class is unknown.
    pub fn open_as(dir: &Path, labels: &[String]) -> Result<Self> {
        let mut dataset = Self::open(dir)?;
        for image in &mut dataset.images {
            let name = &dataset.labels[image.class];
            let class = labels.iter().position(|label| label == name);
            image.class = class.with_context(|| format!("class {name} in {} is not known", dir.display()))?;
        }
        dataset.labels = labels.to_vec();
        Ok(dataset)
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

fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    ending.is_some_and(|e| ENDINGS.contains(&e.as_str())) && path.is_file()
}

/// Entries of a folder, sorted; hidden ones are passed over.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let context = || dir.display().to_string();
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
