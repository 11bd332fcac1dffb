//! Sums over the weights of each neuron.

/// Matrices by neuron: `down [D, R]`, `up [R, D]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrices<'a, T = f32> {
    /// `[D, R]`.
    pub down: &'a [T],
    /// `[R, D]`.
    pub up: &'a [T],
    /// R.
    pub width: usize,
}

/// Σ of `value` over each neuron's row of `down`, and over its column of `up`.
fn sums<T: Copy>(m: &Matrices<'_, T>, value: impl Fn(T) -> f64) -> [Vec<f64>; 2] {
    let mut down = vec![0.0; m.width];
    for row in m.down.chunks(m.width.max(1)) {
        down.iter_mut().zip(row).for_each(|(sum, w)| *sum += value(*w));
    }
    let up = m.up.chunks((m.up.len() / m.width.max(1)).max(1));
    [down, up.map(|row| row.iter().map(|w| value(*w)).sum()).collect()]
}

fn together([down, up]: [Vec<f64>; 2], join: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    down.into_iter().zip(up).map(|(down, up)| join(down, up)).collect()
}

/// Σ|down| of each neuron.
pub fn down_magnitude(m: &Matrices<'_>) -> Vec<f64> {
    let [down, _] = sums(m, |w| f64::from(w.abs()));
    down
}

/// Σ|down| + Σ|up| of each neuron.
pub fn magnitude(m: &Matrices<'_>) -> Vec<f64> {
    together(sums(m, |w| f64::from(w.abs())), |down, up| down + up)
}

/// ‖down‖ · ‖up‖ of each neuron.
pub fn product(m: &Matrices<'_>) -> Vec<f64> {
    together(sums(m, |w| f64::from(w).powi(2)), |down, up| down.sqrt() * up.sqrt())
}

/// ‖up‖ of each neuron.
pub fn up_norm(m: &Matrices<'_>) -> Vec<f64> {
    let [_, up] = sums(m, |w| f64::from(w).powi(2));
    up.into_iter().map(f64::sqrt).collect()
}

/// |Σ w g| of each neuron, over all of its weights.
pub fn taylor(weights: &Matrices<'_>, gradients: &Matrices<'_>) -> Vec<f64> {
    let products = |w: &[f32], g: &[f32]| {
        w.iter().zip(g).map(|(w, g)| f64::from(*w) * f64::from(*g)).collect::<Vec<_>>()
    };
    let (down, up) = (products(weights.down, gradients.down), products(weights.up, gradients.up));
    total(&Matrices { down: &down, up: &up, width: weights.width }).into_iter().map(f64::abs).collect()
}

/// The sum of a score over each neuron's weights.
pub fn total(m: &Matrices<'_, f64>) -> Vec<f64> {
    together(sums(m, |score| score), |down, up| down + up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neuron_is_scored_by_its_row_and_column() {
        // D = 3, R = 2: neuron 0 has down (1, −2, 3) and up (1, 1, −1); neuron 1 the rest.
        let down = [1.0, 0.5, -2.0, 0.0, 3.0, 0.0];
        let up = [1.0, 1.0, -1.0, 0.0, 0.25, 0.0];
        let m = Matrices { down: &down, up: &up, width: 2 };
        assert_eq!(magnitude(&m), [9.0, 0.75]);
        assert_eq!(down_magnitude(&m), [6.0, 0.5]);
        assert_eq!(up_norm(&m)[1], 0.25);
        assert_eq!(product(&m)[1], 0.125);
        // Σ w g with g = w is the sum of squares, whatever the signs.
        assert_eq!(taylor(&m, &m), [17.0, 0.3125]);
    }
}
