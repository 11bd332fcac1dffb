//! The head of `adapters`, in files of its own beside the adapter's.

use std::path::Path;

use serde_json::Value;

use crate::backbone::BackboneConfig;
use crate::import::pack::extract::{Head, all_taken, reads_class_token};
use crate::import::pack::labels::labels_of_config;
use crate::import::pack::refused::{Refused, told};
use crate::import::pack::tensors::{Tensors, read_json};

const CONFIG: &str = "head_config.json";

/// A head and its labels.
pub(super) struct Labelled {
    pub(super) head: Head,
    pub(super) labels: Option<Vec<String>>,
}

/// Reads the head, where the folder has one.
pub(super) fn read(dir: &Path, base: &BackboneConfig) -> Result<Option<Labelled>, Refused> {
    let path = dir.join(CONFIG);
    if !path.exists() {
        return Ok(None);
    }
    let json = read_json(&path)?;
    check(&path, &json["config"])?;
    let mut tensors = Tensors::first_of(dir, &["model_head.safetensors", "pytorch_model_head.bin"])?;
    let is_weight = |key: &String| {
        key == "classifier.weight" || (key.starts_with("heads.") && key.ends_with(".1.weight"))
    };
    let missing = || Refused::file(&tensors.path, "has no head of one layer");
    let key = tensors.names().into_iter().find(is_weight).ok_or_else(missing)?;
    reads_class_token(base).map_err(|reason| tensors.refuse(&key, reason))?;
    let weight = tensors.take(&key)?;
    let bias = tensors.tensors.remove(&format!("{}bias", key.strip_suffix("weight").unwrap_or_default()));
    all_taken(&tensors, |_| "only one linear layer can be the head".into())?;
    let own = if json["config"].is_object() { &json["config"] } else { &json };
    let labels = labels_of_config(own).map_err(|reason| Refused::key(&path, "label2id", reason))?;
    Ok(Some(Labelled { head: Head::new((&tensors.path, &key), weight, bias, base)?, labels }))
}

/// One linear layer on the class token, of which one class is chosen.
fn check(path: &Path, config: &Value) -> Result<(), Refused> {
    let refuse = |key: &str, reason: String| Err(Refused::key(path, key, reason));
    if config.is_null() {
        return Ok(());
    }
    match (&config["head_type"], &config["layers"]) {
        (Value::String(kind), _) if kind != "image_classification" => {
            refuse("head_type", format!("is {}; image_classification is read", told(kind)))
        }
        (_, layers) if !layers.is_null() && *layers != 1 => {
            refuse("layers", format!("{layers} layers; only one linear layer can be the head"))
        }
        _ if config["multilabel"] == true => {
            refuse("multilabel", "is on; heads that choose one class are read".into())
        }
        _ if config["use_pooler"] == true => {
            refuse("use_pooler", "is on; the head reads what a pooler makes of the class token".into())
        }
        _ => Ok(()),
    }
}
