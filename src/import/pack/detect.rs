//! What lies at a path, told by its content.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::extract::Extract;
use super::head::{self, HeadFile};
use super::refused::Refused;
use super::tensors::read_json;
use super::{adapter_hub, mimi, peft};
use crate::backbone::BackboneConfig;
use crate::import::pack::request::Request;
use crate::pack::{CONFIG_FILE, PEFT_TYPE};

/// What was found, read.
pub(super) enum Found {
    /// A checkpoint of the reference MiMi implementation.
    Mimi(Box<mimi::Source>),
    /// Another library's pack or head.
    Other(Box<Extract>),
}

/// Recognises and reads what is to be imported.
pub(super) fn read(request: &Request, config: &BackboneConfig) -> Result<Found> {
    let path = &request.from;
    if path.is_dir() {
        let mut found = folder(path, request, config)?;
        if let Some(path) = &request.head {
            let HeadFile { head, labels, .. } = head::read(path, config)?;
            found.head = Some(head);
            found.labels = labels.or(found.labels);
        }
        return Ok(other(found));
    }
    ensure!(request.head.is_none(), "--head is for packs of adapters; {} is a file", path.display());
    if path.extension().is_some_and(|end| end == "npz") {
        return Ok(other(plain_head(path, config)?));
    }
    let source = mimi::Source::read(path)?;
    let names = source.checkpoint.tensors.keys();
    if mimi::is_known(&source) {
        ensure!(
            request.check.is_none(),
            "--check is for other libraries' packs; this checkpoint has its backbone"
        );
        return Ok(Found::Mimi(Box::new(source)));
    }
    if head::is_known(names.clone()) {
        return Ok(other(plain_head(path, config)?));
    }
    Err(unknown(path, names).into())
}

fn other(found: Extract) -> Found {
    Found::Other(Box::new(found))
}

/// What a file is not.
fn unknown<'a>(path: &Path, mut names: impl Iterator<Item = &'a String>) -> Refused {
    match names.find(|name| name.contains("lora_A") || name.contains("_adapters.")) {
        Some(_) => Refused::file(
            path,
            format!("is part of a library's pack; give its folder, which has {CONFIG_FILE}"),
        ),
        None => Refused::file(
            path,
            "is neither a checkpoint of the reference MiMi implementation (no tensor's name has parallel_mlp) nor a \
             plain head (a weight and a bias)",
        ),
    }
}

/// A head alone.
fn plain_head(path: &Path, config: &BackboneConfig) -> Result<Extract, Refused> {
    let HeadFile { head, labels, sha256 } = head::read(path, config)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let layout = "plain head".into();
    Ok(Extract {
        layout,
        modules: BTreeMap::new(),
        head: Some(head),
        labels,
        file,
        sha256,
        claimed_base: None,
    })
}

/// A folder, by its configuration.
fn folder(dir: &Path, request: &Request, config: &BackboneConfig) -> Result<Extract> {
    let path = dir.join(CONFIG_FILE);
    if !path.is_file() {
        return Err(Refused::file(
            dir,
            format!("the folder has no {CONFIG_FILE}, which every library's pack has"),
        )
        .into());
    }
    let json = read_json(&path)?;
    let with_head = request.head.is_none();
    let found = match &json["peft_type"] {
        Value::String(name) if name == PEFT_TYPE => {
            return Err(
                Refused::key(&path, "peft_type", "is MIMI: it is a pack of this server already").into()
            );
        }
        Value::String(_) => peft::read(dir, &json, (config, with_head))?,
        _ if adapter_hub::is_known(&json) => adapter_hub::read(dir, &json, (config, with_head))?,
        _ => {
            let reason =
                "is neither a configuration of PEFT (peft_type) nor of AdapterHub (version: adapters.…)";
            return Err(Refused::file(&path, reason).into());
        }
    };
    ensure!(
        request.activation.is_none(),
        "--activation is for checkpoints of the reference MiMi implementation"
    );
    Ok(found)
}
