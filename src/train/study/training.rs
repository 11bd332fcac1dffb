//! How an entrant trains: towards a pack on the shared backbone, or a backbone of its own.

use anyhow::{Result, ensure};
use serde_json::{Map, Value};

use super::settings::{Rates, Settings};
use crate::runtime::Resident;
use crate::train::method::Method;
use crate::train::method::finetune::options::FinetuneOptions;
use crate::train::optim::step::StepOptions;

/// Settings of modules, which a backbone of its own has none of.
const OF_MODULES: [&str; 10] =
    ["rank", "sigma_0", "sigma", "rho", "tau", "price", "bits", "head_bits", "init", "set"];

/// A training that a comparison makes.
#[derive(Clone, Debug)]
pub enum Training {
    /// What `train-task` makes a pack of.
    Pack(Method),
    /// Weights of the backbone itself, of which there is no pack.
    Own(FinetuneOptions),
}

impl Training {
    /// Checks that the backbone can be trained so.
    ///
    /// # Errors
    /// With what does not fit.
    pub(super) fn check(&self, resident: &Resident) -> Result<()> {
        match self {
            Self::Pack(method) => method.get().check(resident.config()),
            Self::Own(own) => own.check(resident.config(), resident.precision()),
        }
    }

    /// Everything that was set, as results name it.
    ///
    /// # Errors
    /// When they cannot be written as JSON.
    pub(super) fn settings(&self) -> Result<Map<String, Value>> {
        match self {
            Self::Pack(method) => Ok(method.get().settings()),
            Self::Own(own) => {
                // None of these changes what is trained.
                let step = StepOptions { micro_batch: 0, ..own.step };
                let own = FinetuneOptions { memory: None, seed: 0, step, ..own.clone() };
                Ok(serde_json::from_value(serde_json::to_value(own)?)?)
            }
        }
    }

    /// The same with another seed.
    pub(super) fn seeded(self, seed: u64) -> Self {
        match self {
            Self::Pack(method) => Self::Pack(method.seeded(seed)),
            Self::Own(own) => Self::Own(FinetuneOptions { seed, ..own }),
        }
    }

    /// Images in one step.
    pub(super) fn batch(&self) -> usize {
        match self {
            Self::Pack(method) => method.batch(),
            Self::Own(own) => own.batch,
        }
    }

    /// Epochs of each of its trainings.
    pub(super) fn epochs(&self) -> usize {
        match self {
            Self::Pack(method) => method.epochs(),
            Self::Own(own) => own.epochs,
        }
    }

    /// How often it trains until it ends.
    ///
    /// # Errors
    /// When the held-out accuracy decides.
    pub(super) fn trainings(&self, resident: &Resident) -> Result<usize> {
        match self {
            Self::Pack(method) => method.trainings(resident.config()),
            Self::Own(_) => Ok(1),
        }
    }

    /// The same with other epochs for each training.
    pub(super) fn lasting(self, epochs: usize) -> Self {
        match self {
            Self::Pack(method) => Self::Pack(method.lasting(epochs)),
            Self::Own(own) => Self::Own(FinetuneOptions { epochs, ..own }),
        }
    }

    /// The same with what `settings` say.
    ///
    /// # Errors
    /// With a setting that it does not have.
    pub(super) fn with(self, settings: &Settings) -> Result<Self> {
        match self {
            Self::Pack(method) => method.with(settings).map(Self::Pack),
            Self::Own(mut own) => {
                let other = settings.names().into_iter().find(|name| OF_MODULES.contains(name));
                ensure!(other.is_none(), "it has no {}", other.unwrap_or_default());
                own.rate = settings.learning_rate.unwrap_or(own.rate);
                own.step.decay = settings.weight_decay.unwrap_or(own.step.decay);
                own.step.clip = settings.clip.unwrap_or(own.step.clip);
                own.step.drop_path = settings.drop_path.unwrap_or(own.step.drop_path);
                own.smoothing = settings.smoothing.unwrap_or(own.smoothing);
                own.shape.warmup = settings.warmup.unwrap_or(own.shape.warmup);
                Ok(Self::Own(own))
            }
        }
    }

    /// Highest learning rate, and weight decay.
    pub(super) fn rates(&self) -> Rates {
        match self {
            Self::Pack(method) => method.rates(),
            Self::Own(own) => Rates { learning_rate: own.rate, weight_decay: own.step.decay },
        }
    }
}
