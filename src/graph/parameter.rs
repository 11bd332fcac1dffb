//! Names of what is trained.

use std::fmt;
use std::str::FromStr;

use crate::backbone::Site;

/// One of an adapter's two matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    /// From the block's width to the adapter's.
    Down,
    /// Back to the block's width.
    Up,
}

/// A trainable tensor. As text it is the name of the tensor's input in a training graph.
///
/// Names are ordered by site, down before up, and the head comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterName {
    /// A matrix of the adapter at a site.
    Adapter(Site, Projection),
    /// The head's weight, `[D, C]`.
    HeadWeight,
    /// The head's bias, `[C]`.
    HeadBias,
}

impl ParameterName {
    /// The down-projection at a site, `[D, R]`.
    pub fn down(site: Site) -> Self {
        Self::Adapter(site, Projection::Down)
    }

    /// The up-projection at a site, `[R, D]`.
    pub fn up(site: Site) -> Self {
        Self::Adapter(site, Projection::Up)
    }

    /// The site of an adapter's matrix; none for the head.
    pub fn site(self) -> Option<Site> {
        match self {
            Self::Adapter(site, _) => Some(site),
            Self::HeadWeight | Self::HeadBias => None,
        }
    }
}

/// The head's weight as text.
pub const HEAD_WEIGHT: &str = "head.weight";
/// The head's bias as text.
pub const HEAD_BIAS: &str = "head.bias";

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adapter(site, Projection::Down) => write!(f, "{site}.adapter.down"),
            Self::Adapter(site, Projection::Up) => write!(f, "{site}.adapter.up"),
            Self::HeadWeight => f.write_str(HEAD_WEIGHT),
            Self::HeadBias => f.write_str(HEAD_BIAS),
        }
    }
}

impl FromStr for ParameterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let adapter = |site: &str, projection| Site::parse(site).map(|site| Self::Adapter(site, projection));
        let found = match text {
            HEAD_WEIGHT => Some(Self::HeadWeight),
            HEAD_BIAS => Some(Self::HeadBias),
            _ => match text.rsplit_once(".adapter.") {
                Some((site, "down")) => adapter(site, Projection::Down),
                Some((site, "up")) => adapter(site, Projection::Up),
                _ => None,
            },
        };
        found.ok_or_else(|| format!("unknown parameter {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{down_input, up_input};

    #[test]
    fn names_are_those_of_the_inputs_and_are_read_as_they_are_written() {
        let site = Site::from_index(5);
        let (down, up) = (ParameterName::down(site), ParameterName::up(site));
        assert_eq!((down.to_string(), up.to_string()), (down_input(site), up_input(site)));
        for name in [down, up, ParameterName::HeadWeight, ParameterName::HeadBias] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("blocks.1.attn.adapter.left".parse::<ParameterName>().is_err());
    }

    #[test]
    fn names_are_ordered_by_site_and_the_head_is_last() {
        let names: Vec<_> = (0..4)
            .map(Site::from_index)
            .flat_map(|site| [ParameterName::down(site), ParameterName::up(site)])
            .chain([ParameterName::HeadWeight, ParameterName::HeadBias])
            .collect();
        assert!(names.is_sorted());
    }
}
