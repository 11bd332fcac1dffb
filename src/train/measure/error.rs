//! How far values are from the truth.

/// A value's errors over some images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// Mean absolute error, in the value's unit.
    pub mean_absolute: f64,
    /// Root of the mean squared error, in the value's unit.
    pub root_mean_square: f64,
    /// `1 − Σ (answer − truth)² / Σ (truth − mean truth)²`. Where the truth never varies: 1 if all is exact, else 0.
    pub r2: f64,
}

impl Errors {
    /// Of pairs of answer and truth.
    pub fn of(pairs: &[(f32, f32)]) -> Self {
        let count = pairs.len().max(1) as f64;
        let error = |&(answer, truth): &(f32, f32)| f64::from(answer) - f64::from(truth);
        let mean = pairs.iter().map(|pair| f64::from(pair.1)).sum::<f64>() / count;
        let squares: f64 = pairs.iter().map(|pair| error(pair).powi(2)).sum();
        let spread: f64 = pairs.iter().map(|pair| (f64::from(pair.1) - mean).powi(2)).sum();
        let r2 = match (spread > 0.0, squares > 0.0) {
            (true, _) => 1.0 - squares / spread,
            (false, exact) => f64::from(u8::from(!exact)),
        };
        let mean_absolute = pairs.iter().map(|pair| error(pair).abs()).sum::<f64>() / count;
        Self { mean_absolute, root_mean_square: (squares / count).sqrt(), r2 }
    }
}
