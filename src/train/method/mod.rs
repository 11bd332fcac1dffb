//! Training methods, one file or folder each.
//!
//! What is trained beside the backbone is an [`Adaptation`](crate::adaptation::Adaptation), one file each. Another course of
//! training implements [`TrainingMethod`] and adds a variant to [`Method`]. No other code distinguishes methods:
//! [`task`](super::task) drives them all. Fine-tuning of the backbone itself ([`finetune`]) gives no pack, and takes part in
//! comparisons only.

pub(in crate::train) mod depth_head;
pub(in crate::train) mod finetune;
pub(in crate::train) mod linear;
pub(in crate::train) mod mimi;
mod recipe_file;
pub(in crate::train) mod training_method;

use depth_head::options::DepthHeadOptions;
use linear::LinearOptions;
use mimi::options::MimiOptions;
use training_method::TrainingMethod;

/// How a task is trained.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one in a training")]
pub enum Method {
    /// A head on frozen features, no adapters.
    Linear(LinearOptions),
    /// A head on frozen features of several depths.
    DepthHead(DepthHeadOptions),
    /// Modules of an adaptation, pruned in cycles or, without a target, trained as they are.
    Mimi(MimiOptions),
}

impl Method {
    /// The implementation.
    pub(in crate::train) fn get(&self) -> &dyn TrainingMethod {
        match self {
            Self::Linear(linear) => linear,
            Self::DepthHead(depths) => depths,
            Self::Mimi(mimi) => mimi,
        }
    }
}
