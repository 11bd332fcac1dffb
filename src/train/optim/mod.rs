//! From gradients to new values.
//!
//! [`parts`] run a training graph on a minibatch, a [`step`] does so with a model's parameters. [`clip`] bounds the norm of the
//! [`gradients`], and [`adamw`] updates each parameter at the rate that [`schedule`] gives. A [`device_step`] does all of it on the
//! device, on what is trained as one vector ([`flat_step`]); [`steps`] are either. What a method does [`around`] a step is
//! the same for both: a [`mask`] holds elements at zero, weights are rounded, and gates pay by a [`proximal`] step. [`epoch`] makes the steps of one pass over the images.

pub(in crate::train) mod adamw;
pub(in crate::train) mod around;
pub(in crate::train) mod clip;
pub(in crate::train) mod device_step;
pub(in crate::train) mod diverged;
pub(in crate::train) mod epoch;
pub(in crate::train) mod flat_step;
pub(in crate::train) mod gradients;
pub(in crate::train) mod learner;
pub(in crate::train) mod mask;
pub(in crate::train) mod parts;
pub(in crate::train) mod paths;
pub(in crate::train) mod proximal;
pub(in crate::train) mod recipe;
pub(in crate::train) mod schedule;
pub(in crate::train) mod step;
pub(in crate::train) mod steps;
