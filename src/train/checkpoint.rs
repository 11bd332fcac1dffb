//! A training's state on disk: one safetensors file, written after every epoch by a rename.
//!
//! Tensors are `<model>.<input>.<part>`: the model is `model` or `held` (the last one that held the accuracy, where
//! that is the target), the input as in the training graph, the part `values`, `mean` or `square`. Everything else is
//! JSON in the file's metadata. Chance is drawn anew for each epoch from the seed, so that none need be kept.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::adamw::AdamW;
use super::model::{Adapter, Model, Parameter};
use super::progress::{Cycle, Epoch};
use super::state::State;
use crate::backbone::Site;
use crate::files::write_atomically;
use crate::graph::training::{HEAD_BIAS, HEAD_WEIGHT};
use crate::graph::{down_input, up_input};

/// Key of the JSON in the file's metadata.
const HEADER: &str = "training";
/// Models a file may hold.
const MODEL: &str = "model";
const HELD: &str = "held";
/// Parts of a parameter.
const PARTS: [&str; 3] = ["values", "mean", "square"];

/// A state without its tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    identity: String,
    cycle: usize,
    epoch: usize,
    original: BTreeMap<String, usize>,
    epochs: Vec<Epoch>,
    cycles: Vec<Cycle>,
    finished: bool,
    /// Sites of each model that is here.
    sites: BTreeMap<String, Vec<String>>,
    /// Steps made, by parameter.
    steps: BTreeMap<String, i32>,
}

/// Writes the state of the training that `identity` describes.
///
/// # Errors
/// When the file cannot be written; an earlier one is then untouched.
pub fn save(path: &Path, state: &State, identity: &str) -> Result<()> {
    let (mut tensors, mut steps, mut sites) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for (name, model) in [(MODEL, Some(&state.model)), (HELD, state.held.as_ref())] {
        let Some(model) = model else { continue };
        sites.insert(name.to_owned(), model.adapters.keys().map(Site::to_string).collect());
        for (input, parameter) in model.named() {
            let (mean, square, made) = parameter.state.moments();
            for (part, values) in PARTS.iter().zip([&parameter.values[..], mean, square]) {
                tensors.push((format!("{name}.{input}.{part}"), parameter.shape.clone(), bytes(values)));
            }
            steps.insert(format!("{name}.{input}"), made);
        }
    }
    let original = state.original.iter().map(|(site, width)| (site.to_string(), *width)).collect();
    let State { cycle, epoch, epochs, cycles, finished, .. } = state.clone();
    let identity = identity.to_owned();
    let header = Header { identity, cycle, epoch, original, epochs, cycles, finished, sites, steps };
    let metadata = HashMap::from([(HEADER.to_owned(), serde_json::to_string(&header)?)]);
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<Result<_>>()?;
    let file = safetensors::serialize(views, Some(metadata))?;
    let context = || format!("writing the checkpoint {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    write_atomically(path, &file).with_context(context)
}

/// Reads the state of the training that `identity` describes; none where there is no file.
///
/// # Errors
/// When the file cannot be read, is damaged, or belongs to another training.
pub fn load(path: &Path, identity: &str) -> Result<Option<State>> {
    let file = match fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("the checkpoint {}", path.display())),
    };
    let state = parse(&file, identity).with_context(|| format!("the checkpoint {}", path.display()))?;
    Ok(Some(state))
}

fn parse(file: &[u8], identity: &str) -> Result<State> {
    let (_, metadata) = SafeTensors::read_metadata(file)?;
    let header = metadata.metadata().as_ref().and_then(|all| all.get(HEADER));
    let header: Header = serde_json::from_str(header.context("it does not describe a training")?)?;
    ensure!(
        header.identity == identity,
        "it belongs to another training:\n  there {}\n  here  {identity}",
        header.identity
    );
    let tensors = SafeTensors::deserialize(file)?;
    let model = |name: &str| header.sites.get(name).map(|_| model(name, &header, &tensors)).transpose();
    let original = header.original.iter().map(|(name, width)| Ok((site(name)?, *width)));
    Ok(State {
        cycle: header.cycle,
        epoch: header.epoch,
        model: model(MODEL)?.context("it has no model")?,
        held: model(HELD)?,
        original: original.collect::<Result<_>>()?,
        epochs: header.epochs.clone(),
        cycles: header.cycles.clone(),
        finished: header.finished,
    })
}

fn model(name: &str, header: &Header, tensors: &SafeTensors<'_>) -> Result<Model> {
    let read = |input: &str| parameter(&format!("{name}.{input}"), header, tensors);
    let mut adapters = BTreeMap::new();
    for text in header.sites.get(name).into_iter().flatten() {
        let site = site(text)?;
        adapters.insert(site, Adapter { down: read(&down_input(site))?, up: read(&up_input(site))? });
    }
    Ok(Model { adapters, head_weight: read(HEAD_WEIGHT)?, head_bias: read(HEAD_BIAS)? })
}

fn parameter(name: &str, header: &Header, tensors: &SafeTensors<'_>) -> Result<Parameter> {
    let [values, mean, square] = PARTS.map(|part| tensors.tensor(&format!("{name}.{part}")));
    let (values, mean, square) = (values?, mean?, square?);
    let steps = header.steps.get(name).with_context(|| format!("{name} has no count of steps"))?;
    let mut parameter = Parameter::new(values.shape().to_vec(), floats(values.data()));
    parameter.state = AdamW::restore((floats(mean.data()), floats(square.data())), *steps);
    let sizes = [&mean, &square].map(|moment| moment.shape() == values.shape());
    ensure!(sizes == [true, true], "the moments of {name} are not of its shape {:?}", values.shape());
    Ok(parameter)
}

fn site(text: &str) -> Result<Site> {
    Site::parse(text).ok_or_else(|| anyhow!("{text:?} is not a site"))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
