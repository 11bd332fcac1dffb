//! BitFit (Ben Zaken et al. 2022): only biases are trained, `b + δ`.
//!
//! On Swin the tables of relative positions are among them: a δ for each offset and head, gathered for each pair of a window's
//! tokens when a pack is loaded.

use super::factor::{First, factor};
use super::layers::everywhere;
use super::{Adaptation, Drawn, Factor, Fit, Settings};
use crate::backbone::{Architecture, BackboneConfig, Form, Module, ModuleSet, Part, Place, Site, SwinConfig};
use crate::graph::ops::{MatMul, Transpose, View};
use crate::graph::{self, Constant, Dim, Graph, Label, ParameterName, Wire, trained};

/// Where a bias changes nothing: it adds one number to all scores of a query. The last norm's changes nothing that the
/// head's own bias does not, and it lies outside the blocks.
const IDLE: Place = Place::K;

/// Shifts of every linear layer, norm, embedding and table of positions.
#[derive(Debug)]
pub struct BitFit;

/// δ of a table, `[(2W − 1)² · H]`: one axis, as weight decay does not act on biases. None of anything else.
fn table(fit: Fit<'_>, module: Module) -> Option<(&SwinConfig, Factor)> {
    let Architecture::Swin(swin) = &fit.config.architecture else { return None };
    let heads = fit.place(module).filter(|_| module.site.place == Place::Scores)?.output[0];
    let name = ParameterName::Factor(module, Label::of("delta"));
    Some((swin, Factor { name, shape: vec![swin.offsets() * heads], first: First::Constant(0.0) }))
}

/// For each pair of a window's tokens the row of the table, as a product that picks it.
///
/// # Shapes
/// `[W⁴, (2W − 1)²]`.
fn picks(swin: &SwinConfig) -> Constant {
    let (n, offsets) = (swin.window * swin.window, swin.offsets());
    let mut data = vec![0.0; n * n * offsets];
    for (pair, row) in data.chunks_mut(offsets).enumerate() {
        row[swin.offset(pair / n, pair % n)] = 1.0;
    }
    Constant::F32 { shape: vec![n * n, offsets], data }
}

impl Adaptation for BitFit {
    fn name(&self) -> &'static str {
        "bitfit"
    }

    fn recipe(&self) -> &'static str {
        include_str!("../../recipes/bitfit.json")
    }

    fn modules(&self, config: &BackboneConfig, _: &Settings) -> ModuleSet {
        let layers = everywhere(config, Form::Shift).filter(|module| module.site.place != IDLE);
        let scores = |block| Module { site: Site::new(block, Place::Scores), form: Form::Shift };
        let tables = config.blocks().iter().map(scores).filter(|module| config.refuses(*module).is_none());
        layers.union(tables.collect())
    }

    fn trained(&self, module: Module) -> Vec<Part> {
        if module.site.place == Place::Scores { Vec::new() } else { module.form.parts().to_vec() }
    }

    fn begin(&self, _: Part, draw: &mut Drawn<'_>) -> Vec<f32> {
        draw.constant(0.0)
    }

    fn is_factorised(&self, modules: ModuleSet) -> bool {
        modules.iter().any(|module| module.site.place == Place::Scores)
    }

    fn factors(&self, fit: Fit<'_>) -> Vec<Factor> {
        fit.modules().filter_map(|module| table(fit, module)).map(|(_, table)| table).collect()
    }

    fn served(
        &self,
        fit: Fit<'_>,
        g: &mut Graph,
        name: ParameterName,
        shape: Vec<Dim>,
    ) -> Result<Wire, graph::Error> {
        let own = if let ParameterName::Module(module, _) = name { table(fit, module) } else { None };
        let Some((swin, Factor { name: delta, shape: own, .. })) = own else {
            return trained(g, name, shape);
        };
        let (n, offsets, at) = (swin.window * swin.window, swin.offsets(), format!("{name}.made"));
        let heads = own[0] / offsets;
        let delta = factor(g, delta, &own)?;
        let delta = g.wire(format!("{at}.table"), View { shape: vec![offsets, heads] }, &[delta])?;
        let picks = g.shared_constant("bitfit.picks", || picks(swin))?;
        let pairs = g.wire(format!("{at}.pairs"), MatMul, &[picks, delta])?; // [n n, H]
        let pairs = g.wire(format!("{at}.heads"), Transpose::last_two(2), &[pairs])?;
        g.wire(at, View { shape: vec![1, heads, n, n] }, &[pairs])
    }
}
