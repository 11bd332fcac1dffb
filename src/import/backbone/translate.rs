//! A checkpoint as a backbone: recognised, then shape and tensors under our names.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::{Checkpoint, Tensor};
use super::config_files::PretrainedConfig;
use super::error::Error;
use super::family::{Family, Recognised};
use super::ledger::{Ledger, Told};
use super::request::Request;
use super::translator::Translator;
use super::{cvt, families, finite, hugging_face, position, prefix, swin, timm};
use crate::backbone::{Architecture, BackboneConfig, Error as BackboneError};

/// Shape and tensors under our names, matrices still to be checked.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) family: Family,
    pub(super) architecture: Architecture,
    /// `timm` or `hugging_face`.
    pub(super) naming: &'static str,
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) left_out: Vec<String>,
    /// How timm's `config.json` prepares images.
    pub(super) pretrained_cfg: Option<PretrainedConfig>,
    /// What was taken so far, and from where.
    pub(super) ledger: Ledger,
}

impl Translation {
    /// Recognises the naming, takes every tensor it knows, and names every one that does not fit.
    pub(super) fn from(mut checkpoint: Checkpoint, request: &Request) -> Result<Self, Error> {
        let path = checkpoint.path.clone();
        prefix::strip(&mut checkpoint)?;
        let names = |names: &mut dyn Iterator<Item = &'_ String>| names.cloned().collect::<Vec<_>>();
        let (inside, outside) =
            (names(&mut checkpoint.tensors.keys()), names(&mut checkpoint.outside.keys()));
        families::refuse_names(&inside, &outside, &path)?;
        let not_finite = finite::not_finite(&checkpoint.tensors);
        let mut translator = Translator::new(checkpoint);
        let recognised = match &translator.from {
            from if swin::recognises(from) => swin::translate(&mut translator, request)?,
            from if cvt::recognises(from) => cvt::translate(&mut translator, request)?,
            from if hugging_face::recognises(from) => hugging_face::translate(&mut translator, request)?,
            _ => timm::translate(&mut translator, request)?,
        };
        let Recognised { family, mut architecture, naming, leave_out, pretrained_cfg } = recognised;
        let left_out = translator.leave_out(leave_out);
        let problems = translator.problems(&architecture.shape().tensors());
        if !problems.is_empty() {
            return Err(BackboneError::Tensors { path, problems }.into());
        }
        finite::refuse(not_finite, &left_out.iter().map(String::as_str).collect::<BTreeSet<_>>(), &path)?;
        let (mut tensors, mut ledger) = translator.into_parts();
        let size = request.image_size.filter(|&size| size != architecture.shape().image_size());
        match (&mut architecture, size) {
            (Architecture::Vit(vit), Some(size)) => {
                position::resample(vit, &mut tensors, size)?;
                let how = if vit.registers > 0 { "bicubic, antialiased" } else { "bicubic, not antialiased" };
                ledger.note("position table", Told::default(how, "as Hugging Face's models resample it"));
            }
            // A Swin has no positions but those within windows, a CvT none.
            (Architecture::Swin(_) | Architecture::Cvt(_), _) | (_, None) => {}
        }
        Ok(Self { family, architecture, naming, tensors, left_out, pretrained_cfg, ledger })
    }
}

/// The tensors of a checkpoint of the backbone that `config` describes, under our names.
///
/// # Errors
/// When the naming is unknown, or tensors are missing, extra or mis-shaped.
pub(crate) fn tensors(
    checkpoint: Checkpoint,
    config: &BackboneConfig,
) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut request = Request {
        // Nothing lies beside it: the description is known.
        weights: checkpoint.path.with_file_name(".none").join("checkpoint"),
        image_size: Some(config.image_size()),
        activation: Some(config.activation()),
        ..Request::default()
    };
    match &config.architecture {
        Architecture::Vit(vit) => {
            request.heads = Some(vit.heads);
            request.pool = Some(vit.pool);
            request.layer_norm_eps = Some(vit.layer_norm_eps);
        }
        Architecture::Swin(swin) => request.layer_norm_eps = Some(swin.layer_norm_eps),
        Architecture::Cvt(cvt) => {
            // The adapters' non-linearity is not the MLPs'.
            request.activation = Some(cvt.activation);
            request.cvt = Some(cvt.clone());
        }
    }
    Ok(Translation::from(checkpoint, &request)?.tensors)
}
