//! A head on the features of several depths: no block is changed, so that all such tasks share one pass over an image.
//!
//! [`options`] says what it reads, [`train`] fits it, [`lasso`] drops depths.

pub(in crate::train) mod lasso;
pub(in crate::train) mod options;
mod train;
