//! Served tensors as a function of trained ones.

use super::loss::Loss;
use super::{Dim, Error, Fact, Graph, ParameterName, Wire};
use crate::backbone::{BackboneConfig, ModuleSet};

/// Where a training graph's modules get their tensors from.
pub trait Express {
    /// Wires the tensor that serves as `name` out of trained ones, which are inputs of the graph under names of
    /// parameters, and of frozen weights. Unless a method says otherwise, what is served is what is trained.
    ///
    /// # Errors
    /// When a name is used twice, or shapes do not fit.
    fn served(&self, g: &mut Graph, name: ParameterName, shape: Vec<Dim>) -> Result<Wire, Error> {
        trained(g, name, shape)
    }
}

/// What a training graph has and a serving one has not.
#[derive(Clone, Copy)]
pub struct Trained<'a> {
    /// Where the modules' tensors come from.
    pub express: &'a dyn Express,
    /// What is minimised.
    pub loss: Loss,
    /// Whether every branch is multiplied by a number for each row: stochastic depth (Huang et al. 2016).
    pub drops_paths: bool,
}

/// Every served tensor is trained itself.
#[derive(Clone, Copy, Debug)]
pub struct Direct;

impl Express for Direct {}

impl Direct {
    /// A training of what is served under cross-entropy, without dropped paths.
    pub const TRAINED: Trained<'static> =
        Trained { express: &Direct, loss: Loss::CrossEntropy, drops_paths: false };
}

/// A trained tensor: an input under its name.
///
/// # Errors
/// When the name is used twice.
pub fn trained(g: &mut Graph, name: ParameterName, shape: Vec<Dim>) -> Result<Wire, Error> {
    g.input(name.to_string(), Fact::f32(shape))
}

/// The served tensors of `modules` alone: trained ones in, served ones out under [`SERVED`] and their names. One that is
/// trained itself is no output.
///
/// # Errors
/// When the backbone has no place for a module, or shapes do not fit.
pub fn expression(
    config: &BackboneConfig,
    modules: ModuleSet,
    express: &dyn Express,
) -> Result<Graph, Error> {
    let mut g = Graph::new("expression");
    for name in modules.iter().flat_map(ParameterName::of) {
        let shape = name.dims(config).ok_or_else(|| Error::Plan {
            plan: name.to_string(),
            reason: format!("{} has no such place", config.name),
        })?;
        let wire = express.served(&mut g, name, shape)?;
        if g.wire_name(wire) != name.to_string() {
            g.output(format!("{SERVED}{name}"), wire);
        }
    }
    Ok(g)
}

/// What the names of [`expression`]'s outputs begin with.
pub const SERVED: &str = "served/";
