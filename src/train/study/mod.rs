//! Studies of training itself.
//!
//! [`compare()`] sets methods against each other: a `contender` is a way to train, `results` keeps what the runs gave, and
//! `summary` and `plot` present it. `speed` times steps without data.

pub(in crate::train) mod compare;
pub(in crate::train) mod contender;
pub(in crate::train) mod plot;
pub(in crate::train) mod results;
pub(in crate::train) mod speed;
pub(in crate::train) mod summary;

pub use compare::{CompareOptions, compare};
pub use contender::Contender;
pub use plot::plot;
pub use results::{Point, Results};
pub use speed::{SpeedOptions, step_seconds};
pub use summary::{Gain, Line, Summary, summarise};
