//! A protocol's arms on one set, as a comparison of methods.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::arena::ImageSet;
use super::asked::{Budget, MethodsOptions, Turn};
use super::entrant::{Entrant, Terms};
use super::machine::Machine;
use super::protocol::{Arm, Protocol, SetTerms};
use super::run::Run;
use super::settings::Settings;
use super::training::Training;
use crate::adaptation::Chosen;
use crate::train::data::augment::options::AugmentOptions;
use crate::train::data::dataset::origin::Origin;
use crate::train::method::Method;
use crate::train::method::finetune::options::FinetuneOptions;
use crate::train::method::finetune::subset::Subset;
use crate::train::method::linear::LinearOptions;
use crate::train::method::mimi::options::{MimiOptions, Target};
use crate::train::optim::step::StepOptions;

/// Share of each class that is measured where a set has no test images.
const HOLDOUT: f64 = 0.2;
/// Folder of a set's training images.
const TRAIN: &str = "train";

/// Where a study's runs come from and go to.
#[derive(Clone, Debug)]
pub struct Places {
    /// Folder of the sets of images.
    pub data: PathBuf,
    /// File of results.
    pub results: PathBuf,
    /// Runs that other files hold, with their files.
    pub elsewhere: Vec<(PathBuf, Run)>,
    /// Which of the runs this process makes.
    pub turn: Turn,
    /// What makes them.
    pub machine: Machine,
}

impl Protocol {
    /// Some arms on a set.
    ///
    /// # Errors
    /// When an arm's method does not exist, or a recipe cannot be read.
    pub(super) fn on(&self, set: &SetTerms, arms: &[&Arm], places: &Places) -> Result<MethodsOptions> {
        let augment = set.augment.unwrap_or(self.augment);
        let entrant = |arm: &&Arm| self.entrant(arm, augment).with_context(|| format!("arm {}", arm.name));
        let entrants = arms.iter().map(entrant).collect::<Result<Vec<_>>>()?;
        let origin = Origin {
            data: self.folder(&places.data, set),
            validation: None,
            holdout: HOLDOUT,
            per_class: None,
            held_out_per_class: None,
            seed: 0,
            walk: Default::default(),
            problem: Default::default(),
        };
        Ok(MethodsOptions {
            sets: vec![ImageSet {
                name: set.name.clone(),
                origin,
                is_moved: true,
                refuses_tests: self.training_images_only,
            }],
            settings: entrants.iter().zip(arms).map(|(own, arm)| self.said(own, arm)).collect(),
            entrants,
            tune: false,
            seeds: self.seeds.clone(),
            budget: Budget::Steps(self.steps),
            multiple: 1,
            first_block: self.first_block,
            results: places.results.clone(),
            elsewhere: places.elsewhere.clone(),
            turn: places.turn,
            machine: places.machine.clone(),
            protocol: Some(self.digest()?),
        })
    }

    /// Where a set lies: its training images alone where that is asked for and they have a folder.
    fn folder(&self, data: &Path, set: &SetTerms) -> PathBuf {
        let (whole, train) = (data.join(&set.name), data.join(&set.name).join(TRAIN));
        if self.training_images_only && train.is_dir() { train } else { whole }
    }

    /// What replaces an arm's recipe. A head alone has its own.
    fn said(&self, entrant: &Entrant, arm: &Arm) -> (String, Settings) {
        let is_head = matches!(entrant.training, Training::Pack(Method::Linear(_) | Method::DepthHead(_)));
        let common = if is_head { Settings::default() } else { self.settings.clone() };
        let mut settings = common.overlaid(&arm.settings);
        if is_sized(entrant, arm) {
            settings = Settings { sigma_0: None, sigma: None, rho: None, ..settings };
        }
        (arm.name.clone(), settings)
    }

    fn entrant(&self, arm: &Arm, augment: AugmentOptions) -> Result<Entrant> {
        let first_block = arm.first_block.unwrap_or(self.first_block);
        let (batch, micro_batch) = (self.batch, self.micro_batch);
        let settings = self.settings.overlaid(&arm.settings);
        let adapt = |adaptation: Chosen| {
            let own = MimiOptions::of(adaptation)?;
            let step = StepOptions { micro_batch, ..own.step };
            // What a contender derives its size from must be there first.
            let (sigma, rho) = (settings.sigma_0.unwrap_or(own.sigma), settings.rho.unwrap_or(own.rho));
            Ok(MimiOptions { first_block, batch, augment, step, sigma, rho, ..own })
        };
        let finetune = |subset: Subset| {
            let own = FinetuneOptions::of(subset)?;
            let step = StepOptions { micro_batch, ..own.step };
            Ok(FinetuneOptions { first_block, batch, augment, step, ..own })
        };
        let linear = LinearOptions { batch, ..LinearOptions::default() };
        let end = settings.sigma;
        let target = end.map_or(Target::Never, Target::Sigma);
        let terms = Terms { linear, target, adapt: &adapt, finetune: &finetune };
        let entrant = Entrant { seeds: arm.seeds, ..Entrant::arm(&arm.name, &arm.method, &terms)? };
        let is_bare = Chosen::named(&arm.method).is_some()
            || !matches!(entrant.training, Training::Pack(Method::Mimi(_)));
        ensure!(is_bare || end.is_some(), "{} prunes to a rate: give it a sigma", arm.method);
        Ok(entrant)
    }
}

/// Whether an arm's size follows from that of a pruning which it does not make.
fn is_sized(entrant: &Entrant, arm: &Arm) -> bool {
    let is_whole = |mimi: &MimiOptions| mimi.target == Target::Never;
    Chosen::named(&arm.method).is_none()
        && matches!(&entrant.training, Training::Pack(Method::Mimi(mimi)) if is_whole(mimi))
}
