//! A method as a pack or a training has it: with its settings and the widths of its modules.

use std::collections::BTreeMap;

use super::factor::Factor;
use super::fit::Fit;
use super::settings::Settings;
use super::{Chosen, Error};
use crate::backbone::{BackboneConfig, Module, ModuleSet};
use crate::graph::{self, Dim, Express, Graph, ParameterName, Wire};

/// What decides how served tensors are made of trained ones. Packs of one kind share one expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kind {
    /// The method.
    pub adaptation: Chosen,
    /// Its settings.
    pub settings: Settings,
    /// Every module that is served, with its width; 0 of a form that has none.
    pub widths: BTreeMap<Module, usize>,
}

impl Kind {
    /// The modules that are served.
    pub fn modules(&self) -> ModuleSet {
        self.widths.keys().copied().collect()
    }

    /// Whether some of their tensors are made from smaller ones.
    pub fn is_factorised(&self) -> bool {
        self.adaptation.is_factorised(self.modules())
    }

    /// Widths of the modules whose tensors are made from smaller ones; of a method that trains what it serves, none.
    pub fn made(&self) -> BTreeMap<Module, usize> {
        if self.is_factorised() { self.widths.clone() } else { BTreeMap::new() }
    }

    /// The kind on a backbone.
    pub fn on<'a>(&'a self, config: &'a BackboneConfig) -> Bound<'a> {
        Bound { kind: self, config }
    }
}

/// A kind on a backbone.
#[derive(Clone, Copy)]
pub struct Bound<'a> {
    kind: &'a Kind,
    config: &'a BackboneConfig,
}

impl Bound<'_> {
    fn fit(&self) -> Fit<'_> {
        Fit { config: self.config, settings: &self.kind.settings, widths: &self.kind.widths }
    }

    /// Checks settings, modules and widths.
    ///
    /// # Errors
    /// With the operands that do not fit.
    pub fn check(&self) -> Result<(), Error> {
        let (Kind { adaptation, settings, widths }, config) = (self.kind, self.config);
        adaptation.checked(settings.clone())?;
        let own = adaptation.modules(config, settings);
        for &module in widths.keys() {
            let strange = (!own.contains(module)).then(|| "it has no such module there".into());
            if let Some(reason) = strange.or_else(|| config.refuses(module)) {
                return Err(Error::Misfit { method: adaptation.name(), module, reason });
            }
        }
        adaptation.check(self.fit())
    }

    /// The smaller tensors that served ones are made from; none of a method that trains what it serves.
    pub fn factors(&self) -> Vec<Factor> {
        self.kind.adaptation.factors(self.fit())
    }

    /// Shape of every tensor that is trained, by name, without the head.
    pub fn trained(&self) -> BTreeMap<ParameterName, Vec<usize>> {
        let parts = self.kind.widths.iter().flat_map(|(&module, &width)| {
            let of = self.kind.adaptation.trained(module).into_iter();
            of.map(move |part| {
                let shape = self.config.part_shape(module, part, width).unwrap_or_default();
                (ParameterName::Module(module, part), shape)
            })
        });
        let factors = self.factors().into_iter().map(|factor| (factor.name, factor.shape));
        parts.chain(factors).collect()
    }
}

impl Express for Bound<'_> {
    /// A method's own expression. The widths of a factorised method are known, so no dimension is open.
    fn served(&self, g: &mut Graph, name: ParameterName, shape: Vec<Dim>) -> Result<Wire, graph::Error> {
        let fit = self.fit();
        let known = |dim: Dim| match dim {
            Dim::Width(module) if self.kind.is_factorised() => Dim::Fixed(fit.width(module)),
            other => other,
        };
        self.kind.adaptation.served(fit, g, name, shape.into_iter().map(known).collect())
    }
}
