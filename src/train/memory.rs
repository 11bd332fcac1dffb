//! How a training fits into a bound of memory.
//!
//! What it takes beside the backbone's weights and the runtime itself:
//!
//! ```text
//! activations(m) + batches + trained + rows
//! activations(m) = 3/2 · the most that is alive in one step of m images, or in one run of 8 without gradients
//! batches        = (ahead + 2) · batch · row      those made ahead, the one being made, the one in the step
//! trained        = 24 bytes · parameters          values, two moments, gradients of a part, a step and an epoch
//! rows           = images · row                   training (unless changed at every epoch) and held-out images
//! row            = 4 bytes · the longest of an image's forms before any block that is trained
//! ```
//! The most that is alive is counted on the graph ([`Graph::peak_bytes`](crate::graph::Graph::peak_bytes)); ONNX
//! Runtime's arena fits values into its blocks only roughly: an image more in a step was seen to take 1.05 (DINOv2-S at
//! 112 pixels) to 1.35 times as much (CLIP's ViT-B/16 at 224). On CUDA the activations lie on the device. m is the
//! largest, up to the micro-batch asked for, that leaves the sum without rows under the bound. Rows that then do not
//! fit go to a file, the held-out ones only if they do not fit alone.

use std::fmt;

use anyhow::{Result, ensure};

use super::epoch::AHEAD;
use super::options::MimiOptions;
use super::prefix::{BATCH, row_shape};
use super::state::State;
use crate::backbone::{BackboneConfig, BlockRange, SiteSet};
use crate::graph::training::training_graph;
use crate::graph::{Dim, Graph, Plan, build};

/// Bytes of a float.
const FLOAT: u64 = 4;
/// Copies of every parameter: its value, two moments, and gradients of a part, a step and an epoch.
const COPIES: u64 = 6;
/// What the arena may take over what is alive, as a fraction.
const ARENA: (u64, u64) = (3, 2);
/// Bytes of what a bound is given and told in.
const MIB: u64 = 1 << 20;

/// How a training keeps within a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Images run together.
    pub micro_batch: usize,
    /// Whether training images' rows stay in memory.
    pub train_in_memory: bool,
    /// Whether held-out images' rows do.
    pub held_out_in_memory: bool,
    /// What the training then takes, bytes, by the formula above.
    pub bytes: u64,
}

impl Fit {
    /// Everything in memory.
    pub fn unbounded(micro_batch: usize) -> Self {
        Self { micro_batch, train_in_memory: true, held_out_in_memory: true, bytes: 0 }
    }

    /// Fits `images` (trained on, held out) and their training into `bound` bytes; without `mimi`, a head alone.
    ///
    /// # Errors
    /// When not even one image at a time fits, with what it takes.
    pub fn within(
        bound: u64,
        config: &BackboneConfig,
        mimi: Option<&MimiOptions>,
        images: Images,
    ) -> Result<Self> {
        let need = Need::of(config, mimi, images.classes)?;
        let fixed = need.batches + need.trained;
        let taken = |micro_batch: usize| fixed + need.activations(micro_batch);
        let wanted = mimi.map_or(1, |mimi| mimi.step.micro_batch.min(mimi.batch).max(1));
        let micro_batch = (1..=wanted).rev().find(|&m| taken(m) <= bound);
        let least = |bytes: u64| bytes.div_ceil(MIB);
        ensure!(
            micro_batch.is_some(),
            "{} MiB of memory are too few: one image at a time takes {} MiB ({} of activations, {} of batches made \
             ahead, {} of what is trained)",
            bound / MIB,
            least(taken(1)),
            least(need.activations(1)),
            least(need.batches),
            least(need.trained)
        );
        let micro_batch = micro_batch.unwrap_or(1);
        let kept = if mimi.is_none_or(|mimi| mimi.augment.keeps_images()) { images.trained } else { 0 };
        let (trained, held_out) = (kept as u64 * need.row, images.held_out as u64 * need.row);
        let left = bound - taken(micro_batch);
        let train_in_memory = trained + held_out <= left;
        let held_out_in_memory = held_out <= left;
        let rows = if train_in_memory { trained } else { 0 } + if held_out_in_memory { held_out } else { 0 };
        Ok(Self { micro_batch, train_in_memory, held_out_in_memory, bytes: taken(micro_batch) + rows })
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { micro_batch, train_in_memory, held_out_in_memory, bytes } = self;
        write!(f, "about {} MiB, {micro_batch} image(s) run together", bytes.div_ceil(MIB))?;
        match (train_in_memory, held_out_in_memory) {
            (true, true) => Ok(()),
            (false, true) => write!(f, ", training rows on disk"),
            (true, false) => write!(f, ", held-out rows on disk"),
            (false, false) => write!(f, ", training and held-out rows on disk"),
        }
    }
}

/// What is trained on.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// Images trained on.
    pub trained: usize,
    /// Images held out.
    pub held_out: usize,
    /// Classes.
    pub classes: usize,
}

/// The parts of the formula, bytes.
struct Need {
    row: u64,
    batches: u64,
    trained: u64,
    /// A step of a micro-batch, where there is one.
    step: Option<(Graph, Widths)>,
    /// A run without gradients.
    run: u64,
}

/// Open dimensions: classes, and the width of every adapter.
struct Widths {
    classes: u64,
    adapters: std::collections::BTreeMap<crate::backbone::Site, usize>,
}

impl Widths {
    fn bind(&self, dim: Dim, rows: usize) -> u64 {
        match dim {
            Dim::Batch => rows as u64,
            Dim::Classes => self.classes,
            Dim::Width(site) => self.adapters.get(&site).map_or(0, |&width| width as u64),
            Dim::Fixed(n) | Dim::Rows(n) => n as u64,
        }
    }
}

impl Need {
    fn of(config: &BackboneConfig, mimi: Option<&MimiOptions>, classes: usize) -> Result<Self> {
        let (first, depth) = (mimi.map_or(config.depth(), |mimi| mimi.first_block), config.depth());
        // Augmented images come as pixels, whatever the first block.
        let start = if mimi.is_some_and(|mimi| !mimi.augment.keeps_images()) { 0 } else { first };
        let longest = (start..=depth).map(|block| row_shape(config, block).iter().product::<usize>()).max();
        let row = FLOAT * longest.unwrap_or(0) as u64;
        let whole = build(config, &Plan::whole(config, SiteSet::EMPTY))?;
        let run = whole.peak_bytes(|dim| if dim == Dim::Batch { BATCH as u64 } else { 1 });
        let Some(mimi) = mimi else {
            let trained = FLOAT * COPIES * (classes * (config.feature_width() + 1)) as u64;
            return Ok(Self { row, batches: 0, trained, step: None, run });
        };
        let state = State::new(config, classes, mimi);
        let plan = Plan { blocks: BlockRange { start, end: depth }, sites: state.model.sites() };
        let widths = Widths { classes: classes as u64, adapters: state.model.widths() };
        Ok(Self {
            row,
            batches: (AHEAD as u64 + 2) * mimi.batch as u64 * row,
            trained: FLOAT * COPIES * state.model.parameters() as u64,
            step: Some((training_graph(config, &plan)?, widths)),
            run,
        })
    }

    fn activations(&self, micro_batch: usize) -> u64 {
        let step = self.step.as_ref();
        let step = step.map(|(graph, widths)| graph.peak_bytes(|dim| widths.bind(dim, micro_batch)));
        step.unwrap_or(0).max(self.run) * ARENA.0 / ARENA.1
    }
}
