//! Where labelled images are listed: a folder a class, such folders under a folder a part, or a CSV file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::entry::{Entry, Part, canonical};
use super::header::Label;
use super::image::Image;
use super::left_out::LeftOut;
use super::walk::Walk;
use super::{csv, folders, names};
use crate::pack::ProblemType;

/// Images as they are listed.
#[derive(Debug)]
pub(super) struct Listing {
    source: PathBuf,
    entries: Vec<Entry>,
    /// Where labels stood; nowhere in a folder.
    label: Option<Label>,
}

impl Listing {
    /// Reads a folder or a CSV file; adds skipped files to `left_out`.
    ///
    /// # Errors
    /// When it cannot be read, is in none of the forms, or has an image in two classes or parts.
    pub fn open(
        source: &Path,
        walk: &Walk,
        problem: ProblemType,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Self> {
        let (single, shown) = (problem.is_single_label(), source.display());
        ensure!(
            single || source.is_file(),
            "{shown}: a folder names one class an image; {problem} needs a list"
        );
        let (mut entries, label) = match source.is_file() {
            true => {
                csv::read(source, problem, left_out).map(|listed| (listed.entries, Some(listed.label)))?
            }
            false => (folders::read(source, walk, left_out)?, None),
        };
        // Stable: within a class the order stays.
        entries.sort_by(|a, b| a.label.cmp(&b.label));
        let mut listing = Self { source: source.to_owned(), entries, label };
        listing.make_unique(left_out)?;
        if single {
            names::check(&listing.source, listing.entries.iter().map(|entry| entry.label.as_str()))?;
        }
        Ok(listing)
    }

    /// What is listed.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The name of the column of labels; empty where there is none.
    pub fn column(&self) -> &str {
        match &self.label {
            Some(Label::In(column)) => &column.name,
            _ => "",
        }
    }

    /// Names of the labels that have a column each.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let each = match &self.label {
            Some(Label::Each(columns)) => &columns[..],
            _ => &[],
        };
        each.iter().map(|column| column.name.as_str())
    }

    /// The entries of one part, or of all.
    pub fn entries(&self, part: Option<Part>) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| part.is_none_or(|part| entry.part == part))
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
        let wanted = self.entries(part);
        let places: BTreeMap<&str, usize> = labels.iter().enumerate().map(|(i, l)| (l.as_str(), i)).collect();
        let image = |entry: &Entry| {
            let class = places.get(entry.label.as_str()).copied();
            let unknown = || {
                let (label, known) = (names::shown(&entry.label), names::few(labels));
                format!("{}: class {label} is not known: expected {known}", self.place(entry))
            };
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
    pub fn place(&self, entry: &Entry) -> String {
        match entry.line {
            Some(line) => format!("{} line {line}", self.source.display()),
            None => entry.path.display().to_string(),
        }
    }

    /// Keeps one entry of an image that is listed twice under the same class and part; else it would count twice.
    fn make_unique(&mut self, left_out: &mut Vec<LeftOut>) -> Result<()> {
        let mut seen: BTreeMap<PathBuf, Entry> = BTreeMap::new();
        let mut once = Vec::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            let real = canonical(&entry.path);
            let Some(first) = seen.get(&real) else {
                seen.insert(real, entry.clone());
                once.push(entry);
                continue;
            };
            let (path, place, again) = (entry.path.display(), self.place(first), self.place(&entry));
            if (&first.label, first.part) != (&entry.label, entry.part) {
                let told = |entry: &Entry| format!("{}, {}", entry.label, entry.part.adjective());
                let (one, other) = (told(first), told(&entry));
                bail!("the image {path} is listed twice: {place} ({one}) and {again} ({other})");
            }
            left_out.push(csv::repeated(&entry, &place));
        }
        self.entries = once;
        Ok(())
    }
}
