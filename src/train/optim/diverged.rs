//! A training whose numbers grew without bound.

/// The loss, or a weight, is no longer finite. A lower learning rate may help.
#[derive(Debug, thiserror::Error)]
#[error("the loss is {0}: the learning rate is too high")]
pub struct Diverged(pub f64);
