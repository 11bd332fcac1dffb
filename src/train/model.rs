//! What is trained: adapters and head, with the optimiser's state, in the layout of the graph.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};

use super::adamw::{AdamW, AdamWOptions};
use crate::backbone::{BackboneConfig, Site, SiteSet};
use crate::graph::training::{HEAD_BIAS, HEAD_WEIGHT};
use crate::graph::{down_input, up_input};
use crate::pack::{self, Head};

/// A trainable tensor and its moments.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub values: Vec<f32>,
    /// The optimiser's state.
    pub state: AdamW,
    /// Whether weight decay acts on it: on matrices, not on vectors (METHOD section 5).
    pub decays: bool,
}

impl Parameter {
    /// Starts with zero moments.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Self {
        let state = AdamW::new(values.len(), AdamWOptions::default());
        Self { decays: shape.len() > 1, shape, values, state }
    }

    /// Keeps the elements at `indices`, with their moments.
    fn keep(&mut self, shape: Vec<usize>, indices: &[usize]) {
        self.values = indices.iter().map(|&i| self.values[i]).collect();
        self.state.keep(indices);
        self.shape = shape;
    }
}

/// The adapter at one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// `[D, R]`.
    pub down: Parameter,
    /// `[R, D]`.
    pub up: Parameter,
}

impl Adapter {
    /// Hidden neurons (R).
    pub fn width(&self) -> usize {
        self.up.shape[0]
    }

    /// Width of the block (D).
    pub fn block_width(&self) -> usize {
        self.up.shape[1]
    }

    /// Keeps the neurons at `kept`, ascending.
    fn keep(&mut self, kept: &[usize]) {
        let (r, d) = (self.width(), self.block_width());
        let columns: Vec<usize> = (0..d).flat_map(|i| kept.iter().map(move |j| i * r + j)).collect();
        let rows: Vec<usize> = kept.iter().flat_map(|j| j * d..(j + 1) * d).collect();
        self.down.keep(vec![d, kept.len()], &columns);
        self.up.keep(vec![kept.len(), d], &rows);
    }
}

/// Everything a task trains.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Adapters by site; one without neurons is not here.
    pub adapters: BTreeMap<Site, Adapter>,
    /// `[D, C]`.
    pub head_weight: Parameter,
    /// `[C]`.
    pub head_bias: Parameter,
}

impl Model {
    /// A head alone.
    pub fn from_head(head: &Head) -> Self {
        let (classes, width) = head.weight.dim();
        let weight = head.weight.t().iter().copied().collect();
        Self {
            adapters: BTreeMap::new(),
            head_weight: Parameter::new(vec![width, classes], weight),
            head_bias: Parameter::new(vec![classes], head.bias.to_vec()),
        }
    }

    /// The head as a pack has it.
    pub fn head(&self) -> Head {
        let (width, classes) = (self.head_weight.shape[0], self.head_weight.shape[1]);
        let at = |(c, d): (usize, usize)| self.head_weight.values[d * classes + c];
        Head {
            weight: Array2::from_shape_fn((classes, width), at),
            bias: Array1::from_vec(self.head_bias.values.clone()),
        }
    }

    /// Sites that have an adapter.
    pub fn sites(&self) -> SiteSet {
        self.adapters.keys().copied().collect()
    }

    /// Width of the adapter at each site that has one.
    pub fn widths(&self) -> BTreeMap<Site, usize> {
        self.adapters.iter().map(|(&site, adapter)| (site, adapter.width())).collect()
    }

    /// Adapter neurons in all.
    pub fn neurons(&self) -> usize {
        self.adapters.values().map(Adapter::width).sum()
    }

    /// Parameters of the adapters.
    pub fn adapter_parameters(&self) -> usize {
        self.adapters.values().map(|a| 2 * a.width() * a.block_width()).sum()
    }

    /// Parameters: adapters and head.
    pub fn parameters(&self) -> usize {
        self.adapter_parameters() + self.head_weight.values.len() + self.head_bias.values.len()
    }

    /// First block with an adapter; the depth where there is none.
    pub fn lowest_block(&self, config: &BackboneConfig) -> usize {
        self.adapters.keys().next().map_or(config.depth(), |site| site.block)
    }

    /// Every parameter under the name of its input in the training graph, in the order of
    /// [`trainable_inputs`](crate::graph::training::trainable_inputs).
    pub fn named(&self) -> Vec<(String, &Parameter)> {
        let adapters = self.adapters.iter();
        let adapters = adapters.flat_map(|(&s, a)| [(down_input(s), &a.down), (up_input(s), &a.up)]);
        let head = [(HEAD_WEIGHT.into(), &self.head_weight), (HEAD_BIAS.into(), &self.head_bias)];
        adapters.chain(head).collect()
    }

    /// The same parameters, to be changed.
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let adapters = self.adapters.values_mut().flat_map(|a| [&mut a.down, &mut a.up]);
        adapters.chain([&mut self.head_weight, &mut self.head_bias]).collect()
    }

    /// Keeps the neurons that `kept` lists for each site, with their moments; an adapter left with none
    /// vanishes.
    pub fn keep(&mut self, kept: &BTreeMap<Site, Vec<usize>>) {
        self.adapters.retain(|site, adapter| {
            let neurons = kept.get(site).map_or(&[][..], Vec::as_slice);
            adapter.keep(neurons);
            !neurons.is_empty()
        });
    }

    /// Adapters in the layout of a pack: width R, down `[R, D]`, up `[D, R]`.
    pub fn packed(&self) -> BTreeMap<Site, (usize, Vec<f32>, Vec<f32>)> {
        let packed = self.adapters.iter().map(|(&site, a)| {
            let (r, d) = (a.width(), a.block_width());
            (site, (r, pack::transpose(&a.down.values, d, r), pack::transpose(&a.up.values, r, d)))
        });
        packed.collect()
    }
}
