//! From a trained model to its report: answers on the held-out images, thumbnails, the page.

use std::io::Cursor;
use std::path::Path;

use anyhow::Result;

use super::page::page;
use super::story::{DataStory, Story};
use crate::backbone::BlockRange;
use crate::image::Limits;
use crate::pack::Contents;
use crate::train::data::picture::picture;
use crate::train::data::prefix::Prefix;
use crate::train::data::rows::Rows;
use crate::train::measure::examine::{Examination, examine};
use crate::train::measure::final_test::CHUNK;
use crate::train::measure::predict::Predictor;
use crate::train::method::training_method::Snapshot;
use crate::train::setup::Setup;

/// Hardest images that a report shows.
const SHOWN: usize = 18;
/// Longest side of a thumbnail, pixels: about 8 kB as PNG, so that a report stays small beside a pack.
const SIDE: u32 = 64;

/// What is the same in every report of a training.
pub struct Composer<'a> {
    /// Backbone and limits.
    pub setup: &'a Setup,
    /// The task's name.
    pub task: &'a str,
    /// Class names.
    pub labels: &'a [String],
    /// The images.
    pub data: &'a DataStory,
    /// Whether the held-out accuracy decided when the training ended.
    pub held_out_chose: bool,
}

impl Composer<'_> {
    /// The report of a model.
    ///
    /// # Errors
    /// When a run fails or the page cannot be made.
    pub fn page(
        &self,
        snapshot: &Snapshot<'_>,
        contents: &Contents,
        examined: &Examination,
    ) -> Result<String> {
        let Snapshot { model, history, .. } = *snapshot;
        let paths = examined.hardest.iter().map(|verdict| verdict.path.as_path());
        let thumbnails: Vec<Option<Vec<u8>>> =
            paths.map(|path| thumbnail(path, &self.setup.limits).ok()).collect();
        page(&Story {
            task: self.task,
            config: self.setup.resident.config(),
            precision: self.setup.resident.precision(),
            provenance: &contents.provenance,
            decision: &contents.decision,
            modules: model.modules(),
            labels: self.labels,
            data: self.data,
            history,
            own: history.cycle_of(model),
            held_out_chose: self.held_out_chose,
            examined,
            thumbnails: &thumbnails,
        })
    }

    /// What the model makes of the held-out images.
    ///
    /// # Errors
    /// When a run fails.
    pub fn examine(&self, snapshot: &Snapshot<'_>) -> Result<Examination> {
        let Snapshot { model, held_out, .. } = *snapshot;
        let block = model.first_needed(self.setup.resident.config());
        if held_out.block <= block {
            let mut predictor = Predictor::new(&self.setup.resident, held_out.block, model.modules())?;
            return examine(&mut predictor, model, held_out, SHOWN);
        }
        // The rows went ahead with a smaller model than this one, which an accuracy target brought back.
        let (images, mut found) = (held_out.images(), Examination::default());
        let mut prefix = Prefix::new(self.setup, BlockRange { start: 0, end: block })?;
        let mut predictor = Predictor::new(&self.setup.resident, block, model.modules())?;
        for chunk in images.chunks(CHUNK) {
            let rows = Rows { truths: held_out.truths.clone(), ..prefix.load(chunk, |_, _| ())? };
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
