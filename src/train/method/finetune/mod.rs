//! Fine-tuning: the backbone's own weights are trained, all of them or those of attention or of the MLPs.
//!
//! What comes out shares no backbone with other tasks, so no pack is made of it; comparisons train it as what adapters
//! are measured by. [`options`] say how and [`subset`] which weights; [`tuned`] holds them with the head, Swin's relative
//! positions as [`tables`]; [`tuner`] makes steps and measures, [`device_tuner`]
//! keeps their state on the device, [`memory`] says beforehand what that takes, and [`run`]
//! ties them together.

pub(in crate::train) mod device_tuner;
mod memory;
pub(in crate::train) mod options;
pub(in crate::train) mod run;
pub(in crate::train) mod subset;
mod tables;
pub(in crate::train) mod tuned;
pub(in crate::train) mod tuner;
