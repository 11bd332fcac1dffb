//! A module's tensors in room for a wider module. Pure.

use crate::backbone::Part;
use crate::pack::Weights;

/// What is added to the score of a key that a row has.
pub(super) const SEEN: f32 = 0.0;

/// Copies a tensor to where there is room for `widest` neurons and every element is neutral. The padding is exact: a padded
/// neuron adds `act(0) · 0 = 0`, a padded key counts for nothing.
pub(super) fn pad_into(slot: &mut [f32], weights: &Weights, part: Part, widest: usize) {
    let values = weights.part(part);
    match part {
        // [D_in, R]: each row of R values begins a row of `widest`.
        Part::Down => {
            let rows = slot.chunks_exact_mut(widest.max(1)).zip(values.chunks_exact(weights.width.max(1)));
            rows.for_each(|(to, from)| to[..from.len()].copy_from_slice(from));
        }
        Part::Mask => slot[..weights.width].fill(SEEN),
        // The values come first, the rest stays neutral.
        _ => slot[..values.len()].copy_from_slice(values),
    }
}
