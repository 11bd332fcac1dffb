//! Other checkpoints.
