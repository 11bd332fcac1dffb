//! Adapters whose matrices are sums of Kronecker products: `W = Σ_k R_k ⊗ B_k` (Zhang et al. 2021).

use super::factor::{First, factor};
use super::{Error, Factor, Fit, Settings};
use crate::backbone::{Activation, BackboneConfig, Form, Module, ModuleSet, Part, Site, Source};
use crate::graph::ops::{MatMul, Transpose, View};
use crate::graph::{self, Graph, Label, ParameterName, Wire};

/// First deviation of the rules that a layer has for itself (Karimi Mahabadi et al. 2021, the authors' code).
pub(super) const RULE: First = First::Normal(0.01);
/// Gain of Xavier's bound for everything else.
pub(super) const GAIN: f64 = std::f64::consts::SQRT_2;

/// One of the two matrices of an adapter, and the names of what it is made from.
#[derive(Clone, Copy)]
pub(super) struct Layer {
    pub(super) module: Module,
    pub(super) part: Part,
    /// Rows of R_k and how many there are.
    pub(super) n: usize,
    /// Rows and columns of each B_k: `in / n` and `out / n`.
    pub(super) block: [usize; 2],
}

impl Layer {
    /// The layer of a matrix; none for a bias.
    pub(super) fn of(fit: Fit<'_>, module: Module, part: Part) -> Option<Self> {
        let (n, width) = (fit.settings.count("n").max(1), fit.width(module));
        let place = fit.place(module)?;
        match part {
            Part::Down => Some(Self { module, part, n, block: [place.input / n, width / n] }),
            Part::Up => Some(Self { module, part, n, block: [width / n, place.width() / n] }),
            _ => None,
        }
    }

    /// Both layers of every adapter.
    pub(super) fn all(fit: Fit<'_>) -> impl Iterator<Item = Self> {
        fit.modules().flat_map(move |module| {
            [Part::Down, Part::Up].into_iter().filter_map(move |part| Self::of(fit, module, part))
        })
    }

    /// A factor of the layer, its label given for down and up.
    pub(super) fn name(self, [down, up]: [Label; 2]) -> ParameterName {
        ParameterName::Factor(self.module, if self.part == Part::Down { down } else { up })
    }

    /// The layer's own rules, `[n, n, n]`.
    pub(super) fn rule(self) -> Factor {
        const LABELS: [Label; 2] = [Label::of("down_r"), Label::of("up_r")];
        Factor { name: self.name(LABELS), shape: vec![self.n; 3], first: RULE }
    }

    /// `Σ_k R_k ⊗ B_k`, both products and the sum in one matrix product.
    ///
    /// # Shapes
    /// rule `[n, n, n]`, blocks `[n, p · q]`; the result `[n · p, n · q]`.
    pub(super) fn expand(
        self,
        g: &mut Graph,
        rule: &Factor,
        blocks: impl FnOnce(&mut Graph, &str) -> Result<Wire, graph::Error>,
    ) -> Result<Wire, graph::Error> {
        let (name, n, [p, q]) = (format!("{}.{}.made", self.module, self.part.as_str()), self.n, self.block);
        let rule = factor(g, rule.name, &rule.shape)?;
        let rule = g.wire(format!("{name}.rule"), View { shape: vec![n, n * n] }, &[rule])?;
        let rule = g.wire(format!("{name}.turned"), Transpose::last_two(2), &[rule])?; // [a c, k]
        let blocks = blocks(g, &name)?;
        let both = g.wire(format!("{name}.product"), MatMul, &[rule, blocks])?; // [a c, p q]
        let both = g.wire(format!("{name}.parts"), View { shape: vec![n, n, p, q] }, &[both])?;
        let order = Transpose { order: vec![0, 2, 1, 3] };
        let both = g.wire(format!("{name}.ordered"), order, &[both])?; // [a, p, c, q]
        g.wire(name, View { shape: vec![n * p, n * q] }, &[both])
    }
}

/// Adapters behind each attention and each MLP, with biases and the non-linearity that the settings name.
pub(super) fn modules(config: &BackboneConfig, settings: &Settings) -> ModuleSet {
    let activation = match settings.word("activation") {
        "gelu" => Activation::Gelu,
        "relu" => Activation::Relu,
        _ => Activation::GeluTanh,
    };
    let form = Form::Bypass { source: Source::Output, activation: Some(activation) };
    Site::of_adapters(config.blocks()).map(|site| Module { site, form }).collect()
}

/// Whether n divides the widths of every adapter.
pub(super) fn check(method: &'static str, fit: Fit<'_>) -> Result<(), Error> {
    let n = fit.settings.count("n").max(1);
    for module in fit.modules() {
        let (width, d) = (fit.width(module), fit.place(module).map_or(0, |place| place.width()));
        if width % n != 0 || d % n != 0 {
            let reason = format!(
                "n = {n} must divide the width {width} of the adapter and the width {d} of the block"
            );
            return Err(Error::Misfit { method, module, reason });
        }
    }
    Ok(())
}
