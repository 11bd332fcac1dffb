//! What a door asks.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::engine::{Priority, Share};
use crate::reload::Pinned;
use crate::tenants::Caller;

/// An image as it comes.
#[derive(Clone, Debug)]
pub enum Picture {
    /// In a format of images.
    Encoded(Bytes),
    /// Samples of an upright RGB image, `[H, W, 3]`; resized and normalised as a decoded one.
    Rgb {
        /// Pixels in a line.
        width: u32,
        /// Lines.
        height: u32,
        /// The samples.
        samples: Bytes,
    },
    /// `[3, S, S]` as the backbone takes it.
    Prepared(Arc<[f32]>),
}

/// Images under one task.
pub struct Ask {
    /// The task, pinned before the images came.
    pub task: Pinned,
    /// Encoded images.
    pub images: Vec<Bytes>,
    /// On what terms.
    pub terms: Terms,
}

/// One image under several tasks.
pub struct AskMany {
    /// Names of tasks, no two of them equal.
    pub tasks: Vec<String>,
    /// The encoded image.
    pub image: Bytes,
    /// When its head came; answers are timed from there.
    pub arrived: Instant,
    /// On what terms.
    pub terms: Terms,
}

/// Images whose features are wanted.
pub struct AskFeatures {
    /// The task, pinned before the images came; none for the frozen backbone's features.
    pub task: Option<Pinned>,
    /// Encoded images.
    pub images: Vec<Bytes>,
    /// On what terms; predictions are not wanted.
    pub terms: Terms,
}

/// On what terms a request is answered.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Predictions wanted for each image, at least 1.
    pub top_k: usize,
    /// Whether every logit is wanted too.
    pub wants_logits: bool,
    /// Whether what frozen blocks give for its images may be kept and looked up.
    pub may_keep: bool,
    /// When the answer is of no more use.
    pub deadline: Instant,
    /// Whose request it is.
    pub caller: Caller,
    /// How urgent it is among other requests of its tenant.
    pub priority: Priority,
}

impl Terms {
    /// On whose account its images are decoded and run, and how urgently.
    pub(super) fn share(&self) -> Share {
        self.caller.share().at(self.priority)
    }
}
