//! What decides the tensors of a method.

use std::collections::BTreeMap;

use super::Error;
use super::settings::Settings;
use crate::backbone::{BackboneConfig, Module, PlaceShape};

/// A method's settings on a backbone, with the modules that it serves.
#[derive(Clone, Copy)]
pub struct Fit<'a> {
    /// The backbone.
    pub config: &'a BackboneConfig,
    /// The method's settings.
    pub settings: &'a Settings,
    /// Every module that is served, with its width; 0 of a form that has none.
    pub widths: &'a BTreeMap<Module, usize>,
}

impl<'a> Fit<'a> {
    /// Hidden neurons of a module (R).
    pub fn width(&self, module: Module) -> usize {
        self.widths.get(&module).copied().unwrap_or(0)
    }

    /// Whether a module is as wide as the first: methods whose modules share factors have one rank.
    ///
    /// # Errors
    /// [`Error::Misfit`] with both widths.
    pub(super) fn same_rank(&self, method: &'static str, module: Module) -> Result<(), Error> {
        let (own, rank) = (self.width(module), self.widths.values().next().copied().unwrap_or(0));
        if own == rank {
            return Ok(());
        }
        let reason = format!("its rank is {own}, another module's {rank}");
        Err(Error::Misfit { method, module, reason })
    }

    /// The modules in order.
    pub fn modules(&self) -> impl Iterator<Item = Module> + use<'a> {
        self.widths.keys().copied()
    }

    /// Widths of what enters and leaves the module's place: none where the backbone has no such place.
    pub fn place(&self, module: Module) -> Option<PlaceShape> {
        self.config.place(module.site)
    }
}
