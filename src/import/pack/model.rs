//! A backbone with a pack's modules and head, run on one image at a time.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use anyhow::{Context, Result};
use ndarray::{Array1, Array2, ArrayView1};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::backbone::{BackboneConfig, Module};
use crate::graph::{Fed, PIXELS, Plan, uniform};
use crate::image::{self, Limits, RgbImage};
use crate::pack::{Head, SelfTest, Weights};
use crate::runtime::{Input, Program, Resident};

/// Images of a converted pack's self-test; there are no real ones.
const IMAGES: u64 = 2;
/// Their side, pixels.
const SIDE: u32 = 48;

/// A backbone with modules and a head, compiled.
pub(super) struct Model {
    program: Program,
    config: Arc<BackboneConfig>,
    /// The program's inputs beside the pixels.
    fed: Vec<Fed<'static>>,
    head: Head,
}

impl Model {
    /// Compiles a program with exactly these modules.
    pub(super) fn new(
        resident: &Resident,
        modules: &BTreeMap<Module, Weights>,
        (weight, bias): (&[f32], &[f32]),
    ) -> Result<Self> {
        let config = Arc::clone(resident.config());
        let plan = Plan::whole(&config, modules.keys().copied().collect());
        let program = resident.program(&plan)?;
        let mut fed = Vec::new();
        for (&module, weights) in modules {
            let own = uniform(&config, (module, weights.width), 1, |part| weights.part(part))?;
            fed.extend(own.into_iter().map(Fed::into_owned));
        }
        let weight = Array2::from_shape_vec((bias.len(), config.feature_width()), weight.to_vec())?;
        let head = Head { weight, bias: Array1::from_vec(bias.to_vec()) };
        Ok(Self { program, config, fed, head })
    }

    /// Logits of an encoded image.
    pub(super) fn logits_of(&mut self, image: &[u8]) -> Result<Vec<f32>> {
        let decoded = image::decode(image, &Limits::default())?;
        self.logits(&self.config.preprocessing.apply(&decoded)?)
    }

    /// Logits of one image's pixels.
    pub(super) fn logits(&mut self, pixels: &[f32]) -> Result<Vec<f32>> {
        let shape = [vec![1], self.config.input_shape(0)].concat();
        let mut inputs = vec![Input { name: PIXELS, shape: &shape, data: pixels }];
        inputs.extend(self.fed.iter().map(|fed| Input {
            name: &fed.name,
            shape: &fed.shape,
            data: &fed.data,
        }));
        let features = self.program.run(&inputs)?.pop().context("the backbone gave no output")?.data;
        Ok(self.head.logits(ArrayView1::from(&features)).to_vec())
    }
}

/// Normalised pixels of no image.
pub(super) fn random_pixels(config: &BackboneConfig, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = config.input_shape(0).iter().product();
    (0..count).map(|_| random.random_range(-2.0..2.0)).collect()
}

/// Pictures of noise, and the logits the model gives them.
pub(super) fn self_test(model: &mut Model) -> Result<SelfTest> {
    let mut test = SelfTest::default();
    for seed in 0..IMAGES {
        let image = noise(seed)?;
        test.logits.push(model.logits_of(&image)?);
        test.images.push(image);
    }
    Ok(test)
}

/// A PNG of uniform noise, the same for the same seed.
fn noise(seed: u64) -> Result<Vec<u8>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let picture = RgbImage::from_fn(SIDE, SIDE, |_, _| ::image::Rgb(random.random()));
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ::image::ImageFormat::Png)?;
    Ok(png.into_inner())
}
