//! What timm says of a model: `config.json` beside the weights, and what its training writes into a checkpoint.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::checkpoint::Checkpoint;
use super::config_files::{PretrainedConfig, is_hugging_faces, read_beside};
use super::error::Error;
use super::ledger::{Ledger, Told};
use super::request::Request;
use super::timm_models::KnownModel;
use crate::backbone::Error as BackboneError;

/// One place that tells.
#[derive(Clone, Debug)]
struct Source {
    /// The file, for errors.
    path: PathBuf,
    /// How lines of the table name it.
    place: String,
    top: Map<String, Value>,
    args: Map<String, Value>,
}

/// Everything timm's files tell.
#[derive(Clone, Debug, Default)]
pub(super) struct TimmConfig {
    sources: Vec<Source>,
    /// The model that `architecture` names, if it is one of timm's ViTs.
    pub(super) model: Option<KnownModel>,
    pub(super) pretrained_cfg: Option<PretrainedConfig>,
}

impl TimmConfig {
    /// Reads what there is.
    ///
    /// # Errors
    /// When a file is damaged or Hugging Face's, or two of them name different architectures.
    pub(super) fn read(from: &Checkpoint, request: &Request, ledger: &mut Ledger) -> Result<Self, Error> {
        let mut config = Self::default();
        if let Some(file) = read_beside::<Value>(request, "config.json")? {
            let path = request.weights.with_file_name("config.json");
            if is_hugging_faces(&file) {
                let a = "config.json says it is Hugging Face's".to_owned();
                let b = format!("{} has timm's names of tensors", from.path.display());
                return Err(Error::Contradiction { what: "naming".into(), a, b });
            }
            config.pretrained_cfg = pretrained_cfg(&file, &path)?;
            config.sources.push(Source::new(path, "config.json", file));
        }
        if let Some(own) = &from.own_config {
            config.sources.push(Source::new(from.path.clone(), "checkpoint", own.clone()));
        }
        let names = config.texts(|source| &source.top, "", "architecture")?;
        // A tag behind a dot says how the model was trained; timm's saver writes the class where it knows no name.
        let names = names.into_iter().map(|told| {
            let told = told?;
            let name = told.value.split('.').next().unwrap_or_default().to_owned();
            (name != "visiontransformer").then(|| told.with(name))
        });
        let names: Vec<_> = names.collect();
        let name = ledger.settle("architecture", names, None)?;
        config.model = name.as_deref().and_then(KnownModel::named);
        Ok(config)
    }

    /// Refuses arguments that no line of the table is made of, unless they change nothing.
    pub(super) fn understand(&self, used: &[&str], neutral: &[(&str, Value)]) -> Result<(), Error> {
        for source in &self.sources {
            for (name, value) in &source.args {
                let harmless = value.is_null()
                    || used.contains(&name.as_str())
                    || HARMLESS.contains(&name.as_str())
                    || name.ends_with("drop_rate")
                    || neutral.iter().any(|(known, same)| known == name && same == value);
                if !harmless {
                    let family = format!("a model with {name} = {value}");
                    let sign = format!("{}: model_args.{name}", source.place);
                    return Err(Error::Unsupported { path: source.path.clone(), family, sign });
                }
            }
        }
        Ok(())
    }

    /// A number of `model_args`, else the named model's.
    pub(super) fn number(&self, name: &str, of: impl Fn(&KnownModel) -> usize) -> Sources<usize> {
        self.or_model(self.arg_number(name)?, of)
    }

    /// A number of `model_args` alone.
    pub(super) fn arg_number(&self, name: &str) -> Sources<usize> {
        self.args(name, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    /// A list of numbers of `model_args`, in words.
    pub(super) fn list(&self, name: &str) -> Sources<String> {
        let list = |value: &Value| value.as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<_>>>();
        self.args(name, "a list of whole numbers", |value| list(value).map(|list| format!("{list:?}")))
    }

    /// A number at the top of a file.
    pub(super) fn top_number(&self, name: &str) -> Sources<usize> {
        let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
        self.each(|source| &source.top, "", (name, "a whole number"), number)
    }

    /// A switch of `model_args`, else the named model's.
    pub(super) fn switch(&self, name: &str, of: impl Fn(&KnownModel) -> bool) -> Sources<bool> {
        self.or_model(self.arg_switch(name)?, of)
    }

    /// A switch of `model_args` alone.
    pub(super) fn arg_switch(&self, name: &str) -> Sources<bool> {
        self.args(name, "true or false", Value::as_bool)
    }

    /// Whether `model_args` has a number of that name; nothing where it does not name it.
    pub(super) fn is_number(&self, name: &str) -> Sources<bool> {
        self.args(name, "a number", |value| value.as_f64().map(|_| true))
    }

    /// Width of the MLPs of a model `width` wide.
    pub(super) fn mlp_width(&self, width: usize) -> Sources<usize> {
        let ratio = |value: &Value| value.as_f64().map(|ratio| (width as f64 * ratio) as usize);
        self.args("mlp_ratio", "a number", ratio)
    }

    /// Epsilon of the layer norms: timm's `LayerNorm` has 1e-6 where `norm_layer` names it, else the named model's.
    pub(super) fn layer_norm_eps(&self) -> Sources<f32> {
        const TIMM: f32 = 1e-6;
        let mut told = Vec::new();
        for text in self.text("norm_layer")?.into_iter().flatten() {
            match text.value.replace('_', "").to_ascii_lowercase().as_str() {
                "layernorm" => told.push(Some(text.with(TIMM))),
                other => return Err(self.refuse("model_args.norm_layer", &format!("a model with {other}"))),
            }
        }
        let model = self.model.as_ref().filter(|_| told.is_empty());
        if let Some((model, eps)) = model.and_then(|model| Some((model, model.layer_norm_eps?))) {
            told.push(Told::config(Some(eps), format!("architecture {}", model.name)));
        }
        Ok(told)
    }

    /// The named model's non-linearity.
    pub(super) fn model_activation(&self) -> Option<Told<crate::backbone::Activation>> {
        let model = self.model.as_ref()?;
        Told::config(model.activation, format!("architecture {}", model.name))
    }

    /// A text of `model_args`.
    pub(super) fn text(&self, name: &str) -> Sources<String> {
        self.texts(|source| &source.args, "model_args.", name)
    }

    /// How the model pools, in timm's word: at the top, in `model_args`, else the named model's.
    pub(super) fn global_pool(&self) -> Sources<String> {
        let mut told = self.texts(|source| &source.top, "", "global_pool")?;
        told.extend(self.text("global_pool")?);
        self.or_model(told, |model| model.global_pool.clone())
    }

    /// Side of the square input: `model_args.img_size`, which describes the weights, and `input_size`, which it
    /// replaces where `fixed_input_size` says that the weights take no other.
    ///
    /// # Errors
    /// When an input is no square.
    pub(super) fn image_size(&self) -> Sources<usize> {
        let mut told = self.side("img_size")?;
        let Some(prepared) = &self.pretrained_cfg else { return Ok(told) };
        let replaced = prepared.fixed_input_size == Some(true) && told.iter().any(Option::is_some);
        let Some([channels, height, width]) = prepared.input_size.filter(|_| !replaced) else {
            return Ok(told);
        };
        let field = "pretrained_cfg.input_size";
        if channels != 3 {
            return Err(self.refuse(field, &format!("an input of {channels} channels instead of 3")));
        }
        if height != width {
            return Err(self.refuse(field, &format!("a rectangular input of {height}x{width} pixels")));
        }
        told.push(Told::config(Some(height), format!("config.json: {field}")));
        Ok(told)
    }

    /// Side of a square of `model_args` that may be given as one number or two.
    pub(super) fn side(&self, name: &str) -> Sources<usize> {
        let pair = |value: &Value| match value {
            Value::Array(pair) => Some((pair.first()?.as_u64()?, pair.get(1)?.as_u64()?)),
            value => value.as_u64().map(|side| (side, side)),
        };
        let pairs = self.args(name, "a size", |value| pair(value).map(Pair))?;
        let mut sides = Vec::new();
        for told in pairs.into_iter().flatten() {
            let Pair((height, width)) = told.value;
            if height != width {
                let what = format!("a rectangular {name} of {height}x{width} pixels");
                return Err(self.refuse(&format!("model_args.{name}"), &what));
            }
            sides.push(usize::try_from(height).ok().map(|side| told.with(side)));
        }
        Ok(sides)
    }

    /// The error for what is told and not supported.
    pub(super) fn refuse(&self, field: &str, family: &str) -> Error {
        let source = self.sources.first();
        let path = source.map(|source| source.path.clone()).unwrap_or_default();
        Error::Unsupported { path, family: family.into(), sign: field.into() }
    }

    /// Appends what the named model has, where nothing else tells.
    pub(super) fn or_model<T>(
        &self,
        mut told: Vec<Option<Told<T>>>,
        of: impl Fn(&KnownModel) -> T,
    ) -> Sources<T> {
        if let Some(model) = self.model.as_ref().filter(|_| told.iter().all(Option::is_none)) {
            told.push(Told::config(Some(of(model)), format!("architecture {}", model.name)));
        }
        Ok(told)
    }

    fn texts(&self, part: fn(&Source) -> &Map<String, Value>, prefix: &str, name: &str) -> Sources<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let told = self.each(part, prefix, (name, "a string"), text)?;
        Ok(told.into_iter().map(|told| told.filter(|told| !told.value.is_empty())).collect())
    }

    fn args<T>(&self, name: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Sources<T> {
        self.each(|source| &source.args, "model_args.", (name, expected), read)
    }

    fn each<T>(
        &self,
        part: fn(&Source) -> &Map<String, Value>,
        prefix: &str,
        (name, expected): (&str, &str),
        read: impl Fn(&Value) -> Option<T>,
    ) -> Sources<T> {
        let one = |source: &Source| match part(source).get(name).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => {
                let read = read(value).ok_or_else(|| {
                    Error::invalid("config.json", value, format!("{prefix}{name}: expected {expected}"))
                });
                Ok(Told::config(Some(read?), format!("{}: {prefix}{name}", source.place)))
            }
        };
        self.sources.iter().map(one).collect()
    }
}

/// What each source tells.
pub(super) type Sources<T> = Result<Vec<Option<Told<T>>>, Error>;

/// Height and width.
#[derive(Clone, Copy)]
struct Pair((u64, u64));

/// Arguments that change nothing of what a trained model computes.
const HARMLESS: [&str; 7] = [
    "num_classes",
    "weight_init",
    "fix_init",
    "dynamic_img_size",
    "dynamic_img_pad",
    "strict_img_size",
    "drop_block_rate",
];

impl Source {
    fn new(path: PathBuf, place: &str, file: Value) -> Self {
        let mut top = match file {
            Value::Object(top) => top,
            _ => Map::new(),
        };
        let args = match top.remove("model_args") {
            Some(Value::Object(args)) => args,
            _ => Map::new(),
        };
        Self { path, place: place.into(), top, args }
    }
}

/// Where images are prepared: under its own key, or, in files from before timm 0.9, at the top.
fn pretrained_cfg(file: &Value, path: &std::path::Path) -> Result<Option<PretrainedConfig>, Error> {
    let part = match file.get("pretrained_cfg") {
        Some(part) => part,
        None if file.get("architecture").is_some() && file.get("mean").is_some() => file,
        None => return Ok(None),
    };
    let parsed = serde_json::from_value(part.clone());
    Ok(Some(parsed.map_err(|source| BackboneError::Config { path: path.into(), source })?))
}
