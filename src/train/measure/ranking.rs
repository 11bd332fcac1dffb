//! How well scores tell images with a label from those without.

/// One image under one label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Probability that the label applies.
    pub score: f32,
    /// Whether it does.
    pub applies: bool,
}

/// What a threshold gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Images with the label at or above the threshold.
    pub hits: usize,
    /// Images without it there.
    pub alarms: usize,
    /// Images with it below.
    pub misses: usize,
}

impl Counts {
    /// What `threshold` gives.
    pub fn at(threshold: f32, images: &[Ranked]) -> Self {
        let mut counts = Self::default();
        for image in images {
            match (image.score >= threshold, image.applies) {
                (true, true) => counts.hits += 1,
                (true, false) => counts.alarms += 1,
                (false, true) => counts.misses += 1,
                (false, false) => {}
            }
        }
        counts
    }

    /// Share of the images at or above the threshold that have the label; 0 of none.
    pub fn precision(&self) -> f64 {
        share(self.hits, self.hits + self.alarms)
    }

    /// Share of the images with the label that are at or above the threshold; 0 of none.
    pub fn recall(&self) -> f64 {
        share(self.hits, self.hits + self.misses)
    }

    /// Harmonic mean of precision and recall: `2 hits / (2 hits + alarms + misses)`.
    pub fn f1(&self) -> f64 {
        share(2 * self.hits, 2 * self.hits + self.alarms + self.misses)
    }
}

/// `Σ (recallₙ − recallₙ₋₁) precisionₙ` from the highest score down, equal scores together; none without the label.
pub fn average_precision(images: &[Ranked]) -> Option<f64> {
    let all = images.iter().filter(|image| image.applies).count();
    let mut sum = 0.0;
    let mut before = 0;
    each_cut(images, |hits, taken, _| {
        sum += (hits - before) as f64 / all as f64 * share(hits, taken);
        before = hits;
    });
    (all > 0).then_some(sum)
}

/// The threshold of the highest F1, midway between the scores that it parts so that rounding moves no image over it; of
/// equals the highest. None without the label.
pub fn best_threshold(images: &[Ranked]) -> Option<f32> {
    let all = images.iter().filter(|image| image.applies).count();
    let (mut best, mut threshold) = (0.0, None);
    each_cut(images, |hits, taken, cut| {
        let f1 = share(2 * hits, taken + all);
        if f1 > best {
            (best, threshold) = (f1, Some(cut));
        }
    });
    threshold
}

/// Calls `hear` for each number of images that a threshold can take, from few to all: with those among them that have
/// the label, their number, and the threshold.
fn each_cut(images: &[Ranked], mut hear: impl FnMut(usize, usize, f32)) {
    let mut sorted = images.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut hits = 0;
    for (index, image) in sorted.iter().enumerate() {
        hits += usize::from(image.applies);
        let next = sorted.get(index + 1).map(|next| next.score);
        if next != Some(image.score) {
            hear(hits, index + 1, middle(image.score, next.unwrap_or(0.0)));
        }
    }
}

/// Between two scores, above the lower and never above the higher one: rounding moves neither over it.
pub fn middle(above: f32, below: f32) -> f32 {
    let middle = (above + below) / 2.0;
    if middle > below { middle.min(above) } else { above }
}

fn share(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}
