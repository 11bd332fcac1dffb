//! Statistics of paired differences. Each function is checked against SciPy's numbers (`tests/it/statistics.rs`).

mod bootstrap;
mod holm;
mod pairs;
mod sign_flip;
mod wilcoxon;

pub use bootstrap::{Interval, bootstrap};
pub use holm::holm;
pub use pairs::Pairs;
pub use sign_flip::sign_flip;
pub use wilcoxon::wilcoxon;
