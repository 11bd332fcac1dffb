//! The frozen prefix: blocks below the lowest adapter, run once an image and kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::dataset::image::Image;
use super::dataset::left_out::LeftOut;
use super::features::Key;
use super::picture::bytes;
use super::row_store::RowStore;
use super::rows::{Rows, input_name, row_shape};
use super::truth::Truths;
use crate::backbone::{BlockRange, ModuleSet};
use crate::graph::{Plan, build};
use crate::image::{self, Limits, Preprocessing};
use crate::runtime::{Input, Program};
use crate::train::setup::Setup;

/// Rows per run: enough to keep the cores busy, few enough to save memory.
pub const BATCH: usize = 8;

/// Runs frozen blocks.
pub struct Prefix {
    blocks: BlockRange,
    /// None where there is no block to run.
    program: Option<Program>,
    preprocessing: Preprocessing,
    setup: Setup,
}

impl Prefix {
    /// Compiles blocks without adapters.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(setup: &Setup, blocks: BlockRange) -> Result<Self> {
        let resident = &setup.resident;
        let plan = match blocks.end > resident.config().depth() {
            true => Plan::reading(resident.config()),
            false => Plan { blocks, modules: ModuleSet::EMPTY },
        };
        let compile = || resident.compile(&build(resident.config(), &plan)?);
        let program = (blocks.start < blocks.end).then(compile).transpose()?;
        let preprocessing = resident.config().preprocessing.clone();
        Ok(Self { blocks, program, preprocessing, setup: setup.clone() })
    }

    /// Decodes images and runs them. Unreadable files are listed and not fatal. Calls `progress` after each batch
    /// with the number of images done and the images per second.
    ///
    /// # Errors
    /// When a run fails.
    pub fn load(&mut self, images: &[Image], progress: impl FnMut(usize, f64)) -> Result<Rows> {
        let values = RowStore::in_memory(self.size(), images.len() * self.longest());
        self.load_into(values, images, progress)
    }

    /// As [`Prefix::load`], but keeps the rows in a new file at `path`.
    ///
    /// # Errors
    /// When a run fails or the file cannot be written.
    pub fn load_to(
        &mut self,
        path: &Path,
        images: &[Image],
        progress: impl FnMut(usize, f64),
    ) -> Result<Rows> {
        self.load_into(RowStore::in_file(self.size(), path)?, images, progress)
    }

    /// Numbers in a row.
    fn size(&self) -> usize {
        row_shape(self.setup.resident.config(), self.blocks.end).iter().product()
    }

    /// Numbers in the longest form a row may yet take.
    fn longest(&self) -> usize {
        let config = self.setup.resident.config();
        let blocks = self.blocks.end..=config.depth().max(self.blocks.end);
        let sizes = blocks.map(|block| row_shape(config, block).iter().product());
        sizes.max().unwrap_or(0)
    }

    fn load_into(
        &mut self,
        mut values: RowStore,
        images: &[Image],
        mut progress: impl FnMut(usize, f64),
    ) -> Result<Rows> {
        let started = Instant::now();
        let shape = row_shape(self.setup.resident.config(), self.blocks.end);
        let (mut classes, mut paths, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for (index, batch) in images.chunks(BATCH).enumerate() {
            let found: Vec<_> = batch.par_iter().map(|image| self.find(image)).collect();
            let pixels = found.iter().flatten().filter_map(|found| found.pixels());
            let fresh = self.run(pixels.flatten().copied().collect())?;
            let mut fresh = fresh.chunks(values.size());
            for (image, found) in batch.iter().zip(found) {
                match found {
                    Ok(Found::Kept(row)) => values.push(&row)?,
                    Ok(Found::Pixels(key, _)) => {
                        values.push(self.keep(key, fresh.next().unwrap_or_default()))?
                    }
                    Err(reason) => {
                        unreadable.push(LeftOut::failed(&image.path, &reason));
                        continue;
                    }
                }
                classes.push(image.class);
                paths.push(image.path.clone());
            }
            let done = index * BATCH + batch.len();
            progress(done, done as f64 / started.elapsed().as_secs_f64());
        }
        let (block, truths) = (self.blocks.end, Truths::default());
        Ok(Rows { block, shape, values, classes, truths, paths, unreadable })
    }

    /// Runs rows that are inputs of this prefix's first block.
    ///
    /// # Errors
    /// When a run fails.
    pub fn advance(&mut self, rows: &mut Rows) -> Result<()> {
        rows.values.replace(self.size(), BATCH, |values| self.run(values))?;
        rows.shape = row_shape(self.setup.resident.config(), self.blocks.end);
        rows.block = self.blocks.end;
        Ok(())
    }

    /// An image's row, if it is kept, or its pixels.
    fn find(&self, image: &Image) -> Result<Found> {
        let bytes = bytes(&image.path, &self.setup.limits)?;
        let features = self.setup.features.as_ref().filter(|_| self.program.is_some());
        let key = features.map(|_| Key::new(&bytes, self.blocks.end));
        let kept = features.zip(key).and_then(|(features, key)| features.get(&key));
        match kept {
            Some(row) => Ok(Found::Kept(row)),
            None => Ok(Found::Pixels(key, pixels(&bytes, &self.preprocessing, &self.setup.limits)?)),
        }
    }

    fn keep<'r>(&self, key: Option<Key>, row: &'r [f32]) -> &'r [f32] {
        if let Some((features, key)) = self.setup.features.as_ref().zip(key) {
            features.put(key, row);
        }
        row
    }

    /// Runs whole rows of pixels, or of this prefix's first block.
    ///
    /// # Errors
    /// When the run fails.
    pub fn run(&mut self, values: Vec<f32>) -> Result<Vec<f32>> {
        let shape = row_shape(self.setup.resident.config(), self.blocks.start);
        let rows = values.len() / shape.iter().product::<usize>();
        let Some(program) = self.program.as_mut().filter(|_| rows > 0) else {
            return Ok(values);
        };
        let shape = [vec![rows], shape].concat();
        let input = Input { name: input_name(self.blocks.start), shape: &shape, data: &values };
        let given = program.run(&[input])?.pop().context("the backbone gave no output")?.data;
        let config = self.setup.resident.config();
        match self.blocks.end > config.depth() {
            // Before the features of depths lies the pooled one.
            true => {
                let pooled = config.feature_width();
                let depths = given.chunks(pooled + self.size()).flat_map(|row| row.get(pooled..));
                Ok(depths.flatten().copied().collect())
            }
            false => Ok(given),
        }
    }
}

/// An image before the frozen blocks run.
enum Found {
    /// Its row, from an earlier training.
    Kept(Arc<[f32]>),
    /// Its pixels, and where its row is to be kept.
    Pixels(Option<Key>, Vec<f32>),
}

impl Found {
    fn pixels(&self) -> Option<&[f32]> {
        match self {
            Self::Kept(_) => None,
            Self::Pixels(_, pixels) => Some(pixels),
        }
    }
}

/// Pixels of one encoded image, `[3, S, S]`.
///
/// # Errors
/// When the image cannot be decoded.
pub fn pixels(bytes: &[u8], preprocessing: &Preprocessing, limits: &Limits) -> Result<Vec<f32>> {
    Ok(preprocessing.apply(&image::decode(bytes, limits)?)?)
}
