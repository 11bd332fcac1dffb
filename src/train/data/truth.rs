//! What images show.
//!
//! Every image carries one number, its class. Where an image may have any number of labels, or values, the number is a
//! row in a table of truths instead.

use std::sync::Arc;

use ndarray::ArrayViewMut1;

use super::minibatch::TargetOptions;
use crate::graph::training::Loss;
use crate::pack::ProblemType;

/// The meaning of images' classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Truths {
    /// The class itself.
    #[default]
    Classes,
    /// A row of 1 for each label that applies and 0 for the others.
    Labels(Arc<[Vec<f32>]>),
    /// A row of values.
    Values(Arc<Values>),
}

/// Values of images, and how a model in training sees them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// The values, in their own units.
    pub rows: Vec<Vec<f32>>,
    /// For each value the unit in which it is trained.
    pub scales: Vec<Scale>,
}

/// A unit of a value: it is trained as `(value − mean) / deviation`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The value that is trained as 0.
    pub mean: f64,
    /// How far from it lies what is trained as 1.
    pub deviation: f64,
}

impl Scale {
    /// A value as it is.
    pub const NONE: Self = Self { mean: 0.0, deviation: 1.0 };

    /// A value as it is trained.
    pub fn to_trained(self, value: f32) -> f32 {
        ((f64::from(value) - self.mean) / self.deviation) as f32
    }

    /// An output of a model in training, in the value's own unit.
    pub fn to_own(self, output: f32) -> f32 {
        (f64::from(output) * self.deviation + self.mean) as f32
    }
}

impl Truths {
    /// What outputs mean.
    pub fn problem(&self) -> ProblemType {
        match self {
            Self::Classes => ProblemType::SingleLabelClassification,
            Self::Labels(_) => ProblemType::MultiLabelClassification,
            Self::Values(_) => ProblemType::Regression,
        }
    }

    /// What a training makes small.
    pub fn loss(&self) -> Loss {
        match self {
            Self::Classes => Loss::CrossEntropy,
            Self::Labels(_) => Loss::BinaryCrossEntropy,
            Self::Values(_) => Loss::SquaredError,
        }
    }

    /// The row of a class; empty where the class says all.
    pub fn row(&self, class: usize) -> &[f32] {
        let rows = match self {
            Self::Classes => return &[],
            Self::Labels(rows) => rows.get(class),
            Self::Values(values) => values.rows.get(class),
        };
        rows.map_or(&[], Vec::as_slice)
    }

    /// Targets of rows of these classes, `[B, C]`, as they are trained. Only classes are smoothed.
    pub fn targets(&self, classes: &[usize], options: TargetOptions) -> Vec<f32> {
        match self {
            Self::Classes => options.of(classes),
            _ => classes.iter().flat_map(|&class| self.trained(class)).collect(),
        }
    }

    /// The row of a class as it is trained.
    fn trained(&self, class: usize) -> impl Iterator<Item = f32> {
        let scales: &[Scale] = match self {
            Self::Values(values) => &values.scales,
            _ => &[],
        };
        let scale = |index: usize| scales.get(index).copied().unwrap_or(Scale::NONE);
        self.row(class).iter().enumerate().map(move |(index, &value)| scale(index).to_trained(value))
    }

    /// Loss of one image: cross-entropy, or the mean over labels or values.
    pub fn loss_of(&self, class: usize, logits: &[f32]) -> f64 {
        let mean = |each: &dyn Fn(f32, f32) -> f64| {
            let sum: f64 = self.trained(class).zip(logits).map(|(t, &x)| each(t, x)).sum();
            sum / logits.len().max(1) as f64
        };
        match self {
            Self::Classes => cross_entropy(logits, class),
            Self::Labels(_) => mean(&|t, x| softplus(x) - f64::from(t) * f64::from(x)),
            Self::Values(_) => mean(&|t, x| (f64::from(x) - f64::from(t)).powi(2)),
        }
    }

    /// Turns the logits of one image into the slope of its loss.
    pub fn slope(&self, class: usize, mut logits: ArrayViewMut1<'_, f32>) {
        let share = 1.0 / logits.len().max(1) as f32;
        match self {
            Self::Classes => {
                softmax(&mut logits);
                logits[class] -= 1.0;
            }
            Self::Labels(_) => {
                let both = self.trained(class).zip(logits.iter_mut());
                both.for_each(|(t, x)| *x = share * (logistic(*x) - t));
            }
            Self::Values(_) => {
                let both = self.trained(class).zip(logits.iter_mut());
                both.for_each(|(t, x)| *x = 2.0 * share * (*x - t));
            }
        }
    }

    /// The outputs that fit images of these classes best where they are the same for all: log frequencies of classes, log odds
    /// of labels, means of values as they are trained. There the slopes sum to zero. What all images show, or none, counts as
    /// if half an image did otherwise, so that no output is infinite.
    pub fn same_for_all(&self, classes: &[usize], outputs: usize) -> Vec<f32> {
        let all = classes.len().max(1) as f64;
        let mut means = vec![0.0; outputs];
        for &class in classes {
            match self {
                Self::Classes => means[class] += 1.0 / all,
                _ => means
                    .iter_mut()
                    .zip(self.trained(class))
                    .for_each(|(mean, t)| *mean += f64::from(t) / all),
            }
        }
        let half = 0.5 / all;
        let output = |mean: f64| match self {
            Self::Classes => mean.max(half).ln(),
            Self::Labels(_) => {
                let rate = mean.clamp(half, 1.0 - half);
                (rate / (1.0 - rate)).ln()
            }
            Self::Values(_) => mean,
        };
        means.into_iter().map(|mean| output(mean) as f32).collect()
    }

    /// How each value is trained; empty where there are none.
    pub fn scales(&self) -> &[Scale] {
        match self {
            Self::Values(values) => &values.scales,
            _ => &[],
        }
    }

    /// The same truths for a model that gives values in their own units, as a pack does.
    pub fn in_own_units(&self) -> Self {
        match self {
            Self::Values(values) => {
                let scales = vec![Scale::NONE; values.scales.len()];
                Self::Values(Arc::new(Values { rows: values.rows.clone(), scales }))
            }
            other => other.clone(),
        }
    }

    /// How many of the images of `classes` show each of `outputs`: the class, the label, or the value, which all show.
    pub fn counts(&self, classes: &[usize], outputs: usize) -> Vec<usize> {
        let mut counts = vec![0; outputs];
        for &class in classes {
            match self {
                Self::Classes => counts[class] += 1,
                Self::Labels(_) => {
                    counts.iter_mut().zip(self.row(class)).for_each(|(n, &t)| *n += usize::from(t > 0.5));
                }
                Self::Values(_) => counts.iter_mut().for_each(|n| *n += 1),
            }
        }
        counts
    }

    /// The table as bytes, for an identity; none where the class says all.
    pub fn bytes(&self) -> Vec<u8> {
        let rows: &[Vec<f32>] = match self {
            Self::Classes => &[],
            Self::Labels(rows) => rows,
            Self::Values(values) => &values.rows,
        };
        rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// The class with the largest logit, the first of equals.
pub fn likeliest(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)))
}

/// `log Σ exp(logits) − logits[class]`, nats.
pub fn cross_entropy(logits: &[f32], class: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    sum.ln() + f64::from(largest - logits[class])
}

/// Probabilities of logits, in place.
fn softmax(logits: &mut ArrayViewMut1<'_, f32>) {
    let largest = logits.fold(f32::NEG_INFINITY, |most, &x| most.max(x));
    logits.mapv_inplace(|x| (x - largest).exp());
    let sum = logits.sum();
    *logits /= sum;
}

/// `1 / (1 + exp(−x))`.
pub fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `log(1 + exp(x))`, which does not overflow.
fn softplus(x: f32) -> f64 {
    let x = f64::from(x);
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;

    #[test]
    fn slopes_at_outputs_that_are_the_same_for_all_sum_to_zero() {
        let rows = vec![vec![1.0, 0.0, 1.0], vec![0.0, 0.0, 1.0], vec![0.0, 1.0, 0.0]];
        let scales = vec![Scale { mean: 0.3, deviation: 2.0 }; 3];
        let values = Values { rows: rows.clone(), scales };
        let classes = [0, 1, 1, 1, 1, 2, 0, 1, 1, 1];
        for truths in [Truths::Classes, Truths::Labels(rows.into()), Truths::Values(values.into())] {
            let outputs = Array1::from(truths.same_for_all(&classes, 3));
            let mut sum = Array1::<f32>::zeros(3);
            for class in classes {
                let mut slope = outputs.clone();
                truths.slope(class, slope.view_mut());
                sum += &slope;
            }
            assert!(sum.iter().all(|sum| sum.abs() < 1e-5), "{truths:?}: {sum}");
        }
        let never = Truths::Classes.same_for_all(&classes, 4);
        assert!((never[3] - 0.05f32.ln()).abs() < 1e-6, "{never:?}");
    }
}
