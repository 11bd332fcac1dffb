//! `report.html`: how a pack came to be, on one page that needs nothing else. One figure a file.
//!
//! The page is a pure function of a [`Story`]. It has no script and no link; every text that comes from outside is
//! escaped.

mod confusion;
mod cost;
mod curves;
mod data;
mod hardest;
mod html;
mod origin;
mod summary;
mod survivors;

use anyhow::Result;

use super::dataset::LeftOut;
use super::examine::Examination;
use super::predict::Measure;
use super::progress::{Cycle, Epoch};
use crate::backbone::{BackboneConfig, Precision};
use crate::pack::Provenance;

/// Name of the page in a version's folder.
pub const REPORT_FILE: &str = "report.html";

/// What a report tells.
#[derive(Clone, Copy, Debug)]
pub struct Story<'a> {
    /// The task's name.
    pub task: &'a str,
    /// The backbone.
    pub config: &'a BackboneConfig,
    /// What the backbone multiplied in.
    pub precision: Precision,
    /// What the pack says of itself.
    pub provenance: &'a Provenance,
    /// Class names.
    pub labels: &'a [String],
    /// The images.
    pub data: &'a DataStory,
    /// Every epoch, in order.
    pub epochs: &'a [Epoch],
    /// Every training between two prunings, in order; none where there are no adapters.
    pub cycles: &'a [Cycle],
    /// Which of them left this pack.
    pub own: Option<usize>,
    /// Whether the held-out accuracy decided how far pruning went.
    pub held_out_chose: bool,
    /// The model's answers on the held-out images.
    pub examined: &'a Examination,
    /// Small PNGs of the hardest images, in their order; none where a file can no longer be read.
    pub thumbnails: &'a [Option<Vec<u8>>],
}

/// What a report tells of the images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataStory {
    /// Images of each class that could be read: trained on, held out.
    pub counts: Vec<(usize, usize)>,
    /// Where the held-out images came from.
    pub held_out: String,
    /// What was measured at the very end on images that decided nothing, with how many they were.
    pub test: Option<(Measure, usize)>,
    /// What of the data is left out, and why.
    pub left_out: Vec<LeftOut>,
    /// What is odd about the images.
    pub warnings: Vec<String>,
}

/// The page.
///
/// # Errors
/// When a curve cannot be drawn or the backbone's cost cannot be counted.
pub fn page(story: &Story<'_>) -> Result<String> {
    let sections = [
        summary::section(story)?,
        curves::section(story)?,
        survivors::section(story),
        cost::section(story)?,
        confusion::section(story),
        hardest::section(story),
        data::section(story),
        origin::section(story),
    ];
    Ok(html::document(&format!("{} – training report", story.task), &sections.concat()))
}
