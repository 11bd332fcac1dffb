//! How a training fits into a bound of memory.
//!
//! A training takes, beside the backbone's weights and the runtime:
//!
//! ```text
//! activations(m) + batches + trained + rows
//! activations(m) = 3/2 · the most that is alive in one step of m images, or in one run of 8 without gradients
//! batches        = (ahead + 2) · batch · row      those made ahead, the one being made, the one in the step
//! trained        = 24 bytes · parameters          values, two moments, gradients of a part, a step and an epoch
//!                  92 bytes where the state stays on the device: on the host values and moments, before and after an
//!                                                 epoch; there all of them and sums of gradients twice, gradients of a
//!                                                 step thrice, decay, pace, masks and prices, and two vectors in a step.
//!                                                 What rounding to few bits takes, matrix by matrix, is not counted
//! rows           = images · row                   training (unless changed at every epoch) and held-out images;
//!                                                 of training images in variants, 2 bytes · variants · row's length
//! row            = 4 bytes · the longest of an image's forms before any block that is trained
//! ```
//! The most that is alive is counted on the graph ([`Graph::peak_bytes`](crate::graph::Graph::peak_bytes)); ONNX
//! Runtime's arena fits values into its blocks only roughly: an image more in a step was seen to take 1.05 (DINOv2-S at
//! 112 pixels) to 1.35 times as much (CLIP's ViT-B/16 at 224). On CUDA the activations lie on the device. m is the
//! largest, up to the micro-batch asked for, that leaves the sum without rows under the bound. Rows that then do not
//! fit go to a file, the held-out ones only if they do not fit alone.

use std::fmt;

use anyhow::{Result, ensure};

use super::data::prefix::BATCH;
use super::data::rows::row_shape;
use super::data::varied::Varied;
use super::method::Method;
use super::method::training_method::StepDemand;
use super::optim::epoch::AHEAD;
use crate::backbone::{BackboneConfig, ModuleSet};
use crate::graph::{Dim, Plan, build};

/// Bytes of a float.
const FLOAT: u64 = 4;
/// Copies of every parameter: its value, two moments, and gradients of a part, a step and an epoch.
const COPIES: u64 = 6;
/// The same where the state stays on the device.
const COPIES_OF_DEVICE: u64 = 6 + 8 + 3 + 4 + 2;
/// Memory of the arena over memory of live values, as a fraction.
const ARENA: (u64, u64) = (3, 2);
/// Bytes of a MiB, the unit of bounds.
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

    /// Fits `images` and their training into `bound` bytes.
    ///
    /// # Errors
    /// When one image at a time does not fit, with the memory it needs.
    pub fn within(
        bound: u64,
        config: &BackboneConfig,
        (method, stays_on_device): (&Method, bool),
        images: Images,
    ) -> Result<Self> {
        let need = Need::of(config, (method, stays_on_device), images.classes)?;
        let fixed = need.batches + need.trained;
        let taken = |micro_batch: usize| fixed + need.activations(micro_batch);
        let micro_batch = (1..=need.micro_batch).rev().find(|&m| taken(m) <= bound);
        let least = |bytes: u64| bytes.div_ceil(MIB);
        ensure!(
            micro_batch.is_some(),
            "{} MiB of memory is not enough: one image at a time takes {} MiB ({} of activations, {} of batches made \
             ahead, {} of what is trained)",
            bound / MIB,
            least(taken(1)),
            least(need.activations(1)),
            least(need.batches),
            least(need.trained)
        );
        let micro_batch = micro_batch.unwrap_or(1);
        let (trained, held_out) = (images.trained as u64 * need.kept, images.held_out as u64 * need.row);
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
    /// A step, where there is one.
    step: Option<StepDemand>,
    /// A run without gradients.
    run: u64,
    classes: usize,
    /// Most images of a step that are run together.
    micro_batch: usize,
    /// Bytes that are kept of each training image.
    kept: u64,
}

impl Need {
    fn of(
        config: &BackboneConfig,
        (method, stays_on_device): (&Method, bool),
        classes: usize,
    ) -> Result<Self> {
        let method = method.get();
        let (intake, demand) = (method.intake(config), method.demand(config, classes)?);
        // Changed images come as pixels, whatever the first block.
        let start = if intake.augment.keeps_rows() { intake.block } else { 0 };
        let longest = (start..=config.depth().max(start))
            .map(|block| row_shape(config, block).iter().product::<usize>())
            .max();
        let row = FLOAT * longest.unwrap_or(0) as u64;
        let kept = if intake.augment.keeps_images() { row } else { Varied::bytes(config, &intake, 1) };
        let batch = demand.steps.as_ref().map_or(0, |steps| steps.batch);
        // What makes no steps learns on the host.
        let is_of_device = stays_on_device && demand.steps.is_some();
        let copies = if is_of_device { COPIES_OF_DEVICE } else { COPIES };
        let whole = build(config, &Plan::whole(config, ModuleSet::EMPTY))?;
        Ok(Self {
            row,
            batches: (AHEAD as u64 + 2) * batch as u64 * row,
            trained: FLOAT * copies * demand.parameters as u64,
            step: demand.steps,
            run: whole.peak_bytes(|dim| if dim == Dim::Batch { BATCH as u64 } else { 1 }),
            classes,
            micro_batch: method.micro_batch().min(batch).max(1),
            kept,
        })
    }

    fn activations(&self, micro_batch: usize) -> u64 {
        let step = |step: &StepDemand| step.graph.peak_bytes(|dim| self.size(step, dim, micro_batch));
        self.step.as_ref().map_or(0, step).max(self.run) * ARENA.0 / ARENA.1
    }

    /// The size of a dimension in a step of `rows` images.
    fn size(&self, step: &StepDemand, dim: Dim, rows: usize) -> u64 {
        let size = match dim {
            Dim::Batch => rows,
            Dim::Classes => self.classes,
            Dim::Width(module) => step.widths.get(&module).copied().unwrap_or(0),
            // What is made of other dimensions never comes here.
            _ => 1,
        };
        size as u64
    }
}
