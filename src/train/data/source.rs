//! Where minibatches come from: kept rows, kept variants, or images that are decoded and changed each time.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::changing::Changing;
use super::dataset::left_out::LeftOut;
use super::minibatch::{Draw, Minibatch, TargetOptions};
use super::rows::Rows;
use super::truth::Truths;
use super::varied::Varied;

/// Training images.
#[derive(Clone, Debug)]
pub enum Source {
    /// The same at every epoch, kept as they are before some block.
    Kept(Rows),
    /// Decoded and changed at every epoch.
    Changing(Changing),
    /// A number of changed variants, kept as they are before some block; one is drawn at every epoch.
    Varied(Varied),
}

impl Source {
    /// The block whose input a batch is.
    pub fn block(&self) -> usize {
        match self {
            Self::Kept(rows) => rows.block,
            Self::Varied(images) => images.block,
            Self::Changing(_) => 0,
        }
    }

    /// Class of each image.
    pub fn classes(&self) -> &[usize] {
        match self {
            Self::Kept(rows) => &rows.classes,
            Self::Changing(images) => &images.classes,
            Self::Varied(images) => &images.classes,
        }
    }

    /// What the classes mean.
    pub fn truths(&self) -> &Truths {
        match self {
            Self::Kept(rows) => &rows.truths,
            Self::Changing(images) => &images.truths,
            Self::Varied(images) => &images.truths,
        }
    }

    /// The same with classes of another meaning.
    pub fn meaning(mut self, meant: &Truths) -> Self {
        let truths = match &mut self {
            Self::Kept(rows) => &mut rows.truths,
            Self::Changing(images) => &mut images.truths,
            Self::Varied(images) => &mut images.truths,
        };
        *truths = meant.clone();
        self
    }

    /// File of each image.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Kept(rows) => rows.paths.iter().map(PathBuf::as_path).collect(),
            Self::Varied(images) => images.paths.iter().map(PathBuf::as_path).collect(),
            Self::Changing(images) => images.images.iter().map(|image| image.path.as_path()).collect(),
        }
    }

    /// Files that could not be read, with the reason.
    pub fn unreadable(&self) -> &[LeftOut] {
        match self {
            Self::Kept(rows) => &rows.unreadable,
            Self::Changing(images) => &images.unreadable,
            Self::Varied(images) => &images.unreadable,
        }
    }

    /// The drawn images.
    ///
    /// # Errors
    /// When an image can no longer be read.
    pub fn batch(&self, draw: &Draw<'_>, options: TargetOptions) -> Result<Minibatch> {
        let classes: Vec<usize> = draw.indices.iter().map(|&i| self.classes()[i]).collect();
        let targets = self.truths().targets(&classes, options);
        match self {
            Self::Changing(images) => images.batch(draw, targets),
            Self::Varied(images) => images.batch(draw, targets),
            Self::Kept(rows) => {
                let (shape, values) = (rows.batch_shape(classes.len()), rows.values.gather(draw.indices)?);
                Ok(Minibatch { shape, values, targets, classes })
            }
        }
    }
}
