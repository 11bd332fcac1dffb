//! Images as inputs of some block.

use std::cmp::Ordering;
use std::path::PathBuf;

use anyhow::Result;

use super::dataset::image::Image;
use super::dataset::left_out::LeftOut;
use super::row_store::RowStore;
use super::truth::Truths;
use crate::backbone::BackboneConfig;
use crate::graph::{HIDDEN, PIXELS};

/// Images as inputs of some block, with their classes.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The block; the depth for pooled features, and [`BackboneConfig::behind_pooling`] for those of every depth.
    pub block: usize,
    /// Shape of one: `[3, S, S]` before the first block, `[N, D]` before a later one, `[D]` after the last.
    pub shape: Vec<usize>,
    /// One image a row, its elements row-major.
    pub values: RowStore,
    /// Class of each row.
    pub classes: Vec<usize>,
    /// What the classes mean.
    pub truths: Truths,
    /// File of each row.
    pub paths: Vec<PathBuf>,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<LeftOut>,
}

impl Rows {
    /// No rows, of the kind of `others`.
    pub fn none(others: &Self) -> Self {
        Self {
            block: others.block,
            shape: others.shape.clone(),
            values: RowStore::in_memory(others.values.size(), 0),
            classes: Vec::new(),
            truths: others.truths.clone(),
            paths: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Those of some places, in memory.
    ///
    /// # Errors
    /// When kept rows cannot be read.
    pub fn select(&self, places: &[usize]) -> Result<Self> {
        let mut values = RowStore::in_memory(self.values.size(), places.len() * self.values.size());
        for &place in places {
            values.push(&self.values.range(place..place + 1)?)?;
        }
        let classes = places.iter().map(|&place| self.classes[place]).collect();
        let paths = places.iter().map(|&place| self.paths[place].clone()).collect();
        let (shape, truths) = (self.shape.clone(), self.truths.clone());
        Ok(Self { block: self.block, shape, values, classes, truths, paths, unreadable: Vec::new() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The files with their classes.
    pub fn images(&self) -> Vec<Image> {
        let pairs = self.paths.iter().zip(&self.classes);
        pairs.map(|(path, &class)| Image { path: path.clone(), class }).collect()
    }

    /// Shape of `count` rows as a program takes them.
    pub fn batch_shape(&self, count: usize) -> Vec<usize> {
        [&[count], &self.shape[..]].concat()
    }
}

/// Name of the input of a program whose first block is `block`.
pub fn input_name(block: usize) -> &'static str {
    if block == 0 { PIXELS } else { HIDDEN }
}

/// Shape of one row before `block`; of its pooled feature after the last, and behind that of the features of every depth.
pub fn row_shape(config: &BackboneConfig, block: usize) -> Vec<usize> {
    match block.cmp(&config.depth()) {
        Ordering::Less => config.input_shape(block),
        Ordering::Equal => vec![config.feature_width()],
        Ordering::Greater => vec![config.head_width(config.every_depth())],
    }
}
