//! BitFit (Ben Zaken et al. 2022): only biases are trained, `b + δ`.
//!
//! On Swin the tables of relative positions are among them: a δ for each offset and head, gathered for each pair of a window's
//! tokens when a pack is loaded.

use super::factor::{First, factor};
use super::layers::everywhere;
use super::{Adaptation, Factor, Fit, Settings};
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

/// For each pair of a window's rows, or columns, their offset along that axis, as a product that picks it.
///
/// # Shapes
/// `[W², 2W − 1]`.
fn picks(swin: &SwinConfig) -> Constant {
    let (w, side) = (swin.window, 2 * swin.window - 1);
    let mut data = vec![0.0; w * w * side];
    for (pair, row) in data.chunks_mut(side).enumerate() {
        row[pair / w + w - 1 - pair % w] = 1.0;
    }
    Constant::F32 { shape: vec![w * w, side], data }
}

/// The table gathered for each pair of a window's tokens: first along rows, then along columns.
///
/// # Shapes
/// `table [(2W − 1)² · H]`, the result `[1, H, W², W²]`.
fn gathered(
    g: &mut Graph,
    at: &str,
    (swin, heads): (&SwinConfig, usize),
    table: Wire,
) -> Result<Wire, graph::Error> {
    let (w, side) = (swin.window, 2 * swin.window - 1);
    let n = w * w;
    let picks = g.shared_constant("bitfit.picks", || picks(swin))?;
    let view = |g: &mut Graph, name: &str, shape: Vec<usize>, x| {
        g.wire(format!("{at}.{name}"), View { shape }, &[x])
    };
    let rows = view(g, "table", vec![side, side * heads], table)?;
    let rows = g.wire(format!("{at}.rows"), MatMul, &[picks, rows])?; // [a c, column, H]
    let rows = view(g, "rows.each", vec![n, side, heads], rows)?;
    let columns = g.wire(format!("{at}.turned"), Transpose { order: vec![1, 0, 2] }, &[rows])?;
    let columns = view(g, "columns.flat", vec![side, n * heads], columns)?;
    let pairs = g.wire(format!("{at}.columns"), MatMul, &[picks, columns])?; // [b d, a c, H]
    let pairs = view(g, "pairs", vec![w, w, w, w, heads], pairs)?;
    let order = Transpose { order: vec![4, 2, 0, 3, 1] }; // [H, a, b, c, d]
    let pairs = g.wire(format!("{at}.ordered"), order, &[pairs])?;
    g.wire(at, View { shape: vec![1, heads, n, n] }, &[pairs])
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
        let heads = own[0] / swin.offsets();
        let delta = factor(g, delta, &own)?;
        gathered(g, &format!("{name}.made"), (swin, heads), delta)
    }
}
