//! How sure an answer must be so that those given are right often enough.

use serde::Serialize;

use super::ranking::middle;

/// How sure a model was of an image's class, and whether it was right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// Probability of the likeliest class, 0 to 1.
    pub probability: f32,
    /// Whether that was the image's.
    pub is_right: bool,
}

/// A threshold of confidence, and what it gave on the images it was chosen on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Abstention {
    /// Highest probability below which there is no answer.
    pub below: f32,
    /// Share of the images that keep their answer, 0 to 1.
    pub kept: f64,
    /// Share of the kept answers that are right, 0 to 1.
    pub accuracy: f64,
}

impl Abstention {
    /// What a threshold gives.
    pub fn at(below: f32, answers: &[Confidence]) -> Self {
        let kept = answers.iter().filter(|answer| answer.probability >= below);
        let right = kept.clone().filter(|answer| answer.is_right).count();
        let (kept, all) = (kept.count(), answers.len().max(1));
        Self { below, kept: kept as f64 / all as f64, accuracy: right as f64 / kept.max(1) as f64 }
    }
}

/// The threshold that keeps most answers while at least `accuracy` of those kept are right; none if no threshold does.
/// It lies midway between the answers that it parts, so that rounding moves none over it, and is 0 where all are kept.
pub fn calibrate(answers: &[Confidence], accuracy: f64) -> Option<Abstention> {
    let mut sorted = answers.to_vec();
    sorted.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let (mut right, mut found) = (0usize, None);
    for (index, answer) in sorted.iter().enumerate() {
        right += usize::from(answer.is_right);
        let kept = index + 1;
        let next = sorted.get(kept).map(|next| next.probability);
        if next != Some(answer.probability) && right as f64 >= accuracy * kept as f64 {
            let below = next.map_or(0.0, |next| middle(answer.probability, next));
            let (kept, right) = (kept as f64, right as f64);
            found = Some(Abstention { below, kept: kept / answers.len() as f64, accuracy: right / kept });
        }
    }
    found
}
