//! What a method does to parameters around a step, wherever their state lies.

use super::mask::Masks;
use super::proximal::Proximal;
use crate::pack::StoredBits;

/// What a method does to parameters around a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Around {
    /// Elements that are held at zero.
    pub masks: Masks,
    /// Bits a weight that every step rounds to. Gradients are those at the rounded weights and go straight through to the others
    /// (Bengio et al. 2013).
    pub bits: StoredBits,
    /// What gates pay after it.
    pub proximal: Option<Proximal>,
}
