//! The offline trainer: a folder of labelled images in, a pack out.
//!
//! Training runs through `ort` on the stock library: a step is an ordinary graph
//! ([`graph::training`](crate::graph::training)), the optimiser is here. (ONNX Runtime's own training packages
//! ended with 1.19.2, so its training API cannot be used.)
//!
//! In reading order:
//!
//! | part | holds |
//! |---|---|
//! | `task`, `options`, `outcome` | from images to a pack: the steps, the options, the result |
//! | `data` | images: found, divided, decoded, changed, run through frozen blocks |
//! | `memory` | how a training keeps within a bound |
//! | `method` | ways to train, a file or folder each |
//! | `model`, `parameters`, `expression` | what is trained, by name, and what is served of it |
//! | `optim` | steps, gradients, updates |
//! | `measure` | accuracy as the server will have it, the gate, the self-test |
//! | `history`, `progress` | measurements and events of a running training |
//! | `fingerprint` | identity of checkpoints and results |
//! | `publish`, `report` | the pack in its folder, and the page beside it |
//! | `study` | methods compared, steps timed |

mod data;
mod expression;
mod fingerprint;
mod history;
mod measure;
mod memory;
mod method;
mod model;
mod optim;
mod options;
mod outcome;
mod parameters;
mod progress;
mod publish;
mod report;
mod setup;
pub mod study;
mod task;

pub use crate::adaptation::Chosen as Adaptation;
pub use crate::adaptation::Init;
pub use data::augment::options::AugmentOptions;
pub use data::dataset::classes::{Dataset, Measured, Split};
pub use data::dataset::csv::parse_list;
pub use data::dataset::image::Image;
pub use data::dataset::layout::FolderLayout;
pub use data::dataset::left_out::{LeftOut, Reason, by_reason, summary, write_list};
pub use data::dataset::origin::Origin;
pub use data::dataset::partition::Partition;
pub use data::dataset::text::read_text;
pub use data::dataset::tree::images as walk_images;
pub use data::dataset::walk::Walk;
pub use data::features::Features;
pub use data::minibatch::Minibatch;
pub use data::row_store::RowStore;
pub use data::truth::{Scale, Truths, Values};
pub use fingerprint::Fingerprint;
pub use history::{Cycle, Epoch, History, Place};
pub use measure::abstain::{Abstention, Confidence, calibrate};
pub use measure::error::Errors;
pub use measure::evaluate::{Evaluation, Labelled, evaluate, evaluate_alone, evaluate_labelled};
pub use measure::examine::{Examination, Verdict};
pub use measure::final_test::Tested;
pub use measure::gate::Gate;
pub use measure::judged::{Answers, Judged};
pub use measure::predict::Measure;
pub use measure::ranking::{Counts as Ranks, Ranked, average_precision, best_threshold};
pub use measure::scorer::Scorer;
pub use memory::{Fit, Images};
pub use method::Method;
pub use method::depth_head::options::DepthHeadOptions;
pub use method::finetune::device_tuner::DeviceTuner;
pub use method::finetune::options::FinetuneOptions;
pub use method::finetune::run::Finetuned;
pub use method::finetune::subset::Subset;
pub use method::finetune::tuned::Tuned;
pub use method::finetune::tuner::{StepInput, Tuner};
pub use method::linear::LinearOptions;
pub use method::mimi::activity::{Active, Activity, Observatory};
pub use method::mimi::front::SHARE;
pub use method::mimi::gates::Gating;
pub use method::mimi::options::{MimiOptions, Target, Widths};
pub use method::mimi::price::{STEEPNESS, prices};
pub use method::mimi::prune::Selection;
pub use method::mimi::saliency::Surveyor;
pub use method::mimi::score::{Evidence, Normaliser, Score, Scores, StartScore, scores};
pub use method::mimi::state::State;
pub use method::training_method::Accuracies;
pub use model::Model;
pub use optim::adamw::{AdamW, AdamWOptions};
pub use optim::around::Around;
pub use optim::clip::clip;
pub use optim::device_step::{DeviceLearning, DeviceStepper};
pub use optim::flat_step::FlatLearning;
pub use optim::gradients::Gradients;
pub use optim::learner::Learner;
pub use optim::mask::{Masks, Saliency};
pub use optim::proximal::{Proximal, soft_threshold};
pub use optim::schedule::Shape;
pub use optim::step::{StepOptions, Stepped, Stepper};
pub use options::TaskOptions;
pub use outcome::{Counts, Outcome};
pub use parameters::{MissingParameter, Parameter, Parameters};
pub use progress::{Observer, Progress, Step};
pub use report::page::{REPORT_FILE, page};
pub use report::story::{DataStory, Story};
pub use setup::Setup;
pub use task::train;
