//! Names of what programs read and write.

/// Input of a program that begins at the first block, `[B, 3, S, S]`.
pub const PIXELS: &str = "pixels";
/// Input of a program that begins later, `[B, N, D]` as the block before left it.
pub const HIDDEN: &str = "hidden";
/// Output of a program that ends before the last block, `[B, N, D]`.
pub const HIDDEN_OUT: &str = "hidden_out";
/// Output of a program that ends at the last block, `[B, D]`.
pub const FEATURES: &str = "features";
