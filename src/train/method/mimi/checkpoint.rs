//! A training's state on disk: one safetensors file, written after every epoch by a rename.
//!
//! Tensors are `<model>.<parameter>.<part>`. The model is `model` or `held` (the last one that held the accuracy, where
//! that is the target), the part is `values`, `mean` or `square`. A mask of single weights is `mask.<parameter>`, a byte
//! each. Everything else is JSON in the file's metadata. Each
//! epoch seeds its own random numbers, so no generator state is stored.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::State;
use crate::backbone::Module;
use crate::files::write_atomically;
use crate::graph::ParameterName;
use crate::train::fingerprint::Fingerprint;
use crate::train::history::{History, Place};
use crate::train::model::Model;
use crate::train::optim::adamw::AdamW;
use crate::train::optim::mask::Masks;
use crate::train::parameters::Parameter;

/// Key of the JSON in the file's metadata.
const HEADER: &str = "training";
/// Models a file may hold.
const MODEL: &str = "model";
const HELD: &str = "held";
/// What the names of masks begin with.
const MASK: &str = "mask.";
/// Parts of a parameter.
const PARTS: [&str; 3] = ["values", "mean", "square"];

/// A state without its tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    fingerprint: Value,
    cycle: usize,
    epoch: usize,
    original: BTreeMap<String, usize>,
    /// Widths of modules whose tensors are made from smaller ones.
    made: BTreeMap<String, usize>,
    history: History,
    finished: bool,
    /// Steps made by each parameter of each model.
    steps: BTreeMap<String, BTreeMap<String, i32>>,
}

/// A tensor of the file.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Tensor {
    fn view(&self) -> Result<(&str, TensorView<'_>)> {
        Ok((&self.name, TensorView::new(self.dtype, self.shape.clone(), &self.bytes)?))
    }
}

/// Writes the state of the training that `fingerprint` describes.
///
/// # Errors
/// When the file cannot be written; an earlier one is then untouched.
pub fn save(path: &Path, state: &State, fingerprint: &Fingerprint) -> Result<()> {
    let (mut tensors, mut steps) = (Vec::new(), BTreeMap::new());
    for (name, model) in [(MODEL, Some(&state.model)), (HELD, state.held.as_ref())] {
        let Some(model) = model else { continue };
        steps.insert(name.to_owned(), add(&mut tensors, name, model));
    }
    for (name, mask) in state.masks.iter() {
        let bytes = mask.iter().map(|kept| u8::from(*kept)).collect();
        tensors.push(Tensor {
            name: format!("{MASK}{name}"),
            shape: vec![mask.len()],
            dtype: Dtype::U8,
            bytes,
        });
    }
    let header = Header {
        fingerprint: serde_json::to_value(fingerprint)?,
        cycle: state.place.cycle,
        epoch: state.place.epoch,
        original: named(&state.original),
        made: named(&state.model.made),
        history: state.history.clone(),
        finished: state.finished,
        steps,
    };
    let metadata = HashMap::from([(HEADER.to_owned(), serde_json::to_string(&header)?)]);
    let views: Vec<_> = tensors.iter().map(Tensor::view).collect::<Result<_>>()?;
    let file = safetensors::serialize(views, Some(metadata))?;
    let context = || format!("writing the checkpoint {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    write_atomically(path, &file).with_context(context)
}

/// Adds a model's tensors. Returns the number of steps of each parameter.
fn add(tensors: &mut Vec<Tensor>, model: &str, of: &Model) -> BTreeMap<String, i32> {
    let mut steps = BTreeMap::new();
    for (name, parameter) in of.parameters.iter() {
        let (mean, square, made) = parameter.state.moments();
        for (part, values) in PARTS.iter().zip([&parameter.values[..], mean, square]) {
            let (name, shape) = (format!("{model}.{name}.{part}"), parameter.shape.clone());
            tensors.push(Tensor { name, shape, dtype: Dtype::F32, bytes: bytes(values) });
        }
        steps.insert(name.to_string(), made);
    }
    steps
}

/// Reads the state of the training that `fingerprint` describes; none where there is no file.
///
/// # Errors
/// When the file cannot be read, is damaged, or belongs to another training.
pub fn load(path: &Path, fingerprint: &Fingerprint) -> Result<Option<State>> {
    let context = || format!("the checkpoint {}", path.display());
    let file = match fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(context),
    };
    parse(&file, fingerprint).map(Some).with_context(context)
}

fn parse(file: &[u8], fingerprint: &Fingerprint) -> Result<State> {
    let (_, metadata) = SafeTensors::read_metadata(file)?;
    let header = metadata.metadata().as_ref().and_then(|all| all.get(HEADER));
    let header: Value = serde_json::from_str(header.context("it does not describe a training")?)?;
    // Checked first, because another release may have used another header.
    if let Some(reason) = fingerprint.refuses(header.get("fingerprint").unwrap_or(&Value::Null)) {
        bail!("it belongs to another training: {reason}");
    }
    let header: Header = serde_json::from_value(header)?;
    let tensors = SafeTensors::deserialize(file)?;
    let made = widths(&header.made)?;
    let model = |name: &str| {
        let model = header.steps.get(name).map(|steps| model(name, steps, &tensors)).transpose()?;
        anyhow::Ok(model.map(|model| Model { made: made.clone(), ..model }))
    };
    Ok(State {
        place: Place { cycle: header.cycle, epoch: header.epoch },
        model: model(MODEL)?.context("it has no model")?,
        held: model(HELD)?,
        masks: masks(&tensors)?,
        original: widths(&header.original)?,
        history: header.history,
        finished: header.finished,
    })
}

fn masks(tensors: &SafeTensors<'_>) -> Result<Masks> {
    let named = tensors.iter().filter_map(|(name, view)| Some((name.strip_prefix(MASK)?, view)));
    let mask = |(name, view): (&str, TensorView<'_>)| {
        let name = name.parse::<ParameterName>().map_err(|reason| anyhow!(reason))?;
        Ok((name, view.data().iter().map(|kept| *kept != 0).collect()))
    };
    named.map(mask).collect()
}

fn model(model: &str, steps: &BTreeMap<String, i32>, tensors: &SafeTensors<'_>) -> Result<Model> {
    let parameter = |(name, made): (&String, &i32)| {
        let parameter = parameter(&format!("{model}.{name}"), *made, tensors)?;
        Ok((name.parse::<ParameterName>().map_err(|reason| anyhow!(reason))?, parameter))
    };
    let parameters = steps.iter().map(parameter).collect::<Result<_>>()?;
    Ok(Model { parameters, ..Model::default() })
}

fn parameter(name: &str, steps: i32, tensors: &SafeTensors<'_>) -> Result<Parameter> {
    let [values, mean, square] = PARTS.map(|part| tensors.tensor(&format!("{name}.{part}")));
    let (values, mean, square) = (values?, mean?, square?);
    let sizes = [&mean, &square].map(|moment| moment.shape() == values.shape());
    ensure!(sizes == [true, true], "the moments of {name} are not of its shape {:?}", values.shape());
    let mut parameter = Parameter::new(values.shape().to_vec(), floats(values.data()));
    parameter.state = AdamW::restore(floats(mean.data()), floats(square.data()), steps);
    Ok(parameter)
}

fn named(widths: &BTreeMap<Module, usize>) -> BTreeMap<String, usize> {
    widths.iter().map(|(module, width)| (module.to_string(), *width)).collect()
}

fn widths(named: &BTreeMap<String, usize>) -> Result<BTreeMap<Module, usize>> {
    named.iter().map(|(name, width)| Ok((module(name)?, *width))).collect()
}

fn module(text: &str) -> Result<Module> {
    Module::parse(text).with_context(|| format!("{text:?} is not a module"))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
