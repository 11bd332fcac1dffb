//! The offline trainer: a folder of labelled images in, a pack out.
//!
//! Training runs through `ort` on the stock library: a step is an ordinary graph
//! ([`graph::training`](crate::graph::training)), the optimiser is here. (ONNX Runtime's own training packages
//! ended with 1.19.2, so its training API cannot be used.)
//!
//! In reading order: `task` is the way from a folder to a pack; `dataset` finds, divides and checks images; `load` gets
//! them, within the bound of `memory`; a file is read as a `picture`; `prefix` runs frozen blocks over them once (`values` keeps the rows, `features`
//! keeps them for further tasks); `linear` fits a head alone. `cycle` is MiMi, told by `options`, going from `state` to
//! `state`: an `epoch` takes batches from a `source` (kept rows, or images that `augment` changes) and makes a `step` of
//! each (`clip`, `adamw`, `schedule`); then come `score` and `prune`. `model` and `init` hold what is trained,
//! `checkpoint` keeps it on disk, `predict` measures it as the server will, `tested` on what was kept for the end;
//! `progress` tells of it; `examine`, `record` and `report` make the page beside the pack; `evaluate` measures a pack
//! through the server's own engine, `gate` decides by it what is published; `compare` sets ways of training against each
//! other. An error is `told` with each cause once.

mod adamw;
mod augment;
mod checkpoint;
mod clip;
pub mod compare;
mod cycle;
mod dataset;
mod epoch;
mod evaluate;
mod examine;
mod features;
mod gate;
mod init;
mod linear;
mod load;
mod making;
mod memory;
mod model;
mod options;

mod picture;
mod predict;
mod prefix;
mod progress;
mod prune;
mod record;
mod report;
mod resident;
mod schedule;
mod score;
mod self_test;
mod source;
mod speed;
mod state;
mod step;
mod task;
mod tested;
mod values;

pub use adamw::{AdamW, AdamWOptions};
pub use augment::AugmentOptions;
pub use clip::clip;
pub use cycle::Trainer;
pub use dataset::{
    Dataset, Image, Layout, LeftOut, Origin, Partition, Reason, Split, Walk, by_reason, parse_list,
    read_text, summary, write_list,
};
pub use evaluate::{Evaluation, evaluate, evaluate_alone};
pub use examine::{Examination, Verdict, examine};
pub use features::Features;
pub use gate::Gate;
pub use init::Init;
pub use linear::{LinearOptions, fit};
pub use memory::{Fit, Images};
pub use model::{Adapter, Model, Parameter};
pub use options::{MimiOptions, Target, Widths};
pub use predict::{Measure, Predictor};
pub use prefix::{Prefix, Rows};
pub use progress::{Cycle, Epoch, Observer, Progress, Step};
pub use prune::{Selection, prunings, select, survivors};
pub use report::{DataStory, REPORT_FILE, Story, page};
pub use resident::Resident;
pub use schedule::{Schedule, cosine_with_warmup};
pub use score::{Normaliser, Score, Scores};
pub use source::{Batch, Chance, Changing, Source, TargetOptions};
pub use speed::{SpeedOptions, step_seconds};
pub use state::State;
pub use step::{Gradients, Seen, StepOptions, Stepper};
pub use task::{Method, Report, TaskOptions, train};
pub use values::Values;
