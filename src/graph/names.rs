//! Names of what programs read and write.

use crate::backbone::Site;

/// Input of a program that begins at the first block, `[B, 3, S, S]`.
pub const PIXELS: &str = "pixels";
/// Input of a program that begins later, `[B, N, D]` as the block before left it.
pub const HIDDEN: &str = "hidden";
/// Output of a program that ends before the last block, `[B, N, D]`.
pub const HIDDEN_OUT: &str = "hidden_out";
/// Output of a program that ends at the last block, `[B, D]`.
pub const FEATURES: &str = "features";

/// Name of the input that takes a site's down-projection, `[D, R]` or `[B, D, R]`.
pub fn down_input(site: Site) -> String {
    format!("{site}.adapter.down")
}

/// Name of the input that takes a site's up-projection, `[R, D]` or `[B, R, D]`.
pub fn up_input(site: Site) -> String {
    format!("{site}.adapter.up")
}
