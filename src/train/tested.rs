//! A finished model on images that were kept for the end.

use anyhow::Result;

use super::dataset::{Image, LeftOut};
use super::model::Model;
use super::predict::{Measure, Predictor};
use super::prefix::Prefix;
use super::resident::Resident;
use crate::backbone::BlockRange;

/// Images in memory at once.
pub(super) const CHUNK: usize = 256;

/// What a measurement gives: loss, accuracy and the number of images, none without images; and unreadable files.
pub(super) type Tested = (Option<(Measure, usize)>, Vec<LeftOut>);

/// Measures a model on images, read a few at a time.
///
/// # Errors
/// When a run fails.
pub(super) fn measure_images(resident: &Resident, model: &Model, images: &[Image]) -> Result<Tested> {
    let (mut sum, mut count, mut unreadable) = (Measure::default(), 0, Vec::new());
    if images.is_empty() {
        return Ok((None, unreadable));
    }
    let block = model.lowest_block(&resident.config);
    let mut prefix = Prefix::new(resident, BlockRange { start: 0, end: block })?;
    let mut predictor = Predictor::new(resident, block, model.sites())?;
    for chunk in images.chunks(CHUNK) {
        let rows = prefix.load(chunk, |_, _| ())?;
        let measure = predictor.measure(model, &rows)?;
        sum.loss += measure.loss * rows.len() as f64;
        // A share of a count is a whole number again when multiplied by it.
        sum.accuracy += (measure.accuracy * rows.len() as f64).round();
        count += rows.len();
        unreadable.extend(rows.unreadable);
    }
    let n = count.max(1) as f64;
    Ok((Some((Measure { loss: sum.loss / n, accuracy: sum.accuracy / n }, count)), unreadable))
}
