//! What a study asks, and what its answers will mean, written down before a run.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::entrant::Entrant;
use super::settings::Settings;
use crate::backbone::sha256_hex;
use crate::train::data::augment::options::AugmentOptions;
use crate::train::method::finetune::subset::Subset;

/// Images that run together in a step, unless a protocol says otherwise.
const MICRO_BATCH: usize = 32;
/// Most of each: sets, arms, comparisons and seeds.
const MOST: usize = 1000;

/// A protocol file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Heading of the report.
    pub title: String,
    /// What is asked, and what answers will mean, in words.
    pub question: String,
    /// Name of the backbone.
    pub backbone: String,
    /// First block that may be changed, unless an arm says otherwise.
    pub first_block: usize,
    /// Steps of every run, rounded to whole epochs.
    pub steps: usize,
    /// Images in one step.
    pub batch: usize,
    /// Images that run together in a step; changes speed and memory, not what is asked.
    #[serde(default = "micro_batch")]
    pub micro_batch: usize,
    /// A run of each arm on each set for each.
    pub seeds: Vec<u64>,
    /// What is done to training images of all arms but a head alone, unless a set says otherwise.
    #[serde(default = "AugmentOptions::none")]
    pub augment: AugmentOptions,
    /// What replaces the recipes of all arms but a head alone.
    #[serde(default)]
    pub settings: Settings,
    /// The sets of images, in the order in which they are run.
    pub sets: Vec<SetTerms>,
    /// Whether test images are never looked at: a set is its folder `train` where it has one.
    #[serde(default)]
    pub training_images_only: bool,
    /// The ways to train.
    pub arms: Vec<Arm>,
    /// What is compared.
    pub comparisons: Vec<Comparison>,
    /// When a comparison is not pursued.
    #[serde(default)]
    pub stop: Option<Stop>,
}

/// A set of images: a folder of that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetTerms {
    /// Its folder's name.
    pub name: String,
    /// What is done to its training images instead.
    #[serde(default)]
    pub augment: Option<AugmentOptions>,
}

/// A way to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name in results.
    pub name: String,
    /// A method of `server compare --methods`.
    pub method: String,
    /// First block that it may change.
    #[serde(default)]
    pub first_block: Option<usize>,
    /// How many seeds it is run with, the first ones; all without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<usize>,
    /// What replaces its recipe.
    #[serde(default)]
    pub settings: Settings,
    /// Whether it is run on every set, whatever is compared and whatever the stop rule says.
    #[serde(default)]
    pub always: bool,
}

/// A comparison of two arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Its name.
    pub name: String,
    /// The arm.
    pub of: String,
    /// The arm that it is set against.
    pub over: String,
    /// What is compared.
    #[serde(default)]
    pub measure: Measured,
    /// Success is a mean gain of at least so many points of accuracy.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Success is a mean gain above so many points.
    #[serde(default)]
    pub above: Option<f64>,
    /// Success is a mean ratio of costs of at most this.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Comparisons of one family share the chance of a false finding.
    pub family: String,
    /// Sets that it is made on; all without.
    #[serde(default)]
    pub sets: Vec<String>,
}

/// What a comparison compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured {
    /// Accuracy: the difference in points, tested.
    #[default]
    Accuracy,
    /// FLOPs of one image under eight tasks: the ratio, exact.
    #[serde(rename = "flops-of-8")]
    FlopsOf8,
    /// Bytes of the adapters' tensors in the pack: the ratio, exact.
    AdapterBytes,
}

/// When a comparison is not pursued.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Sets after which comparisons are looked at.
    pub after: usize,
    /// One whose mean gain is then nearer to zero, in points, needs no further set.
    pub within: f64,
}

fn micro_batch() -> usize {
    MICRO_BATCH
}

impl Protocol {
    /// Reads a protocol.
    ///
    /// # Errors
    /// When the text is not a protocol, or contradicts itself.
    pub fn parse(text: &str) -> Result<Self> {
        let protocol: Self = serde_json::from_str(text).context("no protocol")?;
        protocol.check()?;
        Ok(protocol)
    }

    /// SHA-256 of the protocol, however its file is laid out.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn digest(&self) -> Result<String> {
        Ok(sha256_hex(&serde_json::to_vec(self)?))
    }

    /// The seeds of an arm.
    pub(super) fn seeds_of(&self, arm: &Arm) -> &[u64] {
        &self.seeds[..arm.seeds.map_or(self.seeds.len(), |most| most.min(self.seeds.len()))]
    }

    /// The seeds that both arms of a comparison have.
    pub(super) fn seeds_compared(&self, comparison: &Comparison) -> &[u64] {
        let own = self.arms.iter().filter(|arm| [&comparison.of, &comparison.over].contains(&&arm.name));
        own.map(|arm| self.seeds_of(arm)).min_by_key(|seeds| seeds.len()).unwrap_or(&self.seeds)
    }

    fn check(&self) -> Result<()> {
        let counts = [
            ("sets", self.sets.len()),
            ("arms", self.arms.len()),
            ("comparisons", self.comparisons.len()),
            ("seeds", self.seeds.len()),
        ];
        for (what, count) in counts {
            ensure!((1..=MOST).contains(&count), "there are {count} {what}: expected 1 to {MOST}");
        }
        let sets = once("sets", self.sets.iter().map(|set| &set.name))?;
        let arms = once("arms", self.arms.iter().map(|arm| &arm.name))?;
        once("comparisons", self.comparisons.iter().map(|comparison| &comparison.name))?;
        once("seeds", self.seeds.iter())?;
        for name in sets.iter().copied() {
            let mut parts = Path::new(name).components();
            let is_plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
            ensure!(is_plain, "{name:?} cannot name a folder");
        }
        self.comparisons.iter().try_for_each(|comparison| comparison.check(&arms, &sets))?;
        self.augment.check().context("augment")?;
        for set in &self.sets {
            set.augment
                .map_or(Ok(()), |own| own.check())
                .with_context(|| format!("augment of {}", set.name))?;
        }
        ensure!(self.steps > 0, "steps is 0: every run makes at least one");
        let grids = self.arms.iter().map(|arm| &arm.settings).chain([&self.settings]);
        ensure!(grids.into_iter().all(|own| own.grid.is_none()), "a study tunes nothing: it has no grid");
        for Arm { name, method, seeds, .. } in &self.arms {
            let (own, all) = (seeds.unwrap_or(self.seeds.len()), self.seeds.len());
            ensure!(
                (1..=all).contains(&own),
                "arm {name} has {own} seeds: expected 1 to the {all} there are"
            );
            let is_known = Entrant::is_known(method) || Subset::named(method).is_some();
            ensure!(is_known, "arm {name}: there is no method {method:?}");
        }
        self.stop.map_or(Ok(()), |stop| stop.check(self.sets.len()))
    }
}

impl Stop {
    fn check(self, sets: usize) -> Result<()> {
        let Self { after, within } = self;
        ensure!(after > 0, "stop.after is 0: comparisons are looked at after some sets");
        ensure!(after < sets, "stop.after is {after} of {sets} sets: no set would be left to save");
        ensure!(within >= 0.0, "stop.within is {within}, expected 0 or more");
        Ok(())
    }
}

impl Comparison {
    fn check(&self, arms: &BTreeSet<&String>, sets: &BTreeSet<&String>) -> Result<()> {
        for arm in [&self.of, &self.over] {
            ensure!(arms.contains(arm), "{} compares {arm:?}: there is no such arm", self.name);
        }
        ensure!(self.of != self.over, "{} compares {} with itself", self.name, self.of);
        let is_told = match self.measure {
            Measured::Accuracy => self.at_least.is_some() != self.above.is_some() && self.at_most.is_none(),
            _ => self.at_most.is_some() && self.at_least.or(self.above).is_none(),
        };
        ensure!(is_told, "{}: a gain has at_least or above, a cost has at_most", self.name);
        ensure!(self.bound().is_finite(), "{}: the bound is {}", self.name, self.bound());
        let stranger = self.sets.iter().find(|set| !sets.contains(set));
        let named = stranger.map_or("", String::as_str);
        ensure!(stranger.is_none(), "{} is made on {named:?}: there is no such set", self.name);
        Ok(())
    }

    /// The bound that its success has.
    pub fn bound(&self) -> f64 {
        self.at_least.or(self.above).or(self.at_most).unwrap_or_default()
    }

    /// Whether a mean gain, or a mean ratio, is what success asks for.
    pub(super) fn is_reached(&self, estimate: f64) -> bool {
        match (self.above, self.at_most) {
            (Some(bound), _) => estimate > bound,
            (_, Some(bound)) => estimate <= bound,
            _ => estimate >= self.bound(),
        }
    }

    /// Whether it is made on a set.
    pub fn is_on(&self, set: &str) -> bool {
        self.sets.is_empty() || self.sets.iter().any(|own| own == set)
    }
}

/// The names, each of which may appear once.
fn once<'a, T: Ord + std::fmt::Debug>(
    what: &str,
    names: impl Iterator<Item = &'a T>,
) -> Result<BTreeSet<&'a T>> {
    let mut seen = BTreeSet::new();
    for name in names {
        ensure!(seen.insert(name), "two {what} have the name {name:?}");
    }
    Ok(seen)
}
