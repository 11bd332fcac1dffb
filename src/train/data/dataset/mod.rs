//! Labelled images: found, divided and checked.
//!
//! In reading order: [`tree`] walks a folder and detects images by content. [`layout`] finds out what its folders mean,
//! and [`folders`] lists them. [`csv`] reads a list in some [`text`], by its [`header`]. [`left_out`] records skipped
//! files, with the reason. A [`listing`] holds the entries of both, [`names`] looks at the classes' names, and
//! [`meaning`] reads labels as classes, as any number of labels or as values. A [`partition`] divides it into training,
//! held-out and test images, as its [`origin`] says. [`leaks`] looks for images on both sides.

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
mod meaning;
mod names;
pub(in crate::train) mod origin;
pub(in crate::train) mod partition;
pub(in crate::train) mod text;
pub(in crate::train) mod tree;
pub(in crate::train) mod walk;
