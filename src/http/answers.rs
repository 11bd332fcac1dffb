//! Answers as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use crate::service::{self, Answered};

/// One class with its probability.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Prediction {
    /// The class's name.
    label: String,
    /// The class's number: its place among the task's labels.
    index: usize,
    /// Softmax probability, 0 to 1.
    score: f32,
}

/// Answer for one image.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Classified {
    /// The task.
    task: String,
    /// The version that answered.
    version: u64,
    /// Likeliest classes first.
    predictions: Vec<Prediction>,
}

/// Answer for several images, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClassifiedBatch {
    /// The task.
    task: String,
    /// The version that answered, the same for all.
    version: u64,
    /// One for each image.
    results: Vec<Predictions>,
}

/// Predictions for one image of several.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Predictions {
    /// Likeliest classes first.
    predictions: Vec<Prediction>,
}

impl From<service::Prediction> for Prediction {
    fn from(service::Prediction { label, index, score }: service::Prediction) -> Self {
        Self { label, index, score }
    }
}

impl Predictions {
    fn new(predictions: Vec<service::Prediction>) -> Self {
        Self { predictions: predictions.into_iter().map(Prediction::from).collect() }
    }
}

impl From<Answered> for Classified {
    fn from(answered: Answered) -> Self {
        let only = answered.predictions.into_iter().next().unwrap_or_default();
        let Predictions { predictions } = Predictions::new(only);
        Self { task: answered.task.to_string(), version: answered.version, predictions }
    }
}

impl From<Answered> for ClassifiedBatch {
    fn from(answered: Answered) -> Self {
        let results = answered.predictions.into_iter().map(Predictions::new).collect();
        Self { task: answered.task.to_string(), version: answered.version, results }
    }
}
