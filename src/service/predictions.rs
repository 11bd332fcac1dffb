//! From logits to predictions.

use ndarray::Array1;

/// One class with its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class's name.
    pub label: String,
    /// The class's number: its place among the task's labels.
    pub index: usize,
    /// Softmax probability, 0 to 1.
    pub score: f32,
}

/// The `k` likeliest classes, likeliest first; of equals, the lower index first.
pub(super) fn top_k(logits: &Array1<f32>, labels: &[String], k: usize) -> Vec<Prediction> {
    let scores = softmax(logits);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let prediction = |index: usize| {
        let label = labels.get(index).cloned().unwrap_or_default();
        Prediction { label, index, score: scores[index] }
    };
    order.into_iter().take(k).map(prediction).collect()
}

/// `exp(xᵢ − max) / Σ exp(xⱼ − max)`; the shift keeps large logits from overflowing.
fn softmax(logits: &Array1<f32>) -> Array1<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = logits.mapv(|x| (x - largest).exp());
    let sum = exponentials.sum();
    exponentials / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_logits_do_not_overflow_and_order_is_by_score() {
        let labels = ["a", "b", "c"].map(String::from);
        let top = top_k(&Array1::from_vec(vec![-1e30, 5.0, 1e4]), &labels, 2);
        assert_eq!((top[0].label.as_str(), top[0].score), ("c", 1.0));
        assert_eq!((top[1].label.as_str(), top[1].index, top.len()), ("b", 1, 2));
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
