//! Settings of methods that replace their recipes', from a JSON file: `{"lora": {"learning_rate": 0.003, "rank": 4}}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adaptation::Init;
use crate::pack::Bits;

/// Learning rates that are tried unless a file says otherwise, over the recipe's own.
const RATES: [f64; 3] = [1.0 / 3.0, 1.0, 3.0];
/// Weight decays that are tried unless a file says otherwise: those of Adapter+ and of the MiMi paper.
const DECAYS: [f64; 2] = [1e-4, 0.05];

/// What replaces a method's recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Highest learning rate.
    pub learning_rate: Option<f64>,
    /// Weight decay of matrices.
    pub weight_decay: Option<f64>,
    /// Largest global norm of the gradients.
    pub clip: Option<f64>,
    /// Share of each target spread evenly over the classes.
    pub smoothing: Option<f64>,
    /// Share of the images for which the last block's branches are dropped.
    pub drop_path: Option<f64>,
    /// Share of the steps that warm up.
    pub warmup: Option<f64>,
    /// Width of each module that does not follow the rate.
    pub rank: Option<usize>,
    /// Rate of the first adapters.
    pub sigma_0: Option<f64>,
    /// Rate at which pruning ends.
    pub sigma: Option<f64>,
    /// Share of the neurons that a pruning removes.
    pub rho: Option<f64>,
    /// Share of the score that may lie in early blocks which each pruning removes whole.
    pub tau: Option<f64>,
    /// How steeply the prices of gates rise towards early blocks. Left out where it is none, so that protocols without it
    /// stay the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// Bits a weight that a pack keeps of adapters.
    pub bits: Option<Bits>,
    /// Bits a weight that it keeps of the head.
    pub head_bits: Option<Bits>,
    /// How adapters begin.
    pub init: Option<Init>,
    /// What only the method has, as `--set` takes it.
    pub set: BTreeMap<String, Value>,
    /// What tuning tries.
    pub grid: Option<Grid>,
}

/// Values that tuning tries, each with each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Highest learning rates.
    pub learning_rate: Vec<f64>,
    /// Weight decays; the recipe's own without them.
    #[serde(default)]
    pub weight_decay: Vec<f64>,
}

impl Settings {
    /// Settings that every method with a pack has.
    pub(super) const OF_ALL: [&str; 4] = ["learning_rate", "weight_decay", "head_bits", "grid"];

    /// Names of what is set.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let set = [
            ("learning_rate", self.learning_rate.is_some()),
            ("weight_decay", self.weight_decay.is_some()),
            ("clip", self.clip.is_some()),
            ("smoothing", self.smoothing.is_some()),
            ("drop_path", self.drop_path.is_some()),
            ("warmup", self.warmup.is_some()),
            ("rank", self.rank.is_some()),
            ("sigma_0", self.sigma_0.is_some()),
            ("sigma", self.sigma.is_some()),
            ("rho", self.rho.is_some()),
            ("tau", self.tau.is_some()),
            ("price", self.price.is_some()),
            ("bits", self.bits.is_some()),
            ("head_bits", self.head_bits.is_some()),
            ("init", self.init.is_some()),
            ("set", !self.set.is_empty()),
            ("grid", self.grid.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }

    /// These, and `own` where it says otherwise.
    pub(super) fn overlaid(&self, own: &Self) -> Self {
        let (own, set) = (own.clone(), self.set.clone());
        Self {
            learning_rate: own.learning_rate.or(self.learning_rate),
            weight_decay: own.weight_decay.or(self.weight_decay),
            clip: own.clip.or(self.clip),
            smoothing: own.smoothing.or(self.smoothing),
            drop_path: own.drop_path.or(self.drop_path),
            warmup: own.warmup.or(self.warmup),
            rank: own.rank.or(self.rank),
            sigma_0: own.sigma_0.or(self.sigma_0),
            sigma: own.sigma.or(self.sigma),
            rho: own.rho.or(self.rho),
            tau: own.tau.or(self.tau),
            price: own.price.or(self.price),
            bits: own.bits.or(self.bits),
            head_bits: own.head_bits.or(self.head_bits),
            init: own.init.or(self.init),
            set: set.into_iter().chain(own.set).collect(),
            grid: own.grid.or(self.grid.clone()),
        }
    }

    /// What tuning tries for a method with these rates of its own, in order.
    pub(super) fn candidates(&self, own: Rates) -> Vec<Self> {
        let default = Grid {
            learning_rate: RATES.map(|factor| factor * own.learning_rate).to_vec(),
            weight_decay: DECAYS.to_vec(),
        };
        let Grid { learning_rate, mut weight_decay } = self.grid.clone().unwrap_or(default);
        if weight_decay.is_empty() {
            weight_decay.push(own.weight_decay);
        }
        let pair = |rate: f64, decay: f64| Self {
            learning_rate: Some(rate),
            weight_decay: Some(decay),
            ..Self::default()
        };
        let of = |rate: &f64| weight_decay.iter().map(move |&decay| (*rate, decay)).collect::<Vec<_>>();
        learning_rate.iter().flat_map(of).map(|(rate, decay)| pair(rate, decay)).collect()
    }
}

/// What is tuned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}
