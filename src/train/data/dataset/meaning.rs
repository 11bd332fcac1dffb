//! What labels of images mean: a class, any number of labels, or values.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

use super::entry::{Entry, Part};
use super::header::MARKS;
use super::image::Image;
use super::listing::Listing;
use super::names;
use crate::pack::ProblemType;
use crate::train::data::truth::{Scale, Truths, Values};

/// How an image's label is read. Rows of labels or values gather as images are.
pub(super) struct Meaning {
    /// Names of classes, labels or values.
    pub labels: Vec<String>,
    problem: ProblemType,
    rows: Vec<Vec<f32>>,
}

impl Meaning {
    /// Finds the names among the images that are trained on.
    ///
    /// # Errors
    /// When there are too few classes or labels, a name is odd, or a value is no number.
    pub fn learn(listing: &Listing, problem: ProblemType) -> Result<Self> {
        let labels = match problem {
            ProblemType::SingleLabelClassification => listing.labels()?,
            ProblemType::MultiLabelClassification => labels(listing)?,
            ProblemType::Regression => values(listing)?,
        };
        Ok(Self::known(&labels, problem))
    }

    /// Takes the names of a pack.
    pub fn known(labels: &[String], problem: ProblemType) -> Self {
        Self { labels: labels.to_vec(), problem, rows: Vec::new() }
    }

    /// Images of one part, or of all.
    ///
    /// # Errors
    /// When a class or label is unknown, or there are other values than those that are trained.
    pub fn images(&mut self, listing: &Listing, part: Option<Part>) -> Result<Vec<Image>> {
        if self.problem.is_single_label() {
            return listing.images(&self.labels, part);
        }
        let mut images = Vec::new();
        for entry in listing.entries(part) {
            let row = match self.problem {
                ProblemType::Regression => numbers(entry, self.labels.len()),
                _ => self.applying(entry),
            };
            let row = row.with_context(|| listing.place(entry))?;
            images.push(Image { path: entry.path.clone(), class: self.rows.len() });
            self.rows.push(row);
        }
        Ok(images)
    }

    /// What the images show. Values are scaled to mean 0 and deviation 1 over those trained on.
    ///
    /// # Errors
    /// When a value is the same in all of them.
    pub fn truths(self, train: &[Image]) -> Result<Truths> {
        Ok(match self.problem {
            ProblemType::SingleLabelClassification => Truths::Classes,
            ProblemType::MultiLabelClassification => Truths::Labels(self.rows.into()),
            ProblemType::Regression => {
                let scale = |(place, name): (usize, &String)| {
                    let values = train.iter().map(|image| f64::from(self.rows[image.class][place]));
                    scale(&values.collect::<Vec<_>>())
                        .with_context(|| format!("{name} is the same in all training images"))
                };
                let scales = self.labels.iter().enumerate().map(scale).collect::<Result<_>>()?;
                Truths::Values(Values { rows: self.rows, scales }.into())
            }
        })
    }

    /// What the images show to a pack, whose values are in their own units.
    pub fn truths_of_pack(self) -> Truths {
        match self.problem {
            ProblemType::SingleLabelClassification => Truths::Classes,
            ProblemType::MultiLabelClassification => Truths::Labels(self.rows.into()),
            ProblemType::Regression => {
                let scales = vec![Scale::NONE; self.labels.len()];
                Truths::Values(Values { rows: self.rows, scales }.into())
            }
        }
    }

    /// 1 for each label of an image, 0 for the others.
    fn applying(&self, entry: &Entry) -> Result<Vec<f32>> {
        let places: BTreeMap<&str, usize> =
            self.labels.iter().enumerate().map(|(place, label)| (label.as_str(), place)).collect();
        let mut row = vec![0.0; self.labels.len()];
        for label in parts(entry) {
            let place = places.get(label).with_context(|| {
                format!("label {} is not known: expected {}", names::shown(label), names::few(&self.labels))
            })?;
            row[*place] = 1.0;
        }
        Ok(row)
    }
}

/// What stands between the marks.
fn parts(entry: &Entry) -> impl Iterator<Item = &str> {
    entry.label.split(MARKS).map(str::trim).filter(|part| !part.is_empty())
}

/// Every label that is trained on, or has a column, sorted.
fn labels(listing: &Listing) -> Result<Vec<String>> {
    let mut all: BTreeSet<&str> = listing.entries(Some(Part::Train)).flat_map(parts).collect();
    all.extend(listing.columns());
    names::check(listing.source(), all.iter().copied())?;
    ensure!(!all.is_empty(), "{}: no image to train on has a label", listing.source().display());
    Ok(all.into_iter().map(str::to_owned).collect())
}

/// Names of the values: the column's or, of several in it, that with their numbers.
fn values(listing: &Listing) -> Result<Vec<String>> {
    let first = listing.entries(Some(Part::Train)).next();
    let first = first.with_context(|| format!("{} has no image to train on", listing.source().display()))?;
    let (count, name) = (parts(first).count(), listing.column());
    ensure!(count > 0, "{}: {name} of the first image has no value", listing.source().display());
    Ok(match count {
        1 => vec![name.to_owned()],
        count => (0..count).map(|place| format!("{name} {place}")).collect(),
    })
}

fn numbers(entry: &Entry, expected: usize) -> Result<Vec<f32>> {
    let number = |part: &str| {
        let value: f32 = part.parse().ok().with_context(|| format!("{part:?} is not a number"))?;
        ensure!(value.is_finite(), "{part:?} is not finite");
        Ok(value)
    };
    let row = parts(entry).map(number).collect::<Result<Vec<_>>>()?;
    ensure!(row.len() == expected, "{} value(s), expected {expected}", row.len());
    Ok(row)
}

/// Mean and deviation (n); none without spread.
fn scale(values: &[f64]) -> Option<Scale> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    (deviation > 0.0 && deviation.is_finite()).then_some(Scale { mean, deviation })
}
