//! The final test of a finished model.

use anyhow::Result;

use super::predict::{Measure, Predictor};
use super::scorer::Scorer;
use crate::backbone::BlockRange;
use crate::train::data::dataset::image::Image;
use crate::train::data::dataset::left_out::LeftOut;
use crate::train::data::prefix::Prefix;
use crate::train::data::truth::Truths;
use crate::train::model::Model;
use crate::train::setup::Setup;

/// Images in memory at once.
pub const CHUNK: usize = 256;

/// Scores of a model on the test images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tested {
    /// Loss and score.
    pub measure: Measure,
    /// Images that could be read.
    pub images: usize,
}

/// A test, with the files it skipped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FinalTest {
    /// The scores; none without images.
    pub tested: Option<Tested>,
    /// All answers, to be scored in other ways.
    pub scorer: Scorer,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<LeftOut>,
}

/// Measures a model on images, read a few at a time.
///
/// # Errors
/// When a run fails.
pub fn measure_images(setup: &Setup, model: &Model, images: &[Image], truths: &Truths) -> Result<FinalTest> {
    if images.is_empty() {
        return Ok(FinalTest::default());
    }
    let (mut scorer, mut unreadable) = (Scorer::new(truths), Vec::new());
    let block = model.first_needed(setup.resident.config());
    let mut prefix = Prefix::new(setup, BlockRange { start: 0, end: block })?;
    let mut predictor = Predictor::new(&setup.resident, block, model.modules())?;
    for chunk in images.chunks(CHUNK) {
        let rows = prefix.load(chunk, |_, _| ())?;
        predictor.each(model, &rows, |index, logits| scorer.add(rows.classes[index], logits))?;
        unreadable.extend(rows.unreadable);
    }
    let tested = Some(Tested { measure: scorer.measure(), images: scorer.count() });
    Ok(FinalTest { tested, scorer, unreadable })
}
