//! AdaptFormer (Chen et al. 2022): `x + MLP(LN x) + 0.1 · (U · ReLU(A · x + a) + u)`, beside the MLP.

use super::{Adaptation, Drawn, Fit, Settings};
use crate::backbone::{Activation, BackboneConfig, Form, Module, ModuleSet, Part, Place, Site, Source};
use crate::graph::ops::Mul;
use crate::graph::{Constant, Dim, Error, Graph, ParameterName, Wire, trained};

/// What the branch is multiplied by (the authors' code and section 4.1).
const SCALE: f32 = 0.1;

/// A branch parallel to the MLP that reads the residual stream before the norm.
#[derive(Debug)]
pub struct AdaptFormer;

impl Adaptation for AdaptFormer {
    fn name(&self) -> &'static str {
        "adaptformer"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/adaptformer.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        let form = Form::Bypass { source: Source::Input, activation: Some(Activation::Relu) };
        let at = |block| Module { site: Site::new(block, Place::Mlp), form };
        config.blocks().iter().map(at).collect()
    }

    /// A Kaiming uniform with a = √5, everything else zero: the network starts at the backbone.
    fn begin(&self, part: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        match part {
            Part::Down => draw.uniform(),
            _ => draw.constant(0.0),
        }
    }

    /// The scale is folded into what leaves the branch.
    fn served(&self, _: Fit<'_>, g: &mut Graph, name: ParameterName, shape: Vec<Dim>) -> Result<Wire, Error> {
        let own = trained(g, name, shape)?;
        match name {
            ParameterName::Module(_, Part::Up | Part::UpBias) => {
                let scale = g.shared_constant("adaptformer.scale", || Constant::scalar(SCALE))?;
                g.wire(format!("{name}.scaled"), Mul, &[own, scale])
            }
            _ => Ok(own),
        }
    }
}
