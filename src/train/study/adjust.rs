//! What a comparison changes in a method, whatever kind it is. Nothing else here distinguishes kinds.

use anyhow::{Context, Result, ensure};

use super::settings::{Rates, Settings};
use crate::backbone::BackboneConfig;
use crate::train::method::Method;
use crate::train::method::depth_head::options::DepthHeadOptions;
use crate::train::method::linear::LinearOptions;
use crate::train::method::mimi::options::{MimiOptions, Target};

impl Method {
    /// The same with another seed.
    pub(super) fn seeded(mut self, seed: u64) -> Self {
        match &mut self {
            Self::Linear(linear) => linear.seed = seed,
            Self::DepthHead(depths) => depths.head.seed = seed,
            Self::Mimi(mimi) => mimi.seed = seed,
        }
        self
    }

    /// Images in one step.
    pub(super) fn batch(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.batch,
            Self::DepthHead(depths) => depths.head.batch,
            Self::Mimi(mimi) => mimi.batch,
        }
    }

    /// Epochs of each of its trainings.
    pub(super) fn epochs(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.epochs,
            Self::DepthHead(depths) => depths.head.epochs,
            Self::Mimi(mimi) => mimi.epochs,
        }
    }

    /// How often it trains until it ends: once, or once more than MiMi prunes.
    ///
    /// # Errors
    /// When the held-out accuracy decides.
    pub(super) fn trainings(&self, config: &BackboneConfig) -> Result<usize> {
        let Self::Mimi(mimi) = self else { return Ok(1) };
        let found = mimi.trainings(&mimi.first_widths(config), config);
        found.context("a comparison trains for a number of epochs, not until an accuracy is reached")
    }

    /// The same with other epochs for each training.
    pub(super) fn lasting(mut self, epochs: usize) -> Self {
        match &mut self {
            Self::Linear(linear) => linear.epochs = epochs,
            Self::DepthHead(depths) => depths.head.epochs = epochs,
            Self::Mimi(mimi) => mimi.epochs = epochs,
        }
        self
    }

    /// The same with what `settings` say.
    ///
    /// # Errors
    /// With a setting that the method does not have.
    pub(super) fn with(mut self, settings: &Settings) -> Result<Self> {
        match &mut self {
            Self::Linear(linear) => head(linear, settings, false)?,
            Self::DepthHead(depths) => {
                head(&mut depths.head, settings, true)?;
                settings.set.iter().try_for_each(|(name, value)| depths.set_json(name, value))?;
            }
            Self::Mimi(mimi) => {
                shape(mimi, settings)?;
                train(mimi, settings);
            }
        }
        Ok(self)
    }

    /// Highest learning rate, and weight decay.
    pub(super) fn rates(&self) -> Rates {
        match self {
            Self::Linear(LinearOptions { rate, decay, .. })
            | Self::DepthHead(DepthHeadOptions { head: LinearOptions { rate, decay, .. }, .. }) => {
                Rates { learning_rate: *rate, weight_decay: *decay }
            }
            Self::Mimi(mimi) => Rates { learning_rate: mimi.rate, weight_decay: mimi.step.decay },
        }
    }
}

/// How a head alone is trained; one that has settings of its own reads them itself.
fn head(head: &mut LinearOptions, settings: &Settings, has_own: bool) -> Result<()> {
    let is_known = |name: &&str| Settings::OF_ALL.contains(name) || has_own && *name == "set";
    let other = settings.names().into_iter().find(|name| !is_known(name));
    ensure!(other.is_none(), "it has no {}", other.unwrap_or_default());
    head.rate = settings.learning_rate.unwrap_or(head.rate);
    head.decay = settings.weight_decay.unwrap_or(head.decay);
    head.head_bits = settings.head_bits.or(head.head_bits);
    Ok(())
}

/// What is trained, and how it is pruned.
fn shape(mimi: &mut MimiOptions, settings: &Settings) -> Result<()> {
    for (name, value) in &settings.set {
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        mimi.adaptation.set(&mut mimi.settings, &format!("{name}={value}"))?;
    }
    let follows = mimi.adaptation.follows_sigma();
    ensure!(!follows || settings.rank.is_none(), "it has no rank but sigma_0");
    ensure!(follows || settings.sigma_0.is_none(), "it has no sigma_0 but a rank");
    let prunes = mimi.target != Target::Never;
    let pruning = [settings.sigma, settings.rho, settings.tau, settings.price];
    ensure!(prunes || pruning.iter().all(Option::is_none), "it prunes nothing");
    ensure!(follows || settings.init.is_none(), "its first values are its own: it has no init");
    mimi.init = settings.init.unwrap_or(mimi.init);
    mimi.rank = settings.rank.unwrap_or(mimi.rank);
    mimi.sigma = settings.sigma_0.unwrap_or(mimi.sigma);
    mimi.rho = settings.rho.unwrap_or(mimi.rho);
    mimi.bits.adapters = settings.bits.or(mimi.bits.adapters);
    mimi.bits.head = settings.head_bits.or(mimi.bits.head);
    mimi.front = settings.tau.or(mimi.front);
    mimi.price = settings.price.or(mimi.price);
    mimi.target = settings.sigma.map_or(mimi.target, Target::Sigma);
    Ok(())
}

/// How it is trained.
fn train(mimi: &mut MimiOptions, settings: &Settings) {
    mimi.rate = settings.learning_rate.unwrap_or(mimi.rate);
    mimi.step.decay = settings.weight_decay.unwrap_or(mimi.step.decay);
    mimi.step.clip = settings.clip.unwrap_or(mimi.step.clip);
    mimi.step.drop_path = settings.drop_path.unwrap_or(mimi.step.drop_path);
    mimi.smoothing = settings.smoothing.unwrap_or(mimi.smoothing);
    mimi.shape.warmup = settings.warmup.unwrap_or(mimi.shape.warmup);
}
