//! Names of what is trained.

use std::fmt;
use std::str::FromStr;

use super::Dim;
use crate::backbone::{BackboneConfig, Module, Part, Site};

/// A trainable tensor. As text it is the name of the tensor's input in a program.
///
/// Names are ordered by module, in the order of its tensors, and the head comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterName {
    /// A tensor of a module; in training also one that a served tensor is made of.
    Module(Module, Part),
    /// The head's weight, `[D, C]`.
    HeadWeight,
    /// The head's bias, `[C]`.
    HeadBias,
}

impl ParameterName {
    /// The down-projection of an adapter, `[D, R]`.
    pub fn down(adapter: impl Into<Module>) -> Self {
        Self::Module(adapter.into(), Part::Down)
    }

    /// The up-projection of an adapter, `[R, D]`.
    pub fn up(adapter: impl Into<Module>) -> Self {
        Self::Module(adapter.into(), Part::Up)
    }

    /// The tensors of a module.
    pub fn of(module: Module) -> impl Iterator<Item = Self> {
        module.form.parts().iter().map(move |&part| Self::Module(module, part))
    }

    /// Shape of a module's tensor, its width open; none for the head, and where the backbone has no such place.
    pub fn dims(self, config: &BackboneConfig) -> Option<Vec<Dim>> {
        let Self::Module(module, part) = self else { return None };
        let mut dims: Vec<Dim> = config.part_shape(module, part, 0)?.into_iter().map(Dim::Fixed).collect();
        match part {
            Part::Down | Part::DownBias => dims[1] = Dim::Width(module),
            Part::Up => dims[0] = Dim::Width(module),
            Part::UpBias | Part::Scale | Part::Shift => {}
        }
        Some(dims)
    }

    /// Whether weight decay acts on it: on matrices, not on biases and scales.
    pub fn decays(self) -> bool {
        match self {
            Self::Module(_, part) => part.is_matrix(),
            Self::HeadWeight => true,
            Self::HeadBias => false,
        }
    }

    /// The module of a tensor; none for the head.
    pub fn module(self) -> Option<Module> {
        match self {
            Self::Module(module, _) => Some(module),
            Self::HeadWeight | Self::HeadBias => None,
        }
    }

    /// The site of a module's tensor; none for the head.
    pub fn site(self) -> Option<Site> {
        self.module().map(|module| module.site)
    }
}

/// The head's weight as text.
pub const HEAD_WEIGHT: &str = "head.weight";
/// The head's bias as text.
pub const HEAD_BIAS: &str = "head.bias";

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(module, part) => write!(f, "{module}.{}", part.as_str()),
            Self::HeadWeight => f.write_str(HEAD_WEIGHT),
            Self::HeadBias => f.write_str(HEAD_BIAS),
        }
    }
}

impl FromStr for ParameterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of_module = || {
            let (module, part) = text.rsplit_once('.')?;
            Some(Self::Module(Module::parse(module)?, Part::parse(part)?))
        };
        let found = match text {
            HEAD_WEIGHT => Some(Self::HeadWeight),
            HEAD_BIAS => Some(Self::HeadBias),
            _ => of_module(),
        };
        found.ok_or_else(|| format!("unknown parameter {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{BlockRange, ModuleSet};

    #[test]
    fn names_are_read_as_they_are_written() {
        let site = Site::parse("blocks.2.mlp").unwrap();
        assert_eq!(ParameterName::down(site).to_string(), "blocks.2.mlp.adapter.down");
        let names = [
            "blocks.0.q.bypass_input_none.up",
            "blocks.1.norm1.affine.scale",
            "blocks.2.out.bypass_output_relu.down_bias",
        ];
        for name in names.into_iter().chain([HEAD_WEIGHT, HEAD_BIAS]) {
            assert_eq!(name.parse::<ParameterName>().unwrap().to_string(), name);
        }
        for name in ["blocks.1.attn.adapter.left", "blocks.1.q.adapter.down"] {
            assert!(name.parse::<ParameterName>().is_err());
        }
    }

    #[test]
    fn names_are_ordered_by_site_and_the_head_is_last() {
        let adapters = ModuleSet::adapters(BlockRange { start: 0, end: 2 });
        let heads = [ParameterName::HeadWeight, ParameterName::HeadBias];
        let names: Vec<_> = adapters.iter().flat_map(ParameterName::of).chain(heads).collect();
        assert!(names.is_sorted());
    }
}
