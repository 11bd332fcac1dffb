//! Statistics of paired differences. Each function is checked against SciPy's or statsmodels' numbers
//! (`tests/it/statistics.rs`).

mod bootstrap;
mod holm;
mod mcnemar;
mod pairs;
mod sign_flip;
mod wilcoxon;

pub use bootstrap::{Interval, bootstrap};
pub use holm::holm;
pub use mcnemar::{discordant, mcnemar};
pub use pairs::Pairs;
pub use sign_flip::sign_flip;
pub use wilcoxon::wilcoxon;
