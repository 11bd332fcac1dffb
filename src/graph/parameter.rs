//! Names of what is trained.

use std::fmt;
use std::str::FromStr;

use super::{Dim, Label};
use crate::backbone::{BackboneConfig, Module, Part, Site};

/// A trainable tensor. As text it is the name of the tensor's input in a program.
///
/// Names are ordered by module, in the order of its tensors; then come factors, and the head last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterName {
    /// A tensor of a module; in training also one that a served tensor is made of.
    Module(Module, Part),
    /// A tensor that a method makes the served ones of a module from.
    Factor(Module, Label),
    /// One that it makes those of several modules from.
    Shared(Label),
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

    /// What an adapter's neurons are multiplied by in training, `[R, 1]`.
    pub fn gate(adapter: impl Into<Module>) -> Self {
        Self::Module(adapter.into(), Part::Gate)
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
            Part::Up | Part::Gate => dims[0] = Dim::Width(module),
            Part::Keys | Part::Values => dims[1] = Dim::Width(module),
            Part::Mask => dims[3] = Dim::Width(module),
            Part::UpBias | Part::Scale | Part::Shift => {}
        }
        Some(dims)
    }

    /// Whether weight decay acts on it: on matrices, not on biases and scales. Of factors, whose kinds are a method's own,
    /// the shape tells: one of more than one axis is a matrix or several.
    pub fn decays(self, shape: &[usize]) -> bool {
        match self {
            Self::Module(_, part) => part.is_matrix() || part == Part::Values,
            Self::Factor(..) | Self::Shared(_) => shape.len() > 1,
            Self::HeadWeight => true,
            Self::HeadBias => false,
        }
    }

    /// What its learning rate is multiplied by. Gates begin at 1, matrices at hundredths.
    pub fn pace(self) -> f64 {
        if self.is_gate() { GATE_PACE } else { 1.0 }
    }

    /// Whether it holds what neurons are multiplied by.
    pub fn is_gate(self) -> bool {
        matches!(self, Self::Module(_, Part::Gate))
    }

    /// Whether it belongs to the head.
    pub fn is_of_head(self) -> bool {
        matches!(self, Self::HeadWeight | Self::HeadBias)
    }

    /// The module of a tensor; none for the head, and for what several modules are made from.
    pub fn module(self) -> Option<Module> {
        match self {
            Self::Module(module, _) | Self::Factor(module, _) => Some(module),
            Self::Shared(_) | Self::HeadWeight | Self::HeadBias => None,
        }
    }

    /// The site of a module's tensor; none for any other.
    pub fn site(self) -> Option<Site> {
        self.module().map(|module| module.site)
    }
}

/// Rate of gates over that of matrices. A matrix then still moves faster, relative to its own size.
const GATE_PACE: f64 = 10.0;
/// The head's weight as text.
pub const HEAD_WEIGHT: &str = "head.weight";
/// The head's bias as text.
pub const HEAD_BIAS: &str = "head.bias";
/// Between a module and the label of its factor.
const FACTOR: &str = ".factor.";
/// Before the label of what several modules are made from.
const SHARED: &str = "shared.";

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(module, part) => write!(f, "{module}.{}", part.as_str()),
            Self::Factor(module, label) => write!(f, "{module}{FACTOR}{label}"),
            Self::Shared(label) => write!(f, "{SHARED}{label}"),
            Self::HeadWeight => f.write_str(HEAD_WEIGHT),
            Self::HeadBias => f.write_str(HEAD_BIAS),
        }
    }
}

impl FromStr for ParameterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of_module = || {
            if let Some(label) = text.strip_prefix(SHARED) {
                return Some(Self::Shared(Label::parse(label)?));
            }
            if let Some((module, label)) = text.split_once(FACTOR) {
                return Some(Self::Factor(Module::parse(module)?, Label::parse(label)?));
            }
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
            "blocks.2.attn.bypass_output_gelu.factor.down_s",
            "shared.stages_0_u",
        ];
        for name in names.into_iter().chain([HEAD_WEIGHT, HEAD_BIAS]) {
            assert_eq!(name.parse::<ParameterName>().unwrap().to_string(), name);
        }
        let wrong = [
            "blocks.1.attn.adapter.left",
            "blocks.1.q.adapter.down",
            "blocks.1.q.adapter.factor.down_s",
            "blocks.1.attn.adapter.factor.Down",
            "shared.a.b",
        ];
        for name in wrong {
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
