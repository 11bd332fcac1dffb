//! What is trained: adapters and a head, in the layout of the training graph.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};

use super::parameters::{MissingParameter, Parameter, Parameters};
use crate::backbone::{BackboneConfig, Site, SiteSet};
use crate::graph::{ParameterName, Projection};
use crate::pack::{self, Head};

/// The matrices of the adapter at one site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projections<'a> {
    /// `[D, R]`.
    pub down: &'a Parameter,
    /// `[R, D]`.
    pub up: &'a Parameter,
}

impl Projections<'_> {
    /// Hidden neurons (R).
    pub fn width(&self) -> usize {
        self.up.shape[0]
    }

    /// Width of the block (D).
    pub fn block_width(&self) -> usize {
        self.up.shape[1]
    }
}

/// Adapters in the layout of a pack, by site: width R, down `[R, D]`, up `[D, R]`.
pub type Packed = BTreeMap<Site, (usize, Vec<f32>, Vec<f32>)>;

/// Everything a task trains.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// The tensors. An adapter without neurons has none.
    pub parameters: Parameters,
}

impl Model {
    /// A head alone.
    pub fn from_head(head: &Head) -> Self {
        let (classes, width) = head.weight.dim();
        let weight = head.weight.t().iter().copied().collect();
        let named = [
            (ParameterName::HeadWeight, Parameter::new(vec![width, classes], weight)),
            (ParameterName::HeadBias, Parameter::new(vec![classes], head.bias.to_vec())),
        ];
        Self { parameters: named.into_iter().collect() }
    }

    /// The head as a pack has it.
    ///
    /// # Errors
    /// When the model has no head.
    pub fn head(&self) -> Result<Head, MissingParameter> {
        let weight = self.parameters.get(ParameterName::HeadWeight)?;
        let bias = self.parameters.get(ParameterName::HeadBias)?;
        let (width, classes) = (weight.shape[0], weight.shape[1]);
        Ok(Head {
            weight: Array2::from_shape_fn((classes, width), |(c, d)| weight.values[d * classes + c]),
            bias: Array1::from_vec(bias.values.clone()),
        })
    }

    /// Number of classes.
    ///
    /// # Errors
    /// When the model has no head.
    pub fn classes(&self) -> Result<usize, MissingParameter> {
        Ok(self.parameters.get(ParameterName::HeadBias)?.values.len())
    }

    /// The adapter at a site.
    ///
    /// # Errors
    /// When one of its matrices is missing.
    pub fn adapter(&self, site: Site) -> Result<Projections<'_>, MissingParameter> {
        let get = |name| self.parameters.get(name);
        Ok(Projections { down: get(ParameterName::down(site))?, up: get(ParameterName::up(site))? })
    }

    /// Sites that have an adapter.
    pub fn sites(&self) -> SiteSet {
        self.parameters.iter().filter_map(|(name, _)| name.site()).collect()
    }

    /// Width of the adapter at each site that has one.
    pub fn widths(&self) -> BTreeMap<Site, usize> {
        let width = |(name, parameter): (ParameterName, &Parameter)| match name {
            ParameterName::Adapter(site, Projection::Up) => Some((site, parameter.shape[0])),
            _ => None,
        };
        self.parameters.iter().filter_map(width).collect()
    }

    /// Adapter neurons in all.
    pub fn neurons(&self) -> usize {
        self.widths().values().sum()
    }

    /// Elements of the adapters.
    pub fn adapter_parameters(&self) -> usize {
        let adapters = self.parameters.iter().filter(|(name, _)| name.site().is_some());
        adapters.map(|(_, parameter)| parameter.values.len()).sum()
    }

    /// First block with an adapter; the depth where there is none.
    pub fn lowest_block(&self, config: &BackboneConfig) -> usize {
        self.sites().lowest_block().unwrap_or(config.depth())
    }

    /// Keeps the neurons that `kept` lists for each site, ascending, with their moments. An adapter left with none
    /// vanishes.
    pub fn keep(&mut self, kept: &BTreeMap<Site, Vec<usize>>) {
        let none = Vec::new();
        let neurons = |site: Site| kept.get(&site).unwrap_or(&none);
        self.parameters.retain(|name| name.site().is_none_or(|site| !neurons(site).is_empty()));
        for (name, parameter) in self.parameters.iter_mut() {
            match name {
                ParameterName::Adapter(site, Projection::Down) => parameter.keep_columns(neurons(site)),
                ParameterName::Adapter(site, Projection::Up) => parameter.keep_rows(neurons(site)),
                ParameterName::HeadWeight | ParameterName::HeadBias => {}
            }
        }
    }

    /// Its adapters in the layout of a pack.
    ///
    /// # Errors
    /// When a matrix is missing.
    pub fn packed(&self) -> Result<Packed, MissingParameter> {
        let packed = self.sites().iter().map(|site| {
            let adapter = self.adapter(site)?;
            let (r, d) = (adapter.width(), adapter.block_width());
            let down = pack::transpose(&adapter.down.values, d, r);
            Ok((site, (r, down, pack::transpose(&adapter.up.values, r, d))))
        });
        packed.collect()
    }
}
