//! Adaptations: what is trained beside the frozen backbone, and what is served of it. One file each.
//!
//! A new one implements [`Adaptation`] in its own file, stands in [`ALL`], and has its settings in
//! `recipes/<name>.json`. No other code tells them apart.

mod adapter_plus;
mod adapters;
mod adaptformer;
mod bitfit;
mod init;
mod interface;
mod layers;
mod lora;
pub(crate) mod random;
mod ssf;

pub use init::Init;
pub use interface::{Adaptation, Drawn};

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

/// Every adaptation.
const ALL: [&dyn Adaptation; 6] = [
    &adapters::Adapters,
    &adapter_plus::AdapterPlus,
    &lora::Lora,
    &adaptformer::AdaptFormer,
    &bitfit::BitFit,
    &ssf::Ssf,
];

/// An adaptation, by name.
#[derive(Clone, Copy)]
pub struct Chosen(&'static dyn Adaptation);

impl Chosen {
    /// Every adaptation there is.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter().map(Self)
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
