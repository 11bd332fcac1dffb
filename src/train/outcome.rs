//! The result of a training.

use std::path::PathBuf;

use super::data::dataset::left_out::LeftOut;
use super::history::Cycle;
use super::measure::final_test::Tested;
use super::measure::judged::Answers;
use super::method::training_method::Accuracies;
use super::model::Model;
use crate::pack::ProblemType;

/// Images that could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Trained on.
    pub trained: usize,
    /// Held out.
    pub held_out: usize,
}

/// The result of a training.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Folder of the new version.
    pub folder: PathBuf,
    /// The model in it.
    pub model: Model,
    /// Why it was not published but held back there.
    pub refused: Option<String>,
    /// What the model scored on images trained on and held out.
    pub accuracies: Accuracies,
    /// What the test images, which chose nothing, gave at the end.
    pub test: Option<Tested>,
    /// Images trained on and held out.
    pub images: Counts,
    /// Where the held-out images came from.
    pub held_out: String,
    /// Skipped files, with the reason.
    pub left_out: Vec<LeftOut>,
    /// What the outputs mean.
    pub problem: ProblemType,
    /// What answers were on the held-out images, beyond their score.
    pub answers: Answers,
    /// The same of the test images, which chose no threshold.
    pub test_answers: Answers,
    /// Trainings between prunings, in order.
    pub cycles: Vec<Cycle>,
}
