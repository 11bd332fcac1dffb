//! Clipping of the global gradient norm (Pascanu et al. 2013).

/// Added to the norm before dividing, as in `torch.nn.utils.clip_grad_norm_`.
const STEADY: f32 = 1e-6;

/// Scales all gradients together so that their norm is at most `limit`; returns the norm before.
///
/// ```text
/// g ← g · min(1, limit / (‖g‖₂ + 1e-6))
/// ```
pub fn clip(gradients: &mut [&mut [f32]], limit: f64) -> f32 {
    let squares = gradients.iter().flat_map(|gradient| gradient.iter()).map(|&g| f64::from(g) * f64::from(g));
    let norm = squares.sum::<f64>().sqrt() as f32;
    let scale = limit as f32 / (norm + STEADY);
    if scale < 1.0 {
        gradients.iter_mut().flat_map(|gradient| gradient.iter_mut()).for_each(|g| *g *= scale);
    }
    norm
}
