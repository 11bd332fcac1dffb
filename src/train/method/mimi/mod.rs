//! MiMi: adapters, trained and pruned in turn (Marouf et al. 2024).
//!
//! [`options`] say how. A [`state`] begins at first widths and values; a [`cycle`] takes it from epoch to
//! epoch, and after the last epoch of a training [`score`] and [`prune`] choose the neurons that stay, whole early blocks first where [`front`] is asked for.
//! Rivals that prune before training do so in [`start`]. [`gates`] with a [`price`] by depth choose neurons in one training. A [`checkpoint`]
//! keeps the state on disk. [`room`] counts what a limit of parameters leaves. [`train`] ties them together.

pub(in crate::train) mod activity;
mod check;
pub(in crate::train) mod checkpoint;
pub(in crate::train) mod cycle;
pub(in crate::train) mod front;
pub(in crate::train) mod gates;
mod neuron;
pub(in crate::train) mod options;
pub(in crate::train) mod price;
pub(in crate::train) mod prune;
mod room;
pub(in crate::train) mod saliency;
pub(in crate::train) mod score;
mod start;
pub(in crate::train) mod state;
mod train;
