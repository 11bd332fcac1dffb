//! Studies of training itself.
//!
//! [`compare_methods`] trains every method on every set of images: [`Entrant`]s meet in an `arena`, a `ledger` keeps
//! their [`Run`]s. [`compare()`] sets MiMi against its own ablations: a `contender` is a way to train, `results` keeps what the runs
//! gave, and `summary` and `plot` present it. [`study()`] runs a [`Protocol`] by [`compare_methods`]; `effects` and `statistics`
//! judge what it gave, `findings` and `forest` present it. [`auto`] chooses a method for one task within a time. `speed` times
//! steps without data.

mod adjust;
mod arena;
mod arms;
mod asked;
pub mod auto;
pub(in crate::train) mod compare;
mod conduct;
pub(in crate::train) mod contender;
mod effects;
mod entrant;
mod findings;
mod forest;
mod ledger;
mod machine;
mod methods;
mod own;
pub(in crate::train) mod plot;
mod price;
mod protocol;
mod published;
pub(in crate::train) mod results;
mod run;
mod scatter;
mod settings;
pub(in crate::train) mod speed;
mod standings;
pub mod statistics;
mod stop;
pub(in crate::train) mod summary;
mod table;
mod training;
mod tuning;

pub use arena::ImageSet;
pub use asked::{Budget, MethodsOptions, Turn};
pub use compare::{CompareOptions, compare};
pub use conduct::{Studied, StudyOptions, runs, study};
pub use contender::Contender;
pub use effects::{Effect, Gained, Verdict, effects};
pub use entrant::{Entrant, Terms};
pub use findings::findings;
pub use forest::forest;
pub use ledger::Ledger;
pub use machine::Machine;
pub use methods::{Compared, compare_methods};
pub use plot::plot;
pub use protocol::{Arm, Comparison, Measured, Protocol, SetTerms, Stop};
pub use results::{Point, Results};
pub use run::{Cost, Figures, Plan, Purpose, Run};
pub use scatter::{Against, scatter};
pub use settings::{Grid, Settings};
pub use speed::{SpeedOptions, step_seconds};
pub use standings::{Standing, Standings, standings};
pub use summary::{Gain, Line, Summary, summarise};
pub use table::table;
pub use training::Training;
