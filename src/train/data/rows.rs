//! Images as inputs of some block.

use std::path::PathBuf;

use super::dataset::image::Image;
use super::dataset::left_out::LeftOut;
use super::row_store::RowStore;
use super::truth::Truths;
use crate::backbone::BackboneConfig;
use crate::graph::{HIDDEN, PIXELS};

/// Images as inputs of some block, with their classes.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The block; the depth for pooled features.
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

/// Shape of one row before `block`; of its pooled feature after the last.
pub fn row_shape(config: &BackboneConfig, block: usize) -> Vec<usize> {
    if block == config.depth() { vec![config.feature_width()] } else { config.input_shape(block) }
}
