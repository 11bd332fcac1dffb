//! How many bits a weight a pack keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Error;
use super::small::{Bits, Small};
use crate::graph::ParameterName;

/// Bits a weight of a pack's matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredBits {
    /// Of the adapters; none keeps them whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Bits>,
    /// Of the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Bits>,
}

impl StoredBits {
    /// Whether everything is kept whole.
    pub fn is_full(&self) -> bool {
        *self == Self::default()
    }

    /// Those of a matrix; none of what is kept whole.
    pub fn of_matrix(&self, name: ParameterName) -> Option<Bits> {
        match name {
            ParameterName::HeadWeight => self.head,
            ParameterName::Module(_, part) if part.is_matrix() => self.adapters,
            _ => None,
        }
    }

    pub(super) fn of(small: &BTreeMap<ParameterName, Small>) -> Self {
        let bits = |is_head: bool| {
            let own = small.iter().find(|(name, _)| (**name == ParameterName::HeadWeight) == is_head);
            own.map(|(_, small)| small.bits)
        };
        Self { adapters: bits(false), head: bits(true) }
    }

    pub(super) fn check(&self, is_factorised: bool) -> Result<(), Error> {
        if let Some(bits) = self.head.filter(|bits| *bits != Bits::Eight) {
            return Err(Error::field("stored_bits.head", u8::from(bits), "expected 8"));
        }
        match self.adapters.filter(|_| is_factorised) {
            Some(bits) => {
                let reason = "a factorised pack keeps its smaller tensors whole";
                Err(Error::field("stored_bits.adapters", u8::from(bits), reason))
            }
            None => Ok(()),
        }
    }
}
