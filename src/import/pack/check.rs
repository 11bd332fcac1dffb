//! Running both forms of the adapters: as the checkpoint has them, and as the pack will.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use anyhow::{Context, Result};
use ndarray::{Array1, Array2, ArrayView1};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::backbone::{BackboneConfig, Site};
use crate::graph::{PIXELS, ParameterName, Plan};
use crate::image::{self, Limits, RgbImage};
use crate::pack::{Head, SelfTest, transpose};
use crate::runtime::{Input, Program, Resident};

/// Images of a converted pack's self-test; there are no real ones.
const IMAGES: u64 = 2;
/// Their side, pixels.
const SIDE: u32 = 48;

/// Adapters in the layout of a pack: width R, down `[R, D]`, up `[D, R]`.
pub(super) type Adapters = BTreeMap<Site, (usize, Vec<f32>, Vec<f32>)>;

/// A backbone with adapters and a head, compiled.
pub(super) struct Model {
    program: Program,
    config: Arc<BackboneConfig>,
    /// Names, shapes and elements of the program's adapter inputs.
    inputs: Vec<(String, [usize; 2], Vec<f32>)>,
    head: Head,
}

impl Model {
    /// Compiles a program with exactly these adapters.
    pub(super) fn new(
        resident: &Resident,
        adapters: &Adapters,
        (weight, bias): (&[f32], &[f32]),
    ) -> Result<Self> {
        let config = Arc::clone(resident.config());
        let plan = Plan::whole(&config, adapters.keys().copied().collect());
        let program = resident.program(&plan)?;
        let mut inputs = Vec::new();
        for (&site, (r, down, up)) in adapters {
            let d = config.block_width(site.block);
            inputs.push((ParameterName::down(site).to_string(), [d, *r], transpose(down, *r, d)));
            inputs.push((ParameterName::up(site).to_string(), [*r, d], transpose(up, d, *r)));
        }
        let weight = Array2::from_shape_vec((bias.len(), config.feature_width()), weight.to_vec())?;
        let head = Head { weight, bias: Array1::from_vec(bias.to_vec()) };
        Ok(Self { program, config, inputs, head })
    }

    /// Logits of one image's pixels.
    pub(super) fn logits(&mut self, pixels: &[f32]) -> Result<Vec<f32>> {
        let shape = [vec![1], self.config.input_shape(0)].concat();
        let mut inputs = vec![Input { name: PIXELS, shape: &shape, data: pixels }];
        inputs.extend(self.inputs.iter().map(|(name, shape, data)| Input { name, shape, data }));
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
        let pixels = model.config.preprocessing.apply(&image::decode(&image, &Limits::default())?)?;
        test.logits.push(model.logits(&pixels)?);
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
