//! The content of a report.

use crate::backbone::{BackboneConfig, ModuleSet, Precision};
use crate::pack::{Decision, Provenance};
use crate::train::data::dataset::left_out::LeftOut;
use crate::train::data::dataset::partition::Partition;
use crate::train::data::load::Loaded;
use crate::train::history::History;
use crate::train::measure::examine::Examination;
use crate::train::measure::final_test::Tested;
use crate::train::measure::scorer::Scorer;
use crate::train::outcome::Counts;

/// The content of a report.
#[derive(Clone, Copy, Debug)]
pub struct Story<'a> {
    /// The task's name.
    pub task: &'a str,
    /// The backbone.
    pub config: &'a BackboneConfig,
    /// What the backbone multiplied in.
    pub precision: Precision,
    /// The pack's provenance.
    pub provenance: &'a Provenance,
    /// How outputs become answers.
    pub decision: &'a Decision,
    /// The pack's modules.
    pub modules: ModuleSet,
    /// Names of classes, labels or values.
    pub labels: &'a [String],
    /// The images.
    pub data: &'a DataStory,
    /// How the training went.
    pub history: &'a History,
    /// Which cycle left this pack.
    pub own: Option<usize>,
    /// Whether the held-out accuracy decided how far pruning went.
    pub held_out_chose: bool,
    /// The model's answers on the held-out images.
    pub examined: &'a Examination,
    /// Small PNGs of the hardest images, in their order; none where a file can no longer be read.
    pub thumbnails: &'a [Option<Vec<u8>>],
}

/// The images, as a report describes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataStory {
    /// Images of each class that could be read.
    pub counts: Vec<Counts>,
    /// Where the held-out images came from.
    pub held_out: String,
    /// What was measured at the very end on images that decided nothing.
    pub test: Option<Tested>,
    /// All answers on those images, to be scored in other ways.
    pub test_scorer: Scorer,
    /// Skipped files, with the reason.
    pub left_out: Vec<LeftOut>,
    /// Warnings about the images.
    pub warnings: Vec<String>,
}

impl DataStory {
    /// Describes loaded images.
    pub(in crate::train) fn of(images: &Partition, loaded: &Loaded) -> Self {
        let Loaded { train, held_out } = loaded;
        let of = |classes: &[usize]| images.truths.counts(classes, images.labels.len());
        let counts = of(train.classes()).into_iter().zip(of(&held_out.classes));
        let counts = counts.map(|(trained, held_out)| Counts { trained, held_out }).collect();
        let left_out = [&images.left_out, train.unreadable(), &held_out.unreadable].concat();
        let (held_out, warnings) = (images.held_out.clone(), images.warnings.clone());
        let test_scorer = Scorer::new(&images.truths);
        Self { counts, held_out, test: None, test_scorer, left_out, warnings }
    }
}
