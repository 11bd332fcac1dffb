//! Who takes part in a comparison of methods, by name.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::contender::Contender;
use super::settings::Settings;
use super::training::Training;
use crate::adaptation::Chosen;
use crate::train::method::Method;
use crate::train::method::depth_head::options::DepthHeadOptions;
use crate::train::method::finetune::options::FinetuneOptions;
use crate::train::method::finetune::subset::Subset;
use crate::train::method::linear::LinearOptions;
use crate::train::method::mimi::options::{MimiOptions, Target};

/// A head alone.
const LINEAR: &str = "linear";
/// Adapters, pruned.
const MIMI: &str = "mimi";
/// What stands before the name of an adaptation that MiMi prunes.
const PRUNED: &str = "mimi:";
/// Adapters of the size MiMi ends with, from the start.
const PROPORTIONAL: &str = "proportional";

/// A method with its settings.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// Its name in results.
    pub name: String,
    /// How it trains.
    pub training: Training,
    /// Whether it is left out where it does not fit: it was not asked for by name.
    pub is_optional: bool,
    /// How many seeds it is run with, the first ones; all without.
    pub seeds: Option<usize>,
}

/// What methods are made from.
pub struct Terms<'a> {
    /// A head alone.
    pub linear: LinearOptions,
    /// When pruning ends.
    pub target: Target,
    /// An adaptation by its recipe and what was typed.
    pub adapt: &'a dyn Fn(Chosen) -> Result<MimiOptions>,
    /// Weights of the backbone itself by their recipe and what was typed.
    pub finetune: &'a dyn Fn(Subset) -> Result<FinetuneOptions>,
}

impl Entrant {
    /// The method of that name.
    ///
    /// # Errors
    /// When there is none, with all names.
    pub fn named(name: &str, terms: &Terms<'_>) -> Result<Self> {
        Ok(Self { name: name.to_owned(), training: terms.training(name)?, is_optional: false, seeds: None })
    }

    /// The method `method` under a name of its own.
    ///
    /// # Errors
    /// When there is no such method, with all names.
    pub(super) fn arm(name: &str, method: &str, terms: &Terms<'_>) -> Result<Self> {
        Ok(Self { name: name.to_owned(), ..Self::named(method, terms)? })
    }

    /// Reads a file of settings by method.
    ///
    /// # Errors
    /// When it cannot be parsed, or names a method or a setting that does not exist.
    pub fn settings(text: &str) -> Result<BTreeMap<String, Settings>> {
        let methods: BTreeMap<String, Value> = serde_json::from_str(text).context("no JSON object")?;
        let read = |(name, value): (String, Value)| {
            ensure!(Self::is_known(&name), "there is no method {name:?}");
            let settings = serde_json::from_value(value).with_context(|| format!("settings of {name}"))?;
            Ok((name, settings))
        };
        methods.into_iter().map(read).collect()
    }

    /// Every name but those of forms that MiMi may prune.
    pub fn names() -> Vec<String> {
        let adaptations = Chosen::all().map(|known| known.name().to_owned());
        let ablations = Contender::ablations().map(|known| known.to_string());
        let own = [LINEAR, DepthHeadOptions::NAME, MIMI, PROPORTIONAL].map(str::to_owned);
        own.into_iter().chain(adaptations).chain(ablations).collect()
    }

    /// Whether some method has that name.
    pub fn is_known(name: &str) -> bool {
        let pruned = name.strip_prefix(PRUNED).is_some_and(|form| Chosen::named(form).is_some());
        pruned || Self::names().iter().any(|known| known == name)
    }
}

impl Terms<'_> {
    fn training(&self, name: &str) -> Result<Training> {
        match Subset::named(name) {
            Some(subset) => (self.finetune)(subset).map(Training::Own),
            None => self.method(name).map(Training::Pack),
        }
    }

    fn method(&self, name: &str) -> Result<Method> {
        if name == LINEAR {
            return Ok(Method::Linear(self.linear.clone()));
        }
        if name == DepthHeadOptions::NAME {
            return Ok(Method::DepthHead(DepthHeadOptions::of(self.linear.clone())));
        }
        if let Some(adaptation) = Chosen::named(name) {
            return (self.adapt)(adaptation).map(Method::Mimi);
        }
        if let Some(form) = name.strip_prefix(PRUNED) {
            let adaptation = Chosen::named(form).with_context(|| unknown(name))?;
            return self.pruned(adaptation).map(Method::Mimi);
        }
        let mimi = self.pruned(Chosen::default())?;
        let contender = match name {
            MIMI => return Ok(Method::Mimi(mimi)),
            PROPORTIONAL => Some(Contender::Adapters),
            _ => Contender::ablations().find(|known| known.to_string() == name),
        };
        match contender.and_then(|contender| contender.adapters(&mimi, mimi.seed)) {
            Some(options) => Ok(Method::Mimi(options)),
            None => bail!(unknown(name)),
        }
    }

    fn pruned(&self, adaptation: Chosen) -> Result<MimiOptions> {
        Ok(MimiOptions { target: self.target, ..(self.adapt)(adaptation)? })
    }
}

fn unknown(name: &str) -> String {
    let names = Entrant::names().join(", ");
    format!(
        "there is no method {name:?}: expected one of {names}, or {PRUNED} and an adaptation with neurons"
    )
}
