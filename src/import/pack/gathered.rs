//! Modules as they are found, each checked against the backbone.

use std::collections::BTreeMap;

use crate::backbone::{BackboneConfig, Form, Module, Part, Site, Source};
use crate::import::backbone::checkpoint::Tensor;
use crate::pack::{Weights, transpose};

use super::tensors::MAX_BYTES;

/// `y + scale · up · down · x`, as PyTorch lays matrices out: down `[R, D_in]`, up `[D_out, R]`.
pub(super) struct LowRank<'a> {
    pub(super) down: &'a Tensor,
    pub(super) up: &'a Tensor,
    pub(super) scale: f32,
}

/// The modules found so far.
pub(super) struct Gathered<'a> {
    pub(super) config: &'a BackboneConfig,
    pub(super) modules: BTreeMap<Module, Weights>,
    bytes: u64,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(config: &'a BackboneConfig) -> Self {
        Self { config, modules: BTreeMap::new(), bytes: 0 }
    }

    /// Whether there is a place for a module of that width; asked before anything is computed for it.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn check(&self, module: Module, width: usize) -> Result<(), String> {
        let name = &self.config.name;
        if !module.form.fits(module.site.place) || self.config.refuses(module).is_some() {
            return Err(format!("the backbone {name} has no place for {module}"));
        }
        let most = self.config.widest(module);
        if !(1..=most).contains(&width) {
            let what = if module.form.has_neurons() { "neurons" } else { "keys" };
            return Err(format!("{width} {what} at {}, expected 1 to {most}", module.site));
        }
        if self.modules.contains_key(&module) {
            return Err(format!("{module} is there twice"));
        }
        let parts = module.form.parts().iter().map(|part| self.elements(module, *part, width));
        match self.bytes + 4 * parts.sum::<usize>() as u64 {
            bytes if bytes > MAX_BYTES => {
                Err(format!("the modules take more than the {MAX_BYTES} bytes allowed"))
            }
            _ => Ok(()),
        }
    }

    fn elements(&self, module: Module, part: Part, width: usize) -> usize {
        self.config.part_shape(module, part, width).unwrap_or_default().iter().product()
    }

    /// Adds a module, its matrices `[in, out]`.
    ///
    /// # Errors
    /// A sentence, when it does not fit or its numbers are not finite.
    pub(super) fn add(
        &mut self,
        module: Module,
        width: usize,
        parts: Vec<(Part, Vec<f32>)>,
    ) -> Result<(), String> {
        self.check(module, width)?;
        for (part, values) in &parts {
            let expected = self.elements(module, *part, width);
            if values.len() != expected {
                let (found, name) = (values.len(), &self.config.name);
                let part = part.as_str();
                return Err(format!(
                    "{part} at {} has {found} numbers, {name} needs {expected}",
                    module.site
                ));
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!("holds {value}"));
            }
            self.bytes += 4 * values.len() as u64;
        }
        self.modules.insert(module, Weights::new(width, parts));
        Ok(())
    }

    /// Adds a product of two thin matrices beside one linear layer, or beside several that are one in the file:
    /// these share `down`, and the rows of `up` are theirs in turn.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn add_low_rank(&mut self, sites: &[Site], pair: &LowRank<'_>) -> Result<(), String> {
        let ([r, input], [output, r_up]) = (pair.down.matrix()?, pair.up.matrix()?);
        if r != r_up || output % sites.len() != 0 {
            return Err(format!("has shape {:?}, which does not fit {:?}", pair.down.shape, pair.up.shape));
        }
        let each = output / sites.len();
        let down = transpose(&pair.down.data, r, input);
        for (&site, up) in sites.iter().zip(pair.up.data.chunks(each * r)) {
            let up = transpose(up, each, r).into_iter().map(|value| value * pair.scale).collect();
            let module = Module { site, form: Form::Bypass { source: Source::Input, activation: None } };
            self.add(module, r, vec![(Part::Down, down.clone()), (Part::Up, up)])?;
        }
        Ok(())
    }
}

impl Tensor {
    /// Its shape, if it is a matrix with elements.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn matrix(&self) -> Result<[usize; 2], String> {
        match self.shape[..] {
            [rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
            _ => Err(format!("has shape {:?}, expected a matrix", self.shape)),
        }
    }
}
