//! From outputs to what is said of an image.

use ndarray::Array1;

use crate::pack::{Manifest, ProblemType};

/// One label with its score, or one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The label's name.
    pub label: String,
    /// The label's number: its place among the task's labels.
    pub index: usize,
    /// What the task says of it.
    pub said: Said,
}

/// What a task says of one of its labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said {
    /// A probability, 0 to 1.
    Score(f32),
    /// A number, where the task is a regression.
    Value(f32),
}

/// What a task says of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// The likeliest labels first; every value, in the order of labels, where the task is a regression.
    pub predictions: Vec<Prediction>,
    /// Labels that apply, in their order, where any number of them may.
    pub labels: Option<Vec<String>>,
    /// Whether the first prediction is only a guess, where the pack says how sure it must be.
    pub abstained: Option<bool>,
    /// What the head gives for each label, where it was wanted.
    pub logits: Option<Vec<f32>>,
}

/// What a pack's outputs say: the `k` likeliest labels, or every value.
pub(super) fn predictions(logits: &Array1<f32>, manifest: &Manifest, k: usize) -> Predictions {
    let labels = &manifest.labels;
    match manifest.problem_type {
        ProblemType::SingleLabelClassification => {
            let scores = softmax(logits);
            let predictions = likeliest(logits, &scores, labels, k);
            let surest = scores.iter().copied().fold(0.0, f32::max);
            let abstained = manifest.abstain_below.map(|below| surest < below);
            Predictions { predictions, abstained, ..Predictions::default() }
        }
        ProblemType::MultiLabelClassification => {
            let scores = logits.mapv(logistic);
            let applies = (0..scores.len()).filter(|&index| scores[index] >= manifest.threshold(index));
            let applying = applies.map(|index| name(labels, index)).collect();
            let predictions = likeliest(logits, &scores, labels, k);
            Predictions { predictions, labels: Some(applying), ..Predictions::default() }
        }
        ProblemType::Regression => {
            let value = |(index, &value): (usize, &f32)| prediction(labels, index, Said::Value(value));
            let predictions = logits.iter().enumerate().map(value).collect();
            Predictions { predictions, ..Predictions::default() }
        }
    }
}

/// The score of each label: what outputs mean where they are not values.
pub fn scores(logits: &[f32], problem: ProblemType) -> Option<Vec<f32>> {
    let logits = Array1::from_iter(logits.iter().copied());
    match problem {
        ProblemType::SingleLabelClassification => Some(softmax(&logits).to_vec()),
        ProblemType::MultiLabelClassification => Some(logits.mapv(logistic).to_vec()),
        ProblemType::Regression => None,
    }
}

/// The `k` likeliest labels, likeliest first; of equals, the lower index first.
fn likeliest(logits: &Array1<f32>, scores: &Array1<f32>, labels: &[String], k: usize) -> Vec<Prediction> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order.into_iter().take(k).map(|index| prediction(labels, index, Said::Score(scores[index]))).collect()
}

fn prediction(labels: &[String], index: usize, said: Said) -> Prediction {
    Prediction { label: name(labels, index), index, said }
}

fn name(labels: &[String], index: usize) -> String {
    labels.get(index).cloned().unwrap_or_default()
}

/// `exp(xᵢ − max) / Σ exp(xⱼ − max)`; the shift keeps large logits from overflowing.
fn softmax(logits: &Array1<f32>) -> Array1<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = logits.mapv(|x| (x - largest).exp());
    let sum = exponentials.sum();
    exponentials / sum
}

/// `1 / (1 + exp(−x))`.
fn logistic(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["a", "b", "c"].map(String::from).to_vec()
    }

    #[test]
    fn large_logits_do_not_overflow_and_order_is_by_score() {
        let logits = Array1::from_vec(vec![-1e30, 5.0, 1e4]);
        let top = likeliest(&logits, &softmax(&logits), &labels(), 2);
        assert_eq!((top[0].label.as_str(), top[0].said), ("c", Said::Score(1.0)));
        assert_eq!((top[1].label.as_str(), top[1].index, top.len()), ("b", 1, 2));
        assert_eq!([-1e30, 0.0, 1e30].map(logistic), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn scores_are_the_softmax() {
        // torch.softmax(torch.tensor([1., 2., 3.]), 0) = [0.0900, 0.2447, 0.6652]
        let scores = softmax(&Array1::from_vec(vec![1.0, 2.0, 3.0]));
        for (score, expected) in scores.iter().zip([0.090_030_57, 0.244_728_48, 0.665_240_94]) {
            assert!((score - expected).abs() < 1e-6);
        }
    }
}
