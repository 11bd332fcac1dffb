//! AdamW (Loshchilov and Hutter 2019), in PyTorch's order of operations.
//!
//! ```text
//! θ ← θ − η λ θ
//! m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
//! θ ← θ − η (m / (1 − β₁ᵗ)) / (√v / √(1 − β₂ᵗ) + ε)
//! ```

pub use crate::graph::update::AdamWOptions;

/// Moments of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    options: AdamWOptions,
    mean: Vec<f32>,
    square: Vec<f32>,
    steps: i32,
}

impl AdamW {
    /// Starts with zero moments for a tensor of `len` elements.
    pub fn new(len: usize, options: AdamWOptions) -> Self {
        Self { options, mean: vec![0.0; len], square: vec![0.0; len], steps: 0 }
    }

    /// Continues with moments from [`AdamW::moments`] and PyTorch's default settings.
    pub fn restore(mean: Vec<f32>, square: Vec<f32>, steps: i32) -> Self {
        Self { options: AdamWOptions::default(), mean, square, steps }
    }

    /// Means of gradients, means of squared gradients, steps made.
    pub fn moments(&self) -> (&[f32], &[f32], i32) {
        (&self.mean, &self.square, self.steps)
    }

    /// What each element's step is divided by: `√v / √(1 − β₂ᵗ) + ε`.
    pub fn denominators(&self) -> impl Iterator<Item = f64> {
        let [_, correction] = self.options.corrections(self.steps.max(1));
        self.square.iter().map(move |v| f64::from(v.sqrt()) / correction + self.options.epsilon)
    }

    /// Keeps the moments of the elements at `indices`; the number of steps stays, as the elements have made
    /// them.
    pub fn keep(&mut self, indices: &[usize]) {
        self.mean = indices.iter().map(|&i| self.mean[i]).collect();
        self.square = indices.iter().map(|&i| self.square[i]).collect();
    }

    /// The moments of gradients that are each multiplied by its factor; zero where one is not finite.
    pub fn scaled(&self, factor: impl Fn(usize) -> f32) -> Self {
        let of = |index| {
            let factor = factor(index);
            let (mean, square) = (self.mean[index] * factor, self.square[index] * factor * factor);
            if mean.is_finite() && square.is_finite() { (mean, square) } else { (0.0, 0.0) }
        };
        let (mean, square) = (0..self.mean.len()).map(of).unzip();
        Self { options: self.options, mean, square, steps: self.steps }
    }

    /// One step at learning rate `rate` (η) with weight decay `decay` (λ).
    ///
    /// # Shapes
    /// `parameters` and `gradient` have the tensor's length.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f64, decay: f64) {
        let AdamWOptions { beta1, beta2, epsilon } = self.options;
        self.steps += 1;
        let [correction1, correction2] = self.options.corrections(self.steps);
        let (keep, size) = ((1.0 - rate * decay) as f32, (rate / correction1) as f32);
        let (b1, b2) = (beta1 as f32, beta2 as f32);
        let (fresh1, fresh2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((parameter, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = b1 * *m + fresh1 * g;
            *v = b2 * *v + fresh2 * g * g;
            let denominator = v.sqrt() / correction2 as f32 + epsilon as f32;
            *parameter = *parameter * keep - size * *m / denominator;
        }
    }
}
