//! Packs of Hugging Face PEFT: `adapter_config.json` beside `adapter_model.safetensors` or `.bin`.

mod config;
mod lora;
mod vera;

use std::path::Path;

use serde_json::Value;

use super::extract::{Extract, Head, all_taken, claimed, reads_class_token};
use super::gathered::Gathered;
use super::linear;
use super::refused::Refused;
use super::tensors::Tensors;
use crate::backbone::BackboneConfig;
use crate::import::backbone::checkpoint::Tensor;
use config::{Method, START};

/// What classes of transformers and timm call their head.
const HEADS: [&str; 4] = ["classifier", "head", "fc", "score"];

/// Reads the pack in `dir`, whose configuration is `json`. Its own head is passed over where `with_head` is not set.
pub(super) fn read(
    dir: &Path,
    json: &Value,
    (base, with_head): (&BackboneConfig, bool),
) -> Result<Extract, Refused> {
    let path = dir.join(crate::pack::CONFIG_FILE);
    let method = config::read(&path, json)?;
    let mut tensors = Tensors::first_of(dir, &["adapter_model.safetensors", "adapter_model.bin"])?;
    let saved = Saved::take(&mut tensors)?.filter(|_| with_head);
    let mut gathered = Gathered::new(base);
    match &method {
        Method::Lora(lora) => lora::take(&mut tensors, lora, &mut gathered)?,
        Method::Vera => vera::take(&mut tensors, &mut gathered)?,
    }
    all_taken(&tensors, |key| unknown(key).to_owned())?;
    if gathered.modules.is_empty() {
        return Err(Refused::file(&tensors.path, format!("has no tensor of {method}")));
    }
    let head = saved.map(|saved| saved.on(base, &tensors.path)).transpose()?;
    let file = tensors.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Extract {
        layout: format!("Hugging Face PEFT, {method}"),
        modules: gathered.modules,
        head,
        labels: None,
        file,
        sha256: tensors.sha256,
        claimed_base: claimed(&json["base_model_name_or_path"]),
    })
}

/// Why a tensor that nobody took cannot be served.
fn unknown(key: &str) -> &'static str {
    let is = |part: &str| key.contains(part);
    match () {
        () if is("lora_magnitude_vector") => {
            "DoRA scales the base's weights; packs only add to what layers give"
        }
        () if is(".base_layer.") => "the base's own weights were trained; packs leave those as they are",
        () if is("lora_embedding") => "a LoRA of an embedding has no place in a block",
        () if key.ends_with("lora_B.bias") => "a LoRA with biases (lora_bias) is not read",
        () if is("classifier") || is("head") => "only one linear layer can be the head",
        () => "is no tensor that this method is known to have",
    }
}

/// The head that `modules_to_save` kept.
struct Saved {
    key: String,
    weight: Tensor,
    bias: Option<Tensor>,
    /// The model it is of, as far as names tell.
    model: Option<&'static str>,
}

impl Saved {
    /// Takes the head's tensors.
    fn take(tensors: &mut Tensors) -> Result<Option<Self>, Refused> {
        let model =
            tensors.names().into_iter().find_map(|name| name.strip_prefix(START).and_then(linear::model));
        let Some(key) = HEADS.iter().map(|head| format!("{START}{head}")).find(|key| has(tensors, key))
        else {
            return Ok(None);
        };
        let weight = tensors.take(&format!("{key}.weight"))?;
        let bias = tensors.tensors.remove(&format!("{key}.bias"));
        Ok(Some(Self { key, weight, bias, model }))
    }

    /// The head, if it reads the backbone's feature.
    fn on(self, base: &BackboneConfig, path: &Path) -> Result<Head, Refused> {
        let readable = match self.model {
            Some("vision_model.") => Err(
                "the heads of transformers on CLIP and SigLIP read the patches' mean, not the backbone's feature; \
                 give another with --head"
                    .to_owned(),
            ),
            Some("dinov2.") if self.weight.shape.get(1) == Some(&(2 * base.feature_width())) => Err(
                "the head reads the class token beside the patches' mean; the backbone's feature is the class token \
                 alone; give another with --head"
                    .to_owned(),
            ),
            Some("swin.") | None => Ok(()),
            Some(_) => reads_class_token(base),
        };
        readable.map_err(|reason| Refused::key(path, &self.key, reason))?;
        Head::new((path, &self.key), self.weight, self.bias, base)
    }
}

fn has(tensors: &Tensors, key: &str) -> bool {
    tensors.tensors.contains_key(&format!("{key}.weight"))
}
