//! Numbers by chance.

use rand::{Rng, RngExt};

/// Uniform within `±1/√fan_in`: `torch.nn.Linear`'s default for weight and bias.
pub fn uniform(random: &mut impl Rng, count: usize, fan_in: usize) -> Vec<f32> {
    uniform_within(random, count, 1.0 / (fan_in.max(1) as f32).sqrt())
}

/// Uniform between the bound's negative and the bound; zeros for a bound of 0.
pub fn uniform_within(random: &mut impl Rng, count: usize, bound: f32) -> Vec<f32> {
    if bound <= 0.0 {
        return vec![0.0; count];
    }
    (0..count).map(|_| random.random_range(-bound..bound)).collect()
}

/// A standard normal number, drawn again until it lies within ±2.
pub fn truncated_normal(random: &mut impl Rng) -> f64 {
    loop {
        let drawn = normal(random);
        if drawn.abs() <= 2.0 {
            return drawn;
        }
    }
}

/// A standard normal number (Box and Muller 1958).
pub fn normal(random: &mut impl Rng) -> f64 {
    // 1 − u lies in (0, 1], so that the logarithm is finite.
    let (radius, angle): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}
