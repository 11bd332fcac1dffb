//! Packs of AdapterHub's `adapters`: `adapter_config.json` beside the adapter's tensors, and a head in files of its own.

mod bottleneck;
mod config;
mod head;
mod layer;
mod lora;
mod phm;
mod prefix;

use std::path::Path;

use serde_json::Value;

use super::extract::{Extract, all_taken, claimed};
use super::gathered::Gathered;
use super::refused::Refused;
use super::tensors::Tensors;
use crate::backbone::BackboneConfig;
use crate::pack::CONFIG_FILE;
use config::Part;

/// Whether a configuration is this library's.
pub(super) fn is_known(json: &Value) -> bool {
    let version = json["version"].as_str().unwrap_or_default();
    version.starts_with("adapters.") || (json.get("config").is_some() && json.get("model_class").is_some())
}

/// Reads the pack in `dir`, whose configuration is `json`. Its own head is passed over where `with_head` is not set.
pub(super) fn read(
    dir: &Path,
    json: &Value,
    (base, with_head): (&BackboneConfig, bool),
) -> Result<Extract, Refused> {
    let path = dir.join(CONFIG_FILE);
    let parts = config::read(&path, json)?;
    let mut tensors = Tensors::first_of(dir, &["adapter.safetensors", "pytorch_adapter.bin"])?;
    let mut gathered = Gathered::new(base);
    for part in &parts {
        match part {
            Part::Bottleneck(bottleneck) => bottleneck::take(&mut tensors, bottleneck, &mut gathered)?,
            Part::Lora(lora) => lora::take(&mut tensors, lora, &mut gathered)?,
            Part::Prefix(prefix) => prefix::take(&mut tensors, prefix, &mut gathered)?,
        }
    }
    all_taken(&tensors, |_| "is no tensor that this configuration is known to have".to_owned())?;
    if gathered.modules.is_empty() {
        return Err(Refused::file(&tensors.path, "has no tensor of an adapter"));
    }
    let head = if with_head { head::read(dir, base)? } else { None };
    let (head, labels) = head.map_or((None, None), |own| (Some(own.head), own.labels));
    let file = tensors.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = parts.iter().map(Part::to_string).collect();
    Ok(Extract {
        layout: format!("AdapterHub adapters, {}", names.join(" and ")),
        modules: gathered.modules,
        head,
        labels,
        file,
        sha256: tensors.sha256,
        claimed_base: claimed(&json["model_name"]),
    })
}
