//! What Hugging Face's `config.json` says of a model.

use serde::Deserialize;
use serde_json::Value;

use super::config_files::{is_timms, read_beside};
use super::error::Error;
use super::families;
use super::ledger::{Ledger, Told};
use super::request::Request;
use crate::backbone::{Activation, Error as BackboneError};

/// The parts of `config.json` that matter here.
#[derive(Clone, Debug, Default)]
pub(super) struct HuggingFaceConfig {
    file: File,
    /// The class that wrote the weights, `Dinov2ForImageClassification` for one.
    pub(super) class: Option<String>,
    /// The vision tower's kind.
    pub(super) model_type: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct File {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    hidden_size: Option<usize>,
    embed_dim: Option<Value>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    mlp_ratio: Option<Value>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f32>,
    image_size: Option<Value>,
    patch_size: Option<Value>,
    num_channels: Option<usize>,
    qkv_bias: Option<bool>,
    num_register_tokens: Option<usize>,
    use_swiglu_ffn: Option<bool>,
    use_absolute_embeddings: Option<bool>,
    apply_layernorm: Option<bool>,
    window_size: Option<usize>,
    depths: Option<Vec<usize>>,
    num_heads: Option<Value>,
    vision_config: Option<Box<File>>,
}

impl HuggingFaceConfig {
    /// Reads `config.json` beside the weights; one that tells nothing if there is none.
    ///
    /// # Errors
    /// When it is damaged, timm's, or tells of a model that is not supported.
    pub(super) fn read(request: &Request, ledger: &mut Ledger) -> Result<Self, Error> {
        let Some(value) = read_beside::<Value>(request, "config.json")? else { return Ok(Self::default()) };
        let path = request.weights.with_file_name("config.json");
        if is_timms(&value) {
            let a = "config.json says it is timm's".to_owned();
            let b = format!("{} has Hugging Face's names of tensors", request.weights.display());
            return Err(Error::Contradiction { what: "naming".into(), a, b });
        }
        let file: File = serde_json::from_value(value)
            .map_err(|source| BackboneError::Config { path: path.clone(), source })?;
        let class = file.architectures.as_ref().and_then(|classes| classes.first().cloned());
        let whole = file.model_type.clone();
        // CLIP and SigLIP keep their vision tower's numbers one level down.
        let file = file.vision_config.clone().map_or(file, |vision| *vision);
        let model_type = file.model_type.clone().or(whole);
        for (what, value) in [("class", &class), ("model_type", &model_type)] {
            ledger.note(what, Told::config(value.clone(), format!("config.json: {what}")));
        }
        if let Some(kind) = &model_type {
            families::refuse_model_type(kind, &path)?;
        }
        let config = Self { file, class, model_type };
        config.refuse_switches()?;
        Ok(config)
    }

    fn refuse_switches(&self) -> Result<(), Error> {
        let file = &self.file;
        let refused = [
            (file.use_swiglu_ffn == Some(true), "use_swiglu_ffn", "a model with SwiGLU in its MLPs"),
            (
                file.use_absolute_embeddings == Some(true),
                "use_absolute_embeddings",
                "a Swin with absolute positions",
            ),
            (file.apply_layernorm == Some(false), "apply_layernorm", "a model without its final norm"),
            (file.num_channels.is_some_and(|n| n != 3), "num_channels", "an input of other than 3 channels"),
        ];
        match refused.into_iter().find(|(is_it, ..)| *is_it) {
            Some((_, field, what)) => Err(refuse(field, what)),
            None => Ok(()),
        }
    }

    /// Whether a `config.json` says which model it is, so that what it leaves out has its class's default.
    pub(super) fn is_there(&self) -> bool {
        self.model_type.is_some()
    }

    pub(super) fn width(&self) -> Option<Told<usize>> {
        of(self.file.hidden_size, "hidden_size")
    }

    /// Width of a Swin's first stage.
    pub(super) fn embed_dim(&self) -> Option<Told<usize>> {
        of(self.file.embed_dim.as_ref().and_then(number), "embed_dim")
    }

    pub(super) fn depth(&self) -> Option<Told<usize>> {
        of(self.file.num_hidden_layers, "num_hidden_layers")
    }

    pub(super) fn heads(&self) -> Option<Told<usize>> {
        of(self.file.num_attention_heads, "num_attention_heads")
    }

    /// Width of the MLPs: told as itself, or as a multiple of `width`.
    pub(super) fn mlp_width(&self, width: usize) -> Option<Told<usize>> {
        let ratio = self.file.mlp_ratio.as_ref().and_then(Value::as_f64);
        let by_ratio = ratio.map(|ratio| (width as f64 * ratio) as usize);
        of(self.file.intermediate_size, "intermediate_size").or(of(by_ratio, "mlp_ratio"))
    }

    pub(super) fn layer_norm_eps(&self) -> Option<Told<f32>> {
        of(self.file.layer_norm_eps, "layer_norm_eps")
    }

    pub(super) fn registers(&self) -> Option<Told<usize>> {
        of(self.file.num_register_tokens, "num_register_tokens")
    }

    pub(super) fn qkv_bias(&self) -> Option<Told<bool>> {
        of(self.file.qkv_bias, "qkv_bias")
    }

    pub(super) fn window(&self) -> Option<Told<usize>> {
        of(self.file.window_size, "window_size")
    }

    pub(super) fn depths(&self) -> Option<Told<String>> {
        of(self.file.depths.as_ref().map(|depths| format!("{depths:?}")), "depths")
    }

    pub(super) fn stage_heads(&self) -> Option<Told<String>> {
        let list = |value: &Value| value.as_array()?.iter().map(number).collect::<Option<Vec<usize>>>();
        of(self.file.num_heads.as_ref().and_then(list).map(|heads| format!("{heads:?}")), "num_heads")
    }

    /// Side of the square input, pixels.
    pub(super) fn image_size(&self) -> Result<Option<Told<usize>>, Error> {
        square(self.file.image_size.as_ref(), "image_size")
    }

    /// Side of a square patch, pixels.
    pub(super) fn patch_size(&self) -> Result<Option<Told<usize>>, Error> {
        square(self.file.patch_size.as_ref(), "patch_size")
    }

    pub(super) fn activation(&self) -> Result<Option<Told<Activation>>, Error> {
        let activation = match self.file.hidden_act.as_deref() {
            None => None,
            Some("gelu") => Some(Activation::Gelu),
            Some("quick_gelu") => Some(Activation::QuickGelu),
            Some("gelu_pytorch_tanh") => Some(Activation::GeluTanh),
            Some(other) => {
                let reason = "expected gelu, gelu_pytorch_tanh or quick_gelu";
                return Err(Error::invalid("hidden_act", other, reason));
            }
        };
        Ok(of(activation, "hidden_act"))
    }
}

fn of<T>(value: Option<T>, field: &str) -> Option<Told<T>> {
    Told::config(value, format!("config.json: {field}"))
}

fn number(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// A side told as one number or as two equal ones.
fn square(value: Option<&Value>, field: &str) -> Result<Option<Told<usize>>, Error> {
    let side = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(sides)) => match sides.iter().map(number).collect::<Option<Vec<_>>>().as_deref() {
            Some([height, width]) if height == width => Some(*height),
            Some([height, width]) => {
                return Err(refuse(field, &format!("a rectangular {field} of {height}x{width} pixels")));
            }
            _ => None,
        },
        Some(value) => number(value),
    };
    let side = side.ok_or_else(|| {
        Error::invalid(
            "config.json",
            value.map(Value::to_string).unwrap_or_default(),
            format!("{field}: expected a size"),
        )
    })?;
    Ok(of(Some(side), field))
}

fn refuse(field: &str, family: &str) -> Error {
    Error::Unsupported { path: "config.json".into(), family: family.into(), sign: field.into() }
}
