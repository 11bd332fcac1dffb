//! Answers as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use crate::service::{self, Answered, Said};

/// One label with its probability, or one value of a regression.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Prediction {
    /// The label's name.
    label: String,
    /// The label's number: its place among the task's labels.
    index: usize,
    /// Probability, 0 to 1: softmax over the labels or, where any number of them may apply, the logistic function.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    /// The number, where the task is a regression. There is no score then.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f32>,
}

/// Answer for one image.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Classified {
    /// The task.
    task: String,
    /// The version that answered.
    version: u64,
    #[serde(flatten)]
    said: Predictions,
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

/// What a task says of one image.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Predictions {
    /// Likeliest labels first; every value, in the order of the task's labels, where it is a regression.
    predictions: Vec<Prediction>,
    /// Every label whose score reaches its threshold, where any number of labels may apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// Whether the task is too unsure for its first prediction to count, where its pack says how sure it must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    abstained: Option<bool>,
    /// What the head gives for each of the task's labels, where `logits=true` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<Vec<f32>>,
}

impl From<service::Prediction> for Prediction {
    fn from(service::Prediction { label, index, said }: service::Prediction) -> Self {
        let (score, value) = match said {
            Said::Score(score) => (Some(score), None),
            Said::Value(value) => (None, Some(value)),
        };
        Self { label, index, score, value }
    }
}

impl From<service::Predictions> for Predictions {
    fn from(said: service::Predictions) -> Self {
        let service::Predictions { predictions, labels, abstained, logits } = said;
        let predictions = predictions.into_iter().map(Prediction::from).collect();
        Self { predictions, labels, abstained, logits }
    }
}

impl From<Answered> for Classified {
    fn from(answered: Answered) -> Self {
        let said = answered.images.into_iter().next().map(Predictions::from).unwrap_or_default();
        Self { task: answered.task.to_string(), version: answered.version, said }
    }
}

impl From<Answered> for ClassifiedBatch {
    fn from(answered: Answered) -> Self {
        let results = answered.images.into_iter().map(Predictions::from).collect();
        Self { task: answered.task.to_string(), version: answered.version, results }
    }
}
