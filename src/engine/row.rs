//! A row goes into the engine, an answer comes out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::Array1;
use tracing::Span;

use super::image_key::ImageKey;
use super::meter::Meter;
use super::pixels::Pixels;
use crate::pack::{Pack, TaskId};

/// Whose rows these are. It travels with its rows.
///
/// A flow is a number that a door hands out, and no name of a client: it is never a metric's label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow(u64);

impl Flow {
    /// The flow of everybody who has none of their own.
    pub const SHARED: Self = Self(0);

    /// The server's own rows, which no client asked for.
    pub const INTERNAL: Self = Self(u64::MAX);

    /// The flow of this number; 0 is [`Flow::SHARED`].
    pub fn new(number: u64) -> Self {
        Self(number)
    }
}

/// How urgent a row is among the other rows of its flow. It counts for nothing between flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Before the flow's other rows.
    High,
    /// What a row has that says nothing.
    #[default]
    Usual,
    /// After the flow's other rows, though not for ever.
    Low,
}

impl Priority {
    /// All of them, highest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Usual, Self::Low];
}

/// A flow with its part of the device beside other flows that have rows waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Whose rows these are.
    pub flow: Flow,
    /// Its weight, at least 1: a flow of weight 2 gets twice the FLOPs of one of weight 1.
    pub weight: u32,
    /// How urgent they are among the flow's own.
    pub priority: Priority,
}

impl Share {
    /// The share of everybody who has none of their own.
    pub const EVERYBODY: Self = Self::new(Flow::SHARED, 1);
    /// The share of the server's own rows.
    pub const INTERNAL: Self = Self::new(Flow::INTERNAL, 1);

    /// A flow's share, of rows of the usual priority.
    pub const fn new(flow: Flow, weight: u32) -> Self {
        Self { flow, weight, priority: Priority::Usual }
    }

    /// The same flow's share, of rows of this priority.
    #[must_use]
    pub const fn at(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::EVERYBODY
    }
}

/// One image under one task.
pub struct Row {
    /// The task, for fairness between tasks.
    pub task: TaskId,
    /// Whose row this is.
    pub share: Share,
    /// What the first block reads; shared when one image runs under several tasks.
    pub pixels: Pixels,
    /// The image's key, where other requests may share what frozen blocks give for it. Rows of one request share it
    /// anyway, by their pixels.
    pub image: Option<ImageKey>,
    /// The pack that this request pinned at the door.
    pub pack: Arc<Pack>,
    /// Whether the pooled feature is wanted too.
    pub wants_feature: bool,
    /// When the answer is of no more use.
    pub deadline: Option<Instant>,
    /// Who is told what the row cost.
    pub meter: Option<Arc<dyn Meter>>,
    /// The row's span. The engine records `queued_us`, `run_us` and `batch_rows` on it when the row is answered; a
    /// subscriber that keeps spans sees them.
    pub span: Span,
}

impl Row {
    /// A row of the shared flow, without a deadline, whose image is not kept and whose logits suffice.
    pub fn new(task: TaskId, pixels: impl Into<Pixels>, pack: Arc<Pack>) -> Self {
        Self {
            task,
            share: Share::EVERYBODY,
            pixels: pixels.into(),
            image: None,
            pack,
            wants_feature: false,
            deadline: None,
            meter: None,
            span: Span::none(),
        }
    }

    /// Whether two rows are certainly of one image, and of one flow: flows share nothing.
    pub(super) fn shares_image(&self, other: &Self) -> bool {
        let is_one = || self.image.is_some() && self.image == other.image;
        self.share.flow == other.share.flow && (self.pixels.is(&other.pixels) || is_one())
    }
}

/// For each row the first one of its image.
pub(super) fn firsts(rows: &[&Row]) -> Vec<usize> {
    let first = |row: &&Row| rows.iter().position(|other| other.shares_image(row)).unwrap_or(0);
    rows.iter().map(first).collect()
}

/// What a row gets.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `[C]`.
    pub logits: Array1<f32>,
    /// `[D]`, where it was wanted.
    pub feature: Option<Vec<f32>>,
    /// Wait for the batch.
    pub queued: Duration,
    /// The batch's run.
    pub run: Duration,
    /// Rows in the batch.
    pub batch_rows: usize,
    /// Floating-point operations spent on it: those of its plan, less what it shared with rows of its image or what was
    /// kept of it.
    pub flops: u64,
    /// The blocks that it did not run alone.
    pub shared: SharedBlocks,
}

/// First blocks that ran once for an image: for several rows, or for an earlier request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedBlocks {
    /// How many; 0 where the row ran whole.
    pub blocks: usize,
    /// Rows of the batch that took what they gave, this one included.
    pub rows: usize,
    /// Whether an earlier request left what they gave.
    pub is_kept: bool,
}
