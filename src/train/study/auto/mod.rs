//! The best method for a task within a time, found on its training images alone.
//!
//! Successive halving (Jamieson and Talwalkar 2016): every [`Candidate`] is trained for a few epochs on a part of the training
//! images and measured on the rest; a third goes on to three times as many epochs, until three or fewer are left. A head alone
//! is the safety net. The winner is trained on all training images by [`train`](crate::train::train), as an ordinary command
//! would.
//!
//! `plan` and `choice` decide, and are functions of values. `search` does what they say, `timing` and `watch` tell how long it takes,
//! `field` trains and measures one candidate, `state` remembers what was measured, and `identity`
//! of what; `winner` decides, `finish` trains the winner, `told` and `report` tell.

mod asked;
mod choice;
mod field;
mod finish;
mod found;
mod identity;
mod plan;
mod report;
mod search;
mod split;
mod state;
mod timing;
mod told;
mod watch;
mod winner;

pub use asked::{AutoOptions, Candidate, Limit, Prefer};
pub use choice::{Choice, Standing, choose, dropped, order};
pub use finish::{Automatic, auto};
pub use found::{Absent, Against, Found, Tried};
pub use plan::{KEPT, Pace, Rung, Schedule, Terms, rungs, schedule, seconds};
pub use report::{document, markdown};
pub use split::apart;
pub use state::Written;
