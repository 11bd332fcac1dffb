//! Where labelled images are listed: a folder a class, such folders under a folder a part, or a CSV file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Image, csv, folders};

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// To train on.
    Train,
    /// To choose by.
    Validation,
    /// To be measured on once, at the end.
    Test,
}

impl Part {
    /// What images of it are called.
    pub fn adjective(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The part that a folder or a column names.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "train" => Some(Self::Train),
            "val" | "validation" => Some(Self::Validation),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// An image as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub path: PathBuf,
    pub label: String,
    pub part: Part,
    /// Its line in a CSV file.
    pub line: Option<u64>,
}

/// Images as they are listed.
#[derive(Debug)]
pub(super) struct Listing {
    source: PathBuf,
    entries: Vec<Entry>,
}

impl Listing {
    /// Reads a folder or a CSV file.
    ///
    /// # Errors
    /// When it cannot be read, is in none of the forms, or names an image twice.
    pub fn open(source: &Path) -> Result<Self> {
        let mut entries = if source.is_file() { csv::read(source)? } else { folders::read(source)? };
        // Stable: within a class the order stays.
        entries.sort_by(|a, b| a.label.cmp(&b.label));
        let listing = Self { source: source.to_owned(), entries };
        listing.check_unique()?;
        Ok(listing)
    }

    /// Classes that are trained on, sorted.
    ///
    /// # Errors
    /// When there are fewer than two.
    pub fn labels(&self) -> Result<Vec<String>> {
        let trained = self.entries.iter().filter(|entry| entry.part == Part::Train);
        let labels: BTreeSet<&str> = trained.map(|entry| entry.label.as_str()).collect();
        let (source, count) = (self.source.display(), labels.len());
        ensure!(count >= 2, "{source} has {count} class(es) to train on; a classifier needs at least 2");
        Ok(labels.into_iter().map(str::to_owned).collect())
    }

    /// Images of one part, or of all; class by class.
    ///
    /// # Errors
    /// When a class is none of `labels`.
    pub fn images(&self, labels: &[String], part: Option<Part>) -> Result<Vec<Image>> {
        let wanted = self.entries.iter().filter(|entry| part.is_none_or(|part| entry.part == part));
        let places: BTreeMap<&str, usize> = labels.iter().enumerate().map(|(i, l)| (l.as_str(), i)).collect();
        let image = |entry: &Entry| {
            let class = places.get(entry.label.as_str()).copied();
            let unknown = || format!("{}: class {} is not known", self.place(entry), entry.label);
            Ok(Image { path: entry.path.clone(), class: class.with_context(unknown)? })
        };
        let mut images = wanted.map(image).collect::<Result<Vec<_>>>()?;
        images.sort_by_key(|image| image.class);
        Ok(images)
    }

    /// The part to measure on: test images if there are some, else validation images, else all.
    pub fn measured(&self) -> Option<Part> {
        let last = self.entries.iter().map(|entry| entry.part).max();
        last.filter(|&part| part != Part::Train)
    }

    /// Where an entry stands, for messages.
    fn place(&self, entry: &Entry) -> String {
        match entry.line {
            Some(line) => format!("{} line {line}", self.source.display()),
            None => entry.path.display().to_string(),
        }
    }

    /// An image that stands twice would be counted twice, or be trained on and held out.
    fn check_unique(&self) -> Result<()> {
        let mut seen: BTreeMap<PathBuf, &Entry> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(first) = seen.insert(canonical(&entry.path), entry) {
                let (path, first, again) = (entry.path.display(), self.place(first), self.place(entry));
                bail!("the image {path} stands twice: {first} and {again}");
            }
        }
        Ok(())
    }
}

/// The path without links and detours, or as it is where there is no such file.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
