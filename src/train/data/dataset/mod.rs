//! Labelled images: found, divided and checked.
//!
//! In reading order: [`tree`] walks a folder and tells images from everything else by content. [`layout`] says what its
//! folders stand for, and [`folders`] lists it so. [`csv`] reads a list in some [`text`], by its [`header`]. [`left_out`]
//! keeps what is no image of either, with the reason. A [`listing`] holds the entries of both, [`names`] looks at the
//! classes' names. A [`partition`] divides it into what is trained on and what is not, as its [`origin`] says; [`leaks`]
//! looks for images on both sides.

pub(in crate::train) mod classes;
pub(in crate::train) mod csv;
mod entry;
mod folders;
mod header;
pub(in crate::train) mod image;
pub(in crate::train) mod layout;
mod leaks;
pub(in crate::train) mod left_out;
mod listing;
mod names;
pub(in crate::train) mod origin;
pub(in crate::train) mod partition;
pub(in crate::train) mod text;
mod tree;
pub(in crate::train) mod walk;
