//! Hugging Face's naming of CvT.

use serde::Deserialize;

use super::checkpoint::{Checkpoint, Tensor};
use super::error::Error;
use super::family::{Family, Recognised};
use super::guess::heads;
use super::ledger::{Ledger, Told};
use super::request::Request;
use super::translator::Translator;
use super::{config_files, families};
use crate::backbone::{Activation, Architecture, CvtConfig, CvtStage, Pool, Shape};

/// Tensors that belong to the classifier, not to the backbone.
const LEAVE_OUT: &[&str] = &["classifier."];
/// What the class computes with, whatever its `config.json` says: torch's defaults, in layer and batch norms.
const NORM_EPS: f32 = 1e-5;

/// The parts of `config.json` that the tensors do not show, each with a value a stage; the defaults are those of
/// `CvtConfig`, which hold for every published model.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct File {
    patch_stride: Vec<usize>,
    patch_padding: Vec<usize>,
    num_heads: Option<Vec<usize>>,
    depth: Option<Vec<usize>>,
    stride_q: Vec<usize>,
    stride_kv: Vec<usize>,
    padding_q: Option<Vec<usize>>,
    padding_kv: Option<Vec<usize>>,
    model_type: Option<String>,
    embed_dim: Option<Vec<usize>>,
    patch_sizes: Option<Vec<usize>>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            patch_stride: vec![4, 2, 2],
            patch_padding: vec![2, 1, 1],
            num_heads: None,
            depth: None,
            stride_q: vec![1, 1, 1],
            stride_kv: vec![2, 2, 2],
            padding_q: None,
            padding_kv: None,
            model_type: None,
            embed_dim: None,
            patch_sizes: None,
        }
    }
}

/// Whether the file is a CvT's.
pub(super) fn recognises(checkpoint: &Checkpoint) -> bool {
    checkpoint.tensors.keys().any(|name| name.contains("embedding.convolution_embeddings."))
}

/// Takes the tensors of a `CvtModel` or `CvtForImageClassification`.
pub(super) fn translate(translator: &mut Translator, request: &Request) -> Result<Recognised, Error> {
    refuse_what_is_told(request)?;
    let Translator { from, ledger, .. } = translator;
    let cvt = request.cvt.clone().map_or_else(|| describe(from, ledger, request), Ok)?;
    let mut block = 0;
    for (s, stage) in cvt.stages.iter().enumerate() {
        draw_embedding(translator, s, cvt.class_tokens(s) > 0);
        for i in 0..stage.depth {
            draw_block(translator, &format!("encoder.stages.{s}.layers.{i}"), &format!("blocks.{block}"));
            block += 1;
        }
    }
    if cvt.final_norm {
        translator.norm("layernorm", "norm");
    }
    let architecture = Architecture::Cvt(cvt);
    Ok(Recognised {
        family: Family::Plain,
        architecture,
        naming: "hugging_face",
        leave_out: LEAVE_OUT,
        pretrained_cfg: None,
    })
}

/// What no single number tells, or what no CvT does otherwise, may not be asked for.
fn refuse_what_is_told(request: &Request) -> Result<(), Error> {
    let refuse = |field, value: String, reason: &str| Err(Error::invalid(field, value, reason));
    match (request.heads, request.pool) {
        (Some(heads), _) => refuse("heads", heads.to_string(), "a CvT's stages differ; config.json tells"),
        (_, Some(pool)) if pool != Pool::Cls => {
            refuse("pool", format!("{pool:?}"), "a CvT's feature is its class token")
        }
        _ => Ok(()),
    }
}

fn describe(from: &Checkpoint, ledger: &mut Ledger, request: &Request) -> Result<CvtConfig, Error> {
    let told = config_files::read_beside::<File>(request, "config.json")?;
    let is_there = told.is_some();
    let file = told.unwrap_or_default();
    if let Some(kind) = &file.model_type {
        families::refuse_model_type(kind, &request.weights.with_file_name("config.json"))?;
    }
    let size = match request.image_size {
        Some(size) => Told::flag(Some(size), "image-size"),
        None => Told::config(config_files::told_size(request)?, "preprocessor_config.json"),
    };
    let image_size = ledger.settle("image_size", [size], None)?.ok_or_else(|| {
        Error::invalid(
            "image_size",
            "unknown",
            "a CvT takes any, and no preprocessor_config.json tells; give the number",
        )
    })?;
    let count = from.count("encoder.stages.").min(usize::from(u8::MAX));
    let stages: Vec<CvtStage> =
        (0..count).map(|s| describe_stage((from, ledger), request, &file, s)).collect::<Result<_, _>>()?;
    let strides = format!("{:?}, {:?}, {:?}", file.patch_stride, file.patch_padding, file.stride_kv);
    let told = if is_there {
        Told::config(Some(strides), "config.json, or CvtConfig")
    } else {
        Told::default(strides, "CvtConfig")
    };
    ledger.note("patch_stride, patch_padding, stride_kv", told);
    let depths = format!("{:?}", stages.iter().map(|stage| stage.depth).collect::<Vec<_>>());
    ledger.note("depths", Told::shape(depths, "numbers of layers"));
    let cvt = CvtConfig {
        image_size,
        stages,
        activation: chosen(
            ledger,
            "activation",
            Told::flag(request.activation, "activation"),
            Activation::Gelu,
        )?,
        layer_norm_eps: chosen(
            ledger,
            "layer_norm_eps",
            Told::flag(request.layer_norm_eps, "layer-norm-eps"),
            NORM_EPS,
        )?,
        final_norm: from.has("layernorm.weight"),
    };
    ledger.note("pool", Told::default(Pool::Cls, "every CvT's: its class token"));
    // Before its numbers are counted to and divided by.
    cvt.validate()?;
    Ok(cvt)
}

/// What was asked for, else what the class computes with.
fn chosen<T: Copy + PartialEq + std::fmt::Display>(
    ledger: &mut Ledger,
    what: &str,
    asked: Option<Told<T>>,
    class: T,
) -> Result<T, Error> {
    Ok(ledger.settle(what, [asked], Told::default(class, "CvtModel computes with it"))?.unwrap_or(class))
}

fn describe_stage(
    (from, ledger): (&Checkpoint, &mut Ledger),
    request: &Request,
    file: &File,
    s: usize,
) -> Result<CvtStage, Error> {
    let unknown = |reason: String| Error::UnknownLayout { path: from.path.clone(), reason };
    let stage = format!("encoder.stages.{s}");
    let side = |name: String| match from.shape(&name) {
        Some(&[width, _, kernel, _]) => Ok((width, kernel)),
        _ => Err(unknown(format!("no {name} [D, C, K, K]"))),
    };
    let (width, patch_size) = side(format!("{stage}.embedding.convolution_embeddings.projection.weight"))?;
    let (_, kernel) =
        side(format!("{}.convolution.weight", convolution(&format!("{stage}.layers.0"), "key")))?;
    let fc1 = format!("{stage}.layers.0.intermediate.dense.weight");
    let mlp_width = from.shape(&fc1).and_then(|shape| shape.first().copied());
    let depth = from.count(&format!("{stage}.layers."));
    file.check(s, (depth, kernel)).map_err(unknown)?;
    file.check_widths(s, (width, patch_size)).map_err(unknown)?;
    let own_heads = file.num_heads.as_ref().map(|heads| told("num_heads", heads, s));
    let own_heads =
        Told::config(own_heads.transpose().map_err(unknown)?, format!("config.json: num_heads[{s}]"));
    Ok(CvtStage {
        width,
        depth,
        heads: heads(ledger, [Told::flag(request.heads, "heads"), own_heads], width)?,
        mlp_width: mlp_width.ok_or_else(|| unknown(format!("no {fc1}")))?,
        patch_size,
        patch_stride: told("patch_stride", &file.patch_stride, s).map_err(unknown)?,
        patch_padding: told("patch_padding", &file.patch_padding, s).map_err(unknown)?,
        kernel,
        kv_stride: told("stride_kv", &file.stride_kv, s).map_err(unknown)?,
    })
}

impl File {
    /// That stage `s` is as deep as its tensors, and that its queries are as many as its tokens and its keys and
    /// values lie on a grid around them.
    fn check(&self, s: usize, (depth, kernel): (usize, usize)) -> Result<(), String> {
        let fields = [
            ("depth", self.depth.as_ref(), depth),
            ("stride_q", Some(&self.stride_q), 1),
            ("padding_q", self.padding_q.as_ref(), kernel / 2),
            ("padding_kv", self.padding_kv.as_ref(), kernel / 2),
        ];
        for (field, values, expected) in fields {
            if let Some(values) = values.filter(|values| values.get(s) != Some(&expected)) {
                return Err(format!(
                    "config.json: {field} is {values:?}, but must be {expected} in stage {s}"
                ));
            }
        }
        Ok(())
    }
}

impl File {
    /// That stage `s` is as wide, and its patches as large, as its tensors.
    fn check_widths(&self, s: usize, (width, patch): (usize, usize)) -> Result<(), String> {
        for (field, values, found) in
            [("embed_dim", &self.embed_dim, width), ("patch_sizes", &self.patch_sizes, patch)]
        {
            if let Some(values) = values.as_ref().filter(|values| values.get(s) != Some(&found)) {
                return Err(format!(
                    "config.json: {field} is {values:?}, but the tensors of stage {s} have {found}"
                ));
            }
        }
        Ok(())
    }
}

/// A stage's own value.
fn told(field: &str, values: &[usize], s: usize) -> Result<usize, String> {
    values.get(s).copied().ok_or_else(|| format!("config.json: {field} has no stage {s}"))
}

/// Where a layer keeps the convolution of queries, keys or values, and its batch norm.
fn convolution(layer: &str, projection: &str) -> String {
    format!("{layer}.attention.attention.convolution_projection_{projection}.convolution_projection")
}

fn draw_embedding(translator: &mut Translator, s: usize, class: bool) {
    let theirs = format!("encoder.stages.{s}.embedding.convolution_embeddings");
    for part in ["weight", "bias"] {
        translator.copy(&format!("{theirs}.projection.{part}"), &format!("stages.{s}.embed.{part}"));
    }
    translator.norm(&format!("{theirs}.normalization"), &format!("stages.{s}.norm"));
    if class {
        translator.copy(&format!("encoder.stages.{s}.cls_token"), "cls_token");
    }
}

fn draw_block(translator: &mut Translator, theirs: &str, ours: &str) {
    for (from, to) in [("layernorm_before", "norm1"), ("layernorm_after", "norm2")] {
        translator.norm(&format!("{theirs}.{from}"), &format!("{ours}.{to}"));
    }
    for (from, to) in [("query", "q"), ("key", "k"), ("value", "v")] {
        draw_convolution(translator, &convolution(theirs, from), &format!("{ours}.attn.{to}_conv"));
        let linear = format!("{theirs}.attention.attention.projection_{from}");
        translator.linear(&linear, &format!("{ours}.attn.{to}_proj"));
    }
    let linears = [
        ("attention.output.dense", "attn.proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    ];
    for (from, to) in linears {
        translator.linear(&format!("{theirs}.{from}"), &format!("{ours}.{to}"));
    }
}

/// Folds a batch norm into the convolution before it: `w' = w γ / √(σ² + ε)`, `b' = β − μ γ / √(σ² + ε)`.
fn draw_convolution(translator: &mut Translator, theirs: &str, ours: &str) {
    let name = format!("{theirs}.convolution.weight");
    let kernel = translator.take(&name);
    let statistic = |part: &str| format!("{theirs}.normalization.{part}");
    let norm =
        ["weight", "bias", "running_mean", "running_var"].map(|part| translator.take(&statistic(part)));
    let (weight, bias) = match (kernel, norm) {
        (Some(kernel), [Some(gamma), Some(beta), Some(mean), Some(variance)]) => {
            fold(kernel, [gamma, beta, mean, variance]).unzip()
        }
        // What is missing has been noted.
        _ => return,
    };
    translator.put(&format!("{ours}.weight"), &name, weight);
    translator.put(&format!("{ours}.bias"), &statistic("bias"), bias);
}

/// # Shapes
/// `[D, 1, K, K]` and four `[D]` to `[D, 1, K, K]` and `[D]`.
fn fold(kernel: Tensor, norm: [Tensor; 4]) -> Option<(Tensor, Tensor)> {
    let d = *kernel.shape.first().filter(|&&d| d > 0)?;
    if norm.iter().any(|tensor| tensor.shape != [d]) {
        return None;
    }
    let [gamma, beta, mean, variance] = norm.map(|tensor| tensor.data);
    let scale = |i: usize| f64::from(gamma[i]) / (f64::from(variance[i]) + f64::from(NORM_EPS)).sqrt();
    let size = kernel.data.len() / d;
    let weight = kernel.data.iter().enumerate().map(|(i, &w)| (f64::from(w) * scale(i / size)) as f32);
    let bias = (0..d).map(|i| (f64::from(beta[i]) - f64::from(mean[i]) * scale(i)) as f32);
    let bias = Tensor { shape: vec![d], data: bias.collect() };
    Some((Tensor { shape: kernel.shape, data: weight.collect() }, bias))
}
