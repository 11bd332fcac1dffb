//! The forms of change, wired where the families' graphs ask for them.
//!
//! ```text
//! y ← y + Σ up · act(down · x + a) + u          every bypass at the site, x its source
//! y ← y ⊙ scale + shift
//! y ← y + shift
//! ```
//! A site without a module adds no node.

use super::layers::{Feed, Layers};
use super::ops::{Add, MatMul, Mul};
use super::{Dim, Error, Fact, ParameterName, Wire};
use crate::backbone::{Activation, Form, Module, Part, Place, Site, Source};

impl Layers<'_> {
    /// What leaves a site: `y`, changed by the modules there. `x` is what enters it.
    ///
    /// # Shapes
    /// `x [.., D_in]`, `y [.., D_out]`.
    pub(super) fn change(&mut self, site: Site, x: Wire, y: Wire) -> Result<Wire, Error> {
        let mut changed = y;
        for form in Form::all().filter(|form| form.fits(site.place)) {
            let module = Module { site, form };
            if !self.modules.contains(module) {
                continue;
            }
            changed = match form {
                Form::Adapter => self.bypass(module, [y, changed], Some(self.adapter))?,
                Form::Bypass { source: Source::Input, activation } => {
                    self.bypass(module, [x, changed], activation)?
                }
                Form::Bypass { source: Source::Output, activation } => {
                    self.bypass(module, [y, changed], activation)?
                }
                Form::Affine => {
                    let scale = self.part(module, Part::Scale, changed)?;
                    let scaled = self.under(module.to_string()).wire("scaled", Mul, &[changed, scale])?;
                    self.shift(module, scaled)?
                }
                Form::Shift => self.shift(module, changed)?,
                // The attention itself takes these, and the embedding those.
                Form::Prefix | Form::Prompts => changed,
            };
        }
        Ok(changed)
    }

    /// `y + up · act(down · x + a) + u`, the biases where the form has them.
    fn bypass(
        &mut self,
        module: Module,
        [x, y]: [Wire; 2],
        activation: Option<Activation>,
    ) -> Result<Wire, Error> {
        let is_biased = module.form.parts().contains(&Part::DownBias);
        let down = self.matrix(module, Part::Down, x)?;
        let up = self.matrix(module, Part::Up, y)?;
        let mut layers = self.under(module.to_string());
        let mut z = layers.wire("hidden", MatMul, &[x, down])?; // [B, N, R]
        if is_biased {
            let bias = layers.part(module, Part::DownBias, x)?;
            z = layers.wire("hidden.biased", Add, &[z, bias])?;
        }
        if let Some(activation) = activation {
            z = layers.at("act").activation(activation, z)?;
        }
        let mut change = layers.wire("change", MatMul, &[z, up])?; // [B, N, D_out]
        if is_biased {
            let bias = layers.part(module, Part::UpBias, y)?;
            change = layers.wire("change.biased", Add, &[change, bias])?;
        }
        if module.site.place == Place::Out {
            // Sub-layers drop their modules with them; this one is behind both.
            change = layers.kept(&module.to_string(), change)?;
        }
        layers.wire("out", Add, &[y, change])
    }

    fn shift(&mut self, module: Module, y: Wire) -> Result<Wire, Error> {
        let shift = self.part(module, Part::Shift, y)?;
        self.under(module.to_string()).wire("out", Add, &[y, shift])
    }

    /// The input of a bypass's matrix beside `x`, what it reads or adds to.
    fn matrix(&mut self, module: Module, part: Part, x: Wire) -> Result<Wire, Error> {
        let (wide, narrow) = (Dim::Fixed(self.width(x)), Dim::Width(module));
        let shape = if part == Part::Down { [wide, narrow] } else { [narrow, wide] };
        self.fed(module, part, shape.into())
    }

    /// The input of any other part beside `x`, what it changes.
    fn part(&mut self, module: Module, part: Part, x: Wire) -> Result<Wire, Error> {
        let shape = match part {
            Part::DownBias => vec![Dim::Width(module)],
            _ if module.site.place == Place::Scores => {
                let shape = &self.g.fact(x).shape;
                shape[shape.len().saturating_sub(3)..].to_vec()
            }
            _ => vec![Dim::Fixed(self.width(x))],
        };
        self.fed(module, part, [vec![Dim::Fixed(1)], shape].concat())
    }

    pub(super) fn fed(&mut self, module: Module, part: Part, shape: Vec<Dim>) -> Result<Wire, Error> {
        let name = ParameterName::Module(module, part);
        match self.feed {
            Feed::Free => self.g.input(name.to_string(), Fact::module(shape)),
            Feed::Shared(trained) => trained.express.served(self.g, name, shape),
        }
    }
}
