//! Pooled features of the frozen backbone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use ndarray::Array2;
use rayon::prelude::*;

use super::dataset::Image;
use crate::backbone::{BackboneConfig, SiteSet};
use crate::graph::{Plan, build, vit};
use crate::image::{self, Limits, Preprocessing};
use crate::runtime::{Input, Program, Runtime, WeightStore};

/// Rows in one run: enough to keep the cores busy, few enough to keep memory small.
const BATCH: usize = 8;

/// Features of images that could be read, with their classes.
#[derive(Clone, Debug)]
pub struct Features {
    /// `[n, D]`.
    pub features: Array2<f32>,
    /// Class of each row.
    pub classes: Vec<usize>,
    /// File of each row.
    pub paths: Vec<PathBuf>,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Runs the frozen backbone.
pub struct Extractor {
    program: Program,
    preprocessing: Preprocessing,
    config: Arc<BackboneConfig>,
}

impl Extractor {
    /// Compiles the backbone without adapters.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(runtime: &Runtime, store: &Arc<WeightStore>, config: &Arc<BackboneConfig>) -> Result<Self> {
        let graph = build(config, &Plan::whole(config, SiteSet::EMPTY))?;
        let program = Program::compile(runtime, store, &graph)?;
        Ok(Self { program, preprocessing: config.preprocessing.clone(), config: Arc::clone(config) })
    }

    /// Features of `images`; unreadable ones are listed, not fatal. `progress` is told after each batch how
    /// many are done and the images a second.
    ///
    /// # Errors
    /// When a run fails.
    pub fn extract(&mut self, images: &[Image], mut progress: impl FnMut(usize, f64)) -> Result<Features> {
        let started = Instant::now();
        let width = self.config.feature_width();
        let mut features = Vec::with_capacity(images.len() * width);
        let (mut classes, mut paths, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for (index, batch) in images.chunks(BATCH).enumerate() {
            let decoded: Vec<_> = batch.par_iter().map(|image| read(image, &self.preprocessing)).collect();
            let mut pixels = Vec::new();
            for (image, decoded) in batch.iter().zip(decoded) {
                match decoded {
                    Ok(values) => {
                        pixels.extend(values);
                        classes.push(image.class);
                        paths.push(image.path.clone());
                    }
                    Err(reason) => unreadable.push((image.path.clone(), format!("{reason:#}"))),
                }
            }
            features.extend(self.run(&pixels)?);
            let done = (index * BATCH + batch.len()).min(images.len());
            progress(done, done as f64 / started.elapsed().as_secs_f64());
        }
        let features = Array2::from_shape_vec((classes.len(), width), features)?;
        Ok(Features { features, classes, paths, unreadable })
    }

    /// The feature of one encoded image.
    ///
    /// # Errors
    /// When the image cannot be read or the run fails.
    pub fn one(&mut self, bytes: &[u8]) -> Result<Vec<f32>> {
        let pixels = self.preprocessing.apply(&image::decode(bytes, &Limits::default())?)?;
        self.run(&pixels)
    }

    fn run(&mut self, pixels: &[f32]) -> Result<Vec<f32>> {
        let image = self.config.input_shape(0);
        let rows = pixels.len() / image.iter().product::<usize>();
        if rows == 0 {
            return Ok(Vec::new());
        }
        let shape = [vec![rows], image].concat();
        let mut outputs = self.program.run(&[Input { name: vit::PIXELS, shape: &shape, data: pixels }])?;
        Ok(outputs.pop().context("the backbone gave no output")?.data)
    }
}

fn read(image: &Image, preprocessing: &Preprocessing) -> Result<Vec<f32>> {
    let bytes = std::fs::read(&image.path)?;
    Ok(preprocessing.apply(&image::decode(&bytes, &Limits::default())?)?)
}
