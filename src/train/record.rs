//! From a trained model to its report: answers on the held-out images, thumbnails, the page.

use std::io::Cursor;
use std::path::Path;

use anyhow::Result;

use super::examine::{Examination, examine};
use super::model::Model;
use super::picture::picture;
use super::predict::Predictor;
use super::prefix::{Prefix, Rows};
use super::progress::{Cycle, Epoch};
use super::report::{DataStory, Story, page};
use super::resident::Resident;
use super::tested::CHUNK;
use crate::backbone::BlockRange;
use crate::image::Limits;
use crate::pack::Provenance;

/// Hardest images that a report shows.
const SHOWN: usize = 18;
/// Longest side of a thumbnail, pixels: about 8 kB as PNG, so that a report stays small beside a pack.
const SIDE: u32 = 64;

/// What is the same in every report of a training.
pub(super) struct Record<'a> {
    pub resident: &'a Resident,
    pub task: &'a str,
    pub labels: &'a [String],
    pub data: &'a DataStory,
    pub held_out_chose: bool,
}

impl Record<'_> {
    /// The report of `model`, which the last of `cycles` with as many neurons left.
    ///
    /// # Errors
    /// When a run fails or the page cannot be made.
    pub fn page(
        &self,
        (model, validation): (&Model, &Rows),
        provenance: &Provenance,
        (epochs, cycles): (&[Epoch], &[Cycle]),
    ) -> Result<String> {
        let examined = self.examine(model, validation)?;
        let paths = examined.hardest.iter().map(|verdict| verdict.path.as_path());
        let thumbnails: Vec<Option<Vec<u8>>> =
            paths.map(|path| thumbnail(path, &self.resident.limits).ok()).collect();
        page(&Story {
            task: self.task,
            config: &self.resident.config,
            precision: self.resident.store.precision(),
            provenance,
            labels: self.labels,
            data: self.data,
            epochs,
            cycles,
            own: cycles.iter().rposition(|cycle| cycle.neurons == model.neurons()),
            held_out_chose: self.held_out_chose,
            examined: &examined,
            thumbnails: &thumbnails,
        })
    }

    fn examine(&self, model: &Model, validation: &Rows) -> Result<Examination> {
        let block = model.lowest_block(&self.resident.config);
        if validation.block <= block {
            let mut predictor = Predictor::new(self.resident, validation.block, model.sites())?;
            return examine(&mut predictor, model, validation, SHOWN);
        }
        // The rows went ahead with a smaller model than this one, which an accuracy target brought back.
        let (images, mut found) = (validation.images(), Examination::default());
        let mut prefix = Prefix::new(self.resident, BlockRange { start: 0, end: block })?;
        let mut predictor = Predictor::new(self.resident, block, model.sites())?;
        for chunk in images.chunks(CHUNK) {
            let rows = prefix.load(chunk, |_, _| ())?;
            found.add(examine(&mut predictor, model, &rows, SHOWN)?, SHOWN);
        }
        Ok(found)
    }
}

/// A small PNG of the image in `path`, its shape kept.
fn thumbnail(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let decoded = picture(path, limits)?;
    let (width, height) = decoded.dimensions();
    let scale = f64::from(SIDE) / f64::from(width.max(height).max(1));
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).clamp(1, SIDE);
    let small = ::image::imageops::thumbnail(&decoded, side(width), side(height));
    let mut png = Cursor::new(Vec::new());
    small.write_to(&mut png, ::image::ImageFormat::Png)?;
    Ok(png.into_inner())
}
