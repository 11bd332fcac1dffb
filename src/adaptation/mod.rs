//! Adaptations: what is trained beside the frozen backbone, and what is served of it. One file each.
//!
//! A new one implements [`Adaptation`] in its own file, stands in `ALL`, and has its settings in
//! `recipes/<name>.json`. No other code tells them apart.

mod adapter_plus;
mod adapters;
mod adaptformer;
mod bitfit;
mod compacter;
mod error;
mod fact;
mod fact_tk;
mod fact_tt;
mod factor;
mod fit;
mod init;
mod interface;
mod kind;
mod kronecker;
mod layers;
mod lora;
mod phm;
pub(crate) mod random;
mod settings;
mod ssf;
mod vera;
mod vpt_deep;
mod vpt_shallow;

pub use error::Error;
pub use factor::{Factor, First};
pub use fit::Fit;
pub use init::Init;
pub use interface::{Adaptation, Drawn};
pub use kind::{Bound, Kind};
pub use settings::{Settings, Value};

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

use crate::backbone::ModuleSet;

/// Every adaptation.
const ALL: &[&dyn Adaptation] = &[
    &adapters::Adapters,
    &adapter_plus::AdapterPlus,
    &lora::Lora,
    &adaptformer::AdaptFormer,
    &bitfit::BitFit,
    &ssf::Ssf,
    &phm::Phm,
    &compacter::Compacter,
    &fact_tk::FactTk,
    &fact_tt::FactTt,
    &vera::Vera,
    &vpt_deep::VptDeep,
    &vpt_shallow::VptShallow,
];

/// An adaptation, by name.
#[derive(Clone, Copy)]
pub struct Chosen(&'static dyn Adaptation);

impl Chosen {
    /// Every adaptation there is.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied().map(Self)
    }

    /// The default of every setting.
    ///
    /// # Errors
    /// When the recipe cannot be read.
    pub fn settings(self) -> Result<Settings, Error> {
        Settings::defaults(self.name(), self.recipe())
    }

    /// Reads a setting as it was typed, `name=value`.
    ///
    /// # Errors
    /// When the method has no such setting, or it cannot have that value.
    pub fn set(self, settings: &mut Settings, typed: &str) -> Result<(), Error> {
        settings.set(self.name(), self.recipe(), typed)
    }

    /// The same settings, once each is one of the method's, within its range, and none is missing.
    ///
    /// # Errors
    /// With the setting that is not.
    pub fn checked(self, settings: Settings) -> Result<Settings, Error> {
        settings.checked(self.name(), self.recipe())
    }

    /// The method of that name that makes tensors of `modules` from smaller ones.
    ///
    /// # Errors
    /// When there is none, with those there are.
    pub fn factorised(name: &str, modules: ModuleSet) -> Result<Self, Error> {
        let all = || Self::all().filter(|known| known.is_factorised(modules));
        all().find(|known| known.name() == name).ok_or_else(|| {
            let known: Vec<&str> = all().map(|known| known.name()).collect();
            Error::UnknownMethod { name: name.into(), known: known.join(", ") }
        })
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|chosen| chosen.name() == name)
    }
}

impl Default for Chosen {
    /// Bottleneck adapters, MiMi's.
    fn default() -> Self {
        Self(&adapters::Adapters)
    }
}

impl Deref for Chosen {
    type Target = dyn Adaptation;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Chosen {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Serialize for Chosen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
