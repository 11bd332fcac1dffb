//! Checkpoints of timm and Hugging Face as backbones.
//!
//! ```text
//! file -> tensors -> family -> shape and tensors under our names -> folder
//! ```
//!
//! | step | files |
//! |---|---|
//! | find out what the file is, from its content | `open`, `single`, `shards`, `dictionary`, `onnx` |
//! | hold its fp32 tensors, find the backbone's, refuse other models | `checkpoint`, `prefix`, `families`, `finite` |
//! | read what lies beside the weights | `timm_config` (with `timm_models`), `hugging_face_config`, `config_files` |
//! | translate names and shapes | `translate` chooses; `timm`, `hugging_face`, `swin`, `cvt` know one naming each |
//! | note where each value came from, refuse contradictions | `ledger`, `guess` |
//! | fold SigLIP's pooling, resample positions, find the preprocessing | `attention_pool`, `position`, `preprocessing` |
//! | write the folder beside, then rename it | `write` |

mod attention_pool;
pub(crate) mod checkpoint;
mod config_files;
mod cvt;
mod dictionary;
mod error;
mod families;
mod family;
mod finite;
mod guess;
mod hugging_face;
mod hugging_face_config;
mod hugging_face_pool;
mod ledger;
mod onnx;
mod open;
mod position;
mod positions;
mod prefix;
mod preprocessing;
mod request;
mod shards;
mod single;
mod spelling;
mod swin;
mod swin_names;
mod swin_shape;
mod timm;
mod timm_config;
mod timm_models;
mod timm_pool;
pub(crate) mod translate;
mod translator;
mod write;

use std::fs;

use crate::backbone::{BackboneConfig, FORMAT_VERSION, Origin, Provenance, Taken};
use crate::files;

pub use error::Error;
pub use request::{PreprocessingName, Request};

use translate::Translation;
use write::{rename, replace, write_folder};

/// Imports a checkpoint: writes a folder beside and renames it to `<out>/<name>`.
///
/// # Errors
/// See [`Error`]; tensors that are missing, extra or mis-shaped are all named at once.
pub fn import(request: &Request) -> Result<BackboneConfig, Error> {
    let target = request.out.join(&request.name);
    check_name(&request.name)?;
    if target.exists() && !request.overwrite {
        let reason = format!("{} exists; give another name or ask to overwrite", target.display());
        return Err(Error::invalid("name", request.name.clone(), reason));
    }
    let (mut checkpoint, format) = open::open(&request.weights, request.key.as_deref())?;
    checkpoint.notes.insert(0, weights_line(request, &checkpoint.sha256));
    let sha256 = checkpoint.sha256.clone();
    let mut translation = Translation::from(checkpoint, request)?;
    let naming = format.unwrap_or(translation.naming);
    let config = configure(&mut translation, request, (naming, sha256))?;
    let partial = files::beside(&target);
    let written = write_folder(&partial, config, &translation.tensors);
    let publish = if request.overwrite { replace } else { rename };
    let config = written.and_then(|config| publish(&partial, &target).map(|()| config));
    if config.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    }
    config
}

fn check_name(name: &str) -> Result<(), Error> {
    // A backbone's name is a folder's name, under the same rules as a task's.
    name.parse::<crate::pack::TaskId>().map(drop).map_err(|e| Error::invalid("name", name, e.to_string()))
}

/// Name of the weights' file.
fn file_name(request: &Request) -> String {
    request.weights.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The first line of the table.
fn weights_line(request: &Request, sha256: &str) -> Taken {
    let value = file_name(request);
    Taken { what: "weights".into(), value, origin: Origin::File, from: format!("sha256 {sha256}") }
}

fn configure(
    translation: &mut Translation,
    request: &Request,
    (naming, sha256): (&str, String),
) -> Result<BackboneConfig, Error> {
    let preprocessing = preprocessing::find(translation, request)?;
    let (left_out, taken) =
        (translation.left_out.clone(), std::mem::take(&mut translation.ledger).into_lines());
    let file = file_name(request);
    let config = BackboneConfig {
        format_version: FORMAT_VERSION,
        name: request.name.clone(),
        fingerprint: String::new(),
        architecture: translation.architecture.clone(),
        preprocessing,
        provenance: Provenance { file, sha256, naming: naming.into(), left_out, taken },
    };
    config.validate()?;
    Ok(config)
}
