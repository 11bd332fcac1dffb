//! Stored inputs for a pack's self-test: real images, made small.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};

use super::predict::Predictor;
use crate::image::{Limits, Preprocessing};
use crate::pack::SelfTest;
use crate::train::data::picture::picture;
use crate::train::data::prefix::pixels;
use crate::train::data::rows::Rows;
use crate::train::model::Model;
use crate::train::setup::Setup;

/// Longest side of a stored image, pixels: a few kilobytes, and the whole way from bytes to logits is tested.
const SIDE: u32 = 48;

/// Images stored in a pack.
const IMAGES: usize = 2;

/// Shrinks held-out images of different classes and stores their logits.
///
/// # Errors
/// When an image cannot be read or a run fails.
pub fn self_test(setup: &Setup, model: &Model, held_out: &Rows) -> Result<SelfTest> {
    let resident = &setup.resident;
    let mut predictor = Predictor::new(resident, 0, model.modules())?;
    let mut test = SelfTest::default();
    let mut chosen = Vec::new();
    for (path, &class) in held_out.paths.iter().zip(&held_out.classes) {
        if chosen.len() < IMAGES && !chosen.contains(&class) {
            chosen.push(class);
            let image = shrink(path, &setup.limits)?;
            let pixels = pixels(&image, &resident.config().preprocessing, &setup.limits)?;
            let shape = [vec![1], resident.config().input_shape(0)].concat();
            test.logits.push(predictor.logits(model, &shape, &pixels)?.into_raw_vec_and_offset().0);
            test.images.push(image);
        }
    }
    Ok(test)
}

/// A small PNG of the image in `path`.
fn shrink(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let decoded = picture(path, limits).with_context(|| path.display().to_string())?;
    let small = Preprocessing::clip(SIDE).resize_rgb(&decoded)?;
    let mut png = Cursor::new(Vec::new());
    small.write_to(&mut png, ::image::ImageFormat::Png)?;
    Ok(png.into_inner())
}
