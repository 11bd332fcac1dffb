//! Measures models and packs.
//!
//! A [`scorer`] sums up answers, by [`ranking`] labels or the [`error`] of values; [`abstain`] says how sure an answer
//! must be. [`predict`] gives logits as the server will, [`examine`] sums them up image by image, and [`final_test`] measures
//! images that were kept for the end. [`evaluate`] measures a pack through the engine that serves it; by that a [`gate`]
//! decides what is published. [`self_test`] stores inputs and answers in a pack.

pub(in crate::train) mod abstain;
pub(in crate::train) mod error;
pub(in crate::train) mod evaluate;
pub(in crate::train) mod examine;
pub(in crate::train) mod final_test;
pub(in crate::train) mod gate;
pub(in crate::train) mod judged;
pub(in crate::train) mod predict;
pub(in crate::train) mod ranking;
pub(in crate::train) mod scorer;
pub(in crate::train) mod self_test;
