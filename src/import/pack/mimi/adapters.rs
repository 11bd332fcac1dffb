//! Adapters out of a checkpoint's tensors: masks applied, dead neurons dropped.

use std::collections::BTreeMap;
use std::path::Path;

use super::Error;
use super::layout::{Family, Matrix, Stages, part};
use crate::backbone::Site;
use crate::import::backbone::checkpoint::{Checkpoint, Tensor};
use crate::pack::Weights;

/// The adapter of one site as the checkpoint has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Where it sits.
    pub site: Site,
    /// Neurons in the checkpoint, dead ones included (N).
    pub neurons: usize,
    /// Width of the block (M).
    pub block_width: usize,
    /// Down-projection with its mask applied, `[N, M]`.
    pub down: Vec<f32>,
    /// Up-projection with its mask applied, `[M, N]`.
    pub up: Vec<f32>,
    /// Neurons that live, ascending.
    pub live: Vec<usize>,
}

impl Adapter {
    /// The live neurons alone, as packs hold them: width R, down `[R, M]`, up `[M, R]`.
    pub fn packed(&self) -> (usize, Vec<f32>, Vec<f32>) {
        let (n, m) = (self.neurons, self.block_width);
        let down = self.live.iter().flat_map(|j| &self.down[j * m..(j + 1) * m]).copied().collect();
        let up = (0..m).flat_map(|i| self.live.iter().map(move |j| self.up[i * n + j])).collect();
        (self.live.len(), down, up)
    }

    /// The live neurons alone.
    pub(super) fn live_weights(&self) -> Weights {
        let (width, down, up) = self.packed();
        Weights::adapter(width, &down, &up)
    }

    /// Every neuron, dead ones as zeros.
    pub(super) fn weights(&self) -> Weights {
        Weights::adapter(self.neurons, &self.down, &self.up)
    }
}

/// What a checkpoint adds to its backbone.
#[derive(Debug)]
pub struct Found {
    /// Whose naming it has.
    pub family: Family,
    /// Blocks of the backbone.
    pub depth: usize,
    /// Adapters in order of computation.
    pub adapters: Vec<Adapter>,
    /// Head weight, `[C, D]`.
    pub head_weight: Vec<f32>,
    /// Head bias, `[C]`.
    pub head_bias: Vec<f32>,
    /// Width of the feature the head reads (D).
    pub head_width: usize,
    /// What somebody should know.
    pub notices: Vec<String>,
    /// The tensors that are left: the backbone's.
    pub(super) rest: Checkpoint,
}

impl Found {
    /// Reads a checkpoint's adapters and head from a `.safetensors` or `torch.save` file.
    ///
    /// # Errors
    /// When the file cannot be read, or see [`Error`].
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::take(super::source::Source::read(path)?.checkpoint)?)
    }

    /// Takes adapters and head out of a checkpoint.
    pub(super) fn take(mut checkpoint: Checkpoint) -> Result<Self, Error> {
        checkpoint.strip_prefix("module.");
        let family = Family::of(checkpoint.tensors.keys())?;
        let stages = Stages::of(family, checkpoint.tensors.keys())?;
        refuse_parallel(family, &checkpoint)?;
        let mut notices = Vec::new();
        let mut adapters = Vec::new();
        let mut unused = 0;
        for (site, parts) in take_parts(&mut checkpoint, family, &stages)? {
            if family.uses(site.place) {
                adapters.push(adapter(site, parts, &mut notices)?);
            } else {
                unused += 1;
            }
        }
        if unused > 0 {
            notices.push(format!(
                "{unused} adapter(s) behind the attention (parallel_mlp1) ignored: the reference's {family} never runs them"
            ));
        }
        let (head_weight, head_bias, head_width) = take_head(&mut checkpoint)?;
        let (depth, rest) = (stages.depth(), checkpoint);
        Ok(Self { family, depth, adapters, head_weight, head_bias, head_width, notices, rest })
    }
}

/// Norms that only adapters of the parallel kind have.
fn refuse_parallel(family: Family, checkpoint: &Checkpoint) -> Result<(), Error> {
    let is_norm = |name: &str| {
        let rest = family.block(name).map(|(_, _, rest)| rest).unwrap_or_default();
        rest.starts_with("norm3.") || rest.starts_with("norm4.")
    };
    match checkpoint.tensors.keys().find(|name| is_norm(name)) {
        Some(tensor) => Err(Error::Parallel { tensor: tensor.clone() }),
        None => Ok(()),
    }
}

/// The tensors of one adapter by matrix and kind, with their names.
type Parts = BTreeMap<(Matrix, String), (String, Tensor)>;

fn take_parts(
    checkpoint: &mut Checkpoint,
    family: Family,
    stages: &Stages,
) -> Result<BTreeMap<Site, Parts>, Error> {
    let mut sites: BTreeMap<Site, Parts> = BTreeMap::new();
    for (name, tensor) in std::mem::take(&mut checkpoint.tensors) {
        match part(family, stages, &name) {
            Some((site, matrix, kind)) => {
                let kind = kind.to_owned();
                sites.entry(site).or_default().insert((matrix, kind), (name, tensor));
            }
            None if name.contains("parallel_mlp") => {
                return Err(Error::tensor(name, "is no part of an adapter that is known"));
            }
            None => drop(checkpoint.tensors.insert(name, tensor)),
        }
    }
    Ok(sites)
}

fn adapter(site: Site, mut parts: Parts, notices: &mut Vec<String>) -> Result<Adapter, Error> {
    let (down, up) = (projection(site, &mut parts, Matrix::Down)?, projection(site, &mut parts, Matrix::Up)?);
    if let Some((name, _)) = parts.into_values().next() {
        return Err(Error::tensor(name, "is no part of an adapter without biases"));
    }
    let [neurons, block_width] = down.shape;
    if up.shape != [block_width, neurons] {
        let reason = format!("has shape {:?}, expected {:?} to follow fc1", up.shape, [block_width, neurons]);
        return Err(Error::tensor(up.name, reason));
    }
    let rows = down.kept(neurons, |j| (j * block_width..(j + 1) * block_width).collect())?;
    let columns = up.kept(neurons, |j| (0..block_width).map(|i| i * neurons + j).collect())?;
    let live = agree(site, (&down, rows), (&up, columns), notices)?;
    Ok(Adapter { site, neurons, block_width, down: down.values, up: up.values, live })
}

/// Neurons that live under both masks. Where only rows of fc1 were masked, their neurons give GELU(0) = 0
/// whatever fc2 says.
fn agree(
    site: Site,
    (down, rows): (&Projection, Vec<bool>),
    (up, columns): (&Projection, Vec<bool>),
    notices: &mut Vec<String>,
) -> Result<Vec<usize>, Error> {
    let both = |wanted: (bool, bool)| {
        let pairs = rows.iter().zip(&columns).enumerate();
        pairs.filter(|(_, (row, column))| (**row, **column) == wanted).map(|(j, _)| j).collect::<Vec<_>>()
    };
    let (only_down, only_up) = (both((true, false)), both((false, true)));
    let masked = down.mask.is_some() && up.mask.is_some();
    if masked && !(only_down.is_empty() && only_up.is_empty()) {
        if columns.contains(&false) {
            return Err(Error::Disagreement { site, down: only_down, up: only_up });
        }
        notices.push(format!(
            "{site}: only fc1 is masked (down_magnitude); its {} live neuron(s) kept",
            rows.len() - only_up.len()
        ));
    }
    Ok(both((true, true)))
}

/// One matrix of an adapter with its mask applied.
struct Projection {
    name: String,
    shape: [usize; 2],
    values: Vec<f32>,
    mask: Option<Tensor>,
}

fn projection(site: Site, parts: &mut Parts, matrix: Matrix) -> Result<Projection, Error> {
    let mut take = |kind: &str| parts.remove(&(matrix, kind.to_owned()));
    let (weight, original, mask) = (take("weight"), take("weight_orig"), take("weight_mask"));
    let ((name, weight), mask) = match (weight, original, mask) {
        (Some(weight), None, None) => (weight, None),
        (None, Some(original), Some(mask)) => (original, Some(mask)),
        _ => {
            let name = format!("{site}, {}", if matrix == Matrix::Down { "fc1" } else { "fc2" });
            return Err(Error::tensor(name, "expected either weight or weight_orig with weight_mask"));
        }
    };
    let [rows, columns] = weight.shape[..] else {
        return Err(Error::tensor(name, format!("has shape {:?}, expected a matrix", weight.shape)));
    };
    let mut values = weight.data;
    if let Some((mask_name, mask)) = &mask {
        check_mask(mask_name, mask, &weight.shape)?;
        values
            .iter_mut()
            .zip(&mask.data)
            .for_each(|(value, mask)| *value = if *mask == 0.0 { 0.0 } else { *value });
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::tensor(name, format!("holds {} at position {index}", values[index])));
    }
    let (name, mask) = match mask {
        Some((name, mask)) => (name, Some(mask)),
        None => (name, None),
    };
    Ok(Projection { name, shape: [rows, columns], values, mask })
}

fn check_mask(name: &str, mask: &Tensor, shape: &[usize]) -> Result<(), Error> {
    if mask.shape != shape {
        return Err(Error::tensor(name, format!("has shape {:?}, its weight {shape:?}", mask.shape)));
    }
    match mask.data.iter().find(|&&value| value != 0.0 && value != 1.0) {
        Some(value) => Err(Error::tensor(name, format!("holds {value}, expected only 0 and 1"))),
        None => Ok(()),
    }
}

impl Projection {
    /// For each neuron, whether its elements at `places` are kept: by the mask, else by not being all zero.
    fn kept(&self, neurons: usize, places: impl Fn(usize) -> Vec<usize>) -> Result<Vec<bool>, Error> {
        let of = |j: usize| {
            let places = places(j);
            let Some(mask) = &self.mask else { return Ok(places.iter().any(|&i| self.values[i] != 0.0)) };
            let count = places.iter().filter(|&&i| mask.data[i] != 0.0).count();
            match count {
                0 => Ok(false),
                count if count == places.len() => Ok(true),
                _ => Err(Error::Unstructured { tensor: self.name.clone() }),
            }
        };
        (0..neurons).map(of).collect()
    }
}

fn take_head(checkpoint: &mut Checkpoint) -> Result<(Vec<f32>, Vec<f32>, usize), Error> {
    let mut take =
        |name: &str| checkpoint.tensors.remove(name).ok_or_else(|| Error::tensor(name, "is missing"));
    let (weight, bias) = (take("head.weight")?, take("head.bias")?);
    let [classes, width] = weight.shape[..] else {
        return Err(Error::tensor("head.weight", format!("has shape {:?}, expected a matrix", weight.shape)));
    };
    if bias.shape != [classes] {
        return Err(Error::tensor("head.bias", format!("has shape {:?}, expected [{classes}]", bias.shape)));
    }
    Ok((weight.data, bias.data, width))
}
