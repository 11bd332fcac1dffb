//! What a comparison of methods is asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;

use super::arena::ImageSet;
use super::entrant::Entrant;
use super::machine::Machine;
use super::run::Run;
use super::settings::Settings;
use super::training::Training;
use crate::runtime::Resident;
use crate::train::fingerprint::Fingerprint;
use crate::train::setup::Setup;

/// What to compare.
#[derive(Clone, Debug)]
pub struct MethodsOptions {
    /// The sets of images.
    pub sets: Vec<ImageSet>,
    /// The methods.
    pub entrants: Vec<Entrant>,
    /// What replaces their recipes, by name.
    pub settings: BTreeMap<String, Settings>,
    /// Whether learning rate and weight decay are chosen on a split of the training images.
    pub tune: bool,
    /// Seeds: a run of each method on each set for each.
    pub seeds: Vec<u64>,
    /// How long every method trains.
    pub budget: Budget,
    /// Epochs of every method are a multiple of this, where steps are asked for.
    pub multiple: usize,
    /// The first block that may be changed.
    pub first_block: usize,
    /// File of results; runs it holds are not made again.
    pub results: PathBuf,
    /// Runs that other files hold: they are not made again either.
    pub elsewhere: Vec<(PathBuf, Run)>,
    /// Which of the runs this process makes.
    pub turn: Turn,
    /// What makes them.
    pub machine: Machine,
    /// SHA-256 of the protocol that asks for them.
    pub protocol: Option<String>,
}

/// Every `count`-th run of a set, from number `index` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From 0.
    pub index: usize,
    /// Above the index.
    pub count: usize,
}

impl Default for Turn {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Turn {
    pub(super) fn has(self, number: usize) -> bool {
        number % self.count.max(1) == self.index
    }
}

/// How long every method trains, MiMi's trainings together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// Passes over the training images.
    Epochs(usize),
    /// About so many steps: whole epochs.
    Steps(usize),
}

impl MethodsOptions {
    /// Every method with every seed, a seed at a time, so that an unfinished comparison compares all methods.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, &Entrant)> {
        let of = |(number, &seed): (usize, &u64)| {
            let own =
                self.entrants.iter().filter(move |entrant| entrant.seeds.is_none_or(|most| number < most));
            own.map(move |entrant| (seed, entrant)).collect::<Vec<_>>()
        };
        self.seeds.iter().enumerate().flat_map(of)
    }

    /// A method with what replaces its recipe.
    pub(super) fn set(&self, entrant: &Entrant) -> Result<Training> {
        entrant.training.clone().with(&self.settings.get(&entrant.name).cloned().unwrap_or_default())
    }

    /// Checks that every method can be trained.
    ///
    /// # Errors
    /// With the first that cannot, and why.
    pub(super) fn check(&self, resident: &Resident) -> Result<()> {
        let one = |entrant: &Entrant| self.set(entrant)?.check(resident);
        self.entrants.iter().try_for_each(|entrant| one(entrant).with_context(|| entrant.name.clone()))
    }

    /// Epochs that every method can divide among its trainings: their least common multiple.
    pub(super) fn together(&self, resident: &Resident) -> usize {
        let of = |entrant: &Entrant| {
            // Numbers that make no sense may have trainings without end.
            let training = self.set(entrant).ok().filter(|training| training.check(resident).is_ok());
            training?.trainings(resident).ok()
        };
        self.entrants.iter().filter_map(of).fold(self.multiple.max(1), |all, own| all / gcd(all, own) * own)
    }

    /// Identity of the results: what is the same for all runs.
    pub(super) fn identity(&self, setup: &Setup) -> Result<Fingerprint> {
        Fingerprint::default()
            .with("backbone", &setup.resident.identity())?
            .with("budget", &self.budget)?
            .with("first_block", &self.first_block)?
            .with("tuned", &self.tune)?
            .with("limits.max_bytes", &setup.limits.max_bytes)?
            .with("limits.max_pixels", &setup.limits.max_pixels)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
