//! The shape of a Swin: what its tensors show and what files tell, which must agree.

use serde_json::json;

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::guess::square;
use super::hugging_face_config::HuggingFaceConfig;
use super::ledger::{Ledger, Told};
use super::request::Request;
use super::swin_names::Names;
use super::timm_config::TimmConfig;
use super::timm_models;
use crate::backbone::{Activation, Pool, Shape, SwinConfig};

/// Epsilon of the layer norms.
const NORM_EPS: f32 = 1e-5;

/// What files tell of a Swin, in either library's words.
struct Said {
    image_size: Vec<Option<Told<usize>>>,
    width: Vec<Option<Told<usize>>>,
    patch_size: Vec<Option<Told<usize>>>,
    window: Vec<Option<Told<usize>>>,
    depths: Vec<Option<Told<String>>>,
    heads: Vec<Option<Told<String>>>,
    activation: Vec<Option<Told<Activation>>>,
    layer_norm_eps: Vec<Option<Told<f32>>>,
}

/// The shape of timm's Swin.
pub(super) fn timms(
    from: &Checkpoint,
    ledger: &mut Ledger,
    request: &Request,
    told: &TimmConfig,
    names: &Names,
) -> Result<SwinConfig, Error> {
    const USED: &[&str] = &[
        "img_size",
        "patch_size",
        "in_chans",
        "embed_dim",
        "window_size",
        "depths",
        "num_heads",
        "mlp_ratio",
        "qkv_bias",
        "norm_layer",
        "act_layer",
        "global_pool",
    ];
    told.understand(
        USED,
        &[("ape", json!(false)), ("patch_norm", json!(true)), ("always_partition", json!(false))],
    )?;
    let other = told.global_pool()?.into_iter().flatten().find(|pool| pool.value != "avg");
    if let Some(pool) = other {
        return Err(told.refuse("global_pool", &format!("a Swin with pooling {:?}", pool.value)));
    }
    let mut activation = Vec::new();
    for text in told.text("act_layer")?.into_iter().flatten() {
        let known = timm_models::activation(&text.value);
        let known = known
            .ok_or_else(|| told.refuse("model_args.act_layer", &format!("activation {:?}", text.value)))?;
        activation.push(Some(text.with(known)));
    }
    let layer_norm_eps = told.layer_norm_eps()?;
    let said = Said {
        image_size: told.image_size()?,
        width: told.arg_number("embed_dim")?,
        patch_size: told.side("patch_size")?,
        window: told.side("window_size")?,
        depths: told.list("depths")?,
        heads: told.list("num_heads")?,
        activation,
        layer_norm_eps,
    };
    describe(from, ledger, request, names, said)
}

/// The shape of Hugging Face's Swin.
pub(super) fn hugging_faces(
    from: &Checkpoint,
    ledger: &mut Ledger,
    request: &Request,
    names: &Names,
) -> Result<SwinConfig, Error> {
    let told = HuggingFaceConfig::read(request, ledger)?;
    let said = Said {
        image_size: vec![told.image_size()?],
        width: vec![told.embed_dim()],
        patch_size: vec![told.patch_size()?],
        window: vec![told.window()],
        depths: vec![told.depths()],
        heads: vec![told.stage_heads()],
        activation: vec![told.activation()?],
        layer_norm_eps: vec![told.layer_norm_eps()],
    };
    describe(from, ledger, request, names, said)
}

fn describe(
    from: &Checkpoint,
    ledger: &mut Ledger,
    request: &Request,
    names: &Names,
    said: Said,
) -> Result<SwinConfig, Error> {
    let unknown = |what: &str| Error::UnknownLayout {
        path: from.path.clone(),
        reason: format!("{}'s naming of a Swin: {what}", names.naming),
    };
    let patch = format!("{}.weight", names.patch);
    let Some(&[width, 3, patch_size, _]) = from.shape(&patch) else {
        return Err(unknown(&format!("no {patch} [D, 3, P, P]")));
    };
    let stages = from.count(names.stages).min(usize::BITS as usize / 2);
    let at = |stage: usize| format!("{}{stage}.blocks.", names.stages);
    let depths: Vec<usize> = (0..stages).map(|stage| from.count(&at(stage))).collect();
    let table = |stage: usize| from.shape(&format!("{}0.{}", at(stage), names.table));
    let heads = (0..stages).map(|stage| table(stage)?.get(1).copied()).collect::<Option<Vec<_>>>();
    let heads = heads.ok_or_else(|| unknown(&format!("a stage without {} [offsets, H]", names.table)))?;
    let offsets = table(0).and_then(|shape| square(shape[0])).filter(|side| side % 2 == 1);
    let window =
        offsets.map(|side| side.div_ceil(2)).ok_or_else(|| unknown("a table that is not an odd square"))?;
    let fc1 = format!("{}0.{}.weight", at(0), names.fc1);
    let hidden = from.shape(&fc1).and_then(|shape| shape.first().copied());
    let hidden = hidden.filter(|hidden| width > 0 && hidden.is_multiple_of(width));
    let mlp_ratio = hidden.ok_or_else(|| unknown(&format!("no {fc1} of whole widths")))? / width;
    refuse_what_is_told(request)?;
    let swin = SwinConfig {
        image_size: 0,
        patch_size,
        width,
        depths,
        heads,
        window,
        mlp_ratio,
        activation: Activation::Gelu,
        layer_norm_eps: 0.0,
    };
    let swin = settle(swin, ledger, request, said)?;
    // Before its numbers are counted to and divided by.
    swin.validate()?;
    Ok(swin)
}

/// Compares what the tensors show with what files tell, and takes from these what no tensor shows.
fn settle(
    mut swin: SwinConfig,
    ledger: &mut Ledger,
    request: &Request,
    said: Said,
) -> Result<SwinConfig, Error> {
    let mut agree = |what: &str, value: usize, tensor: &str, told: Vec<Option<Told<usize>>>| {
        ledger
            .settle(what, [Told::shape(value, format!("shape of {tensor}"))].into_iter().chain(told), None)
            .map(drop)
    };
    agree("width", swin.width, "the patch embedding", said.width)?;
    agree("patch_size", swin.patch_size, "the patch embedding", said.patch_size)?;
    agree("window", swin.window, "the bias tables", said.window)?;
    agree("mlp_ratio", swin.mlp_ratio, "the first MLP", Vec::new())?;
    let mut agree = |what: &str, value: &[usize], told: Vec<Option<Told<String>>>| {
        let shape = Told::shape(format!("{value:?}"), "numbers and shapes of the stages");
        ledger.settle(what, [shape].into_iter().chain(told), None).map(drop)
    };
    agree("depths", &swin.depths, said.depths)?;
    agree("heads", &swin.heads, said.heads)?;
    ledger.note("pool", Told::default(Pool::Mean, "every Swin's: the mean of its normed tokens"));
    // In every published model the last stage's map is one window.
    let smallest = swin.patch_size.saturating_mul(swin.window) << swin.depths.len().saturating_sub(1);
    let guess = Told::guess(smallest, "the last stage is one window in all published models");
    swin.image_size = match request.image_size {
        Some(size) => ledger.settle("image_size", [Told::flag(Some(size), "image-size")], None)?,
        None => ledger.settle("image_size", said.image_size, guess)?,
    }
    .unwrap_or(smallest);
    let flag = Told::flag(request.activation, "activation");
    let usual = Told::default(Activation::Gelu, "every published Swin's");
    let activation = ledger.settle("activation", [flag].into_iter().chain(said.activation), usual)?;
    swin.activation = activation.unwrap_or(Activation::Gelu);
    let flag = Told::flag(request.layer_norm_eps, "layer-norm-eps");
    let usual = Told::default(NORM_EPS, "both libraries' Swin");
    let eps = ledger.settle("layer_norm_eps", [flag].into_iter().chain(said.layer_norm_eps), usual)?;
    swin.layer_norm_eps = eps.unwrap_or(NORM_EPS);
    Ok(swin)
}

/// What a Swin's tensors tell, or what no Swin does otherwise, may not be asked for differently.
fn refuse_what_is_told(request: &Request) -> Result<(), Error> {
    let refuse = |field, value: String, reason: &str| Err(Error::invalid(field, value, reason));
    match (request.heads, request.pool) {
        (Some(heads), _) => {
            refuse("heads", heads.to_string(), "a Swin's own tensors tell each stage's heads")
        }
        (_, Some(pool)) if pool != Pool::Mean => {
            refuse("pool", format!("{pool:?}"), "a Swin's feature is the mean of its normed tokens")
        }
        _ => Ok(()),
    }
}
