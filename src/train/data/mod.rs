//! From files to minibatches.
//!
//! [`dataset`] finds labelled images and divides them; [`picture`] reads one. [`prefix`] runs frozen blocks over images
//! once and gives [`rows`], which a [`row_store`] keeps in memory or in a file and [`features`] keeps for further
//! trainings. [`changing`] images are decoded and changed by [`augment`] at every epoch instead; of [`varied`] ones a
//! number of changed variants went through the frozen blocks, and a [`half_store`] keeps them. A [`source`] is one of
//! the three, and gives a [`minibatch`] by [`chance`]; a head may read some [`columns`] of a row. [`truth`] says what images show. [`load`] makes the sources of a training.

pub(in crate::train) mod augment;
pub(in crate::train) mod chance;
pub(in crate::train) mod changing;
pub(in crate::train) mod columns;
pub(in crate::train) mod dataset;
pub(in crate::train) mod features;
mod half_store;
pub(in crate::train) mod intake;
pub(in crate::train) mod load;
pub(in crate::train) mod minibatch;
pub(in crate::train) mod picture;
pub(in crate::train) mod prefix;
pub(in crate::train) mod row_store;
pub(in crate::train) mod rows;
pub(in crate::train) mod source;
pub(in crate::train) mod truth;
pub(in crate::train) mod varied;
