//! `report.html`: how a pack came to be, on one page that needs nothing else. One figure a file.
//!
//! The [`page`] is a pure function of a [`story`], which [`compose`] gathers. It has no script and no link; every text that comes from outside is
//! escaped.

pub(in crate::train) mod compose;
mod confusion;
mod cost;
mod curves;
mod data;
mod hardest;
pub(in crate::train) mod html;
mod origin;
mod outputs;
pub(in crate::train) mod page;
pub(in crate::train) mod story;
mod summary;
mod survivors;
