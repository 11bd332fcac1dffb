//! Weights out of ONNX graphs that exporters left with Hugging Face's node names.
//!
//! Two layouts are known. Dynamic int8 quantisation: `MatMulInteger` with `<name>_quantized`, `<name>_scale`,
//! `<name>_zero_point`, where `W = (q − zero) · scale` for each output channel. Plain fp32: `MatMul` with an
//! anonymous `[in, out]` matrix. In both, the node's name tells the layer.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use super::checkpoint::{Checkpoint, Tensor};
use super::error::Error;
use crate::graph::onnx::{GraphProto, ModelProto, NodeProto, TensorProto, data_type};

/// Roots under which exporters keep the vision tower: of tensors, and of nodes.
const ROOTS: [(&str, &str); 2] = [("vision_model.", "/vision_model/"), ("backbone.", "/backbone/")];

/// Reads the weights of a graph under Hugging Face's names.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Checkpoint, Error> {
    let unknown = |reason: String| Error::UnknownLayout { path: path.into(), reason };
    let model = ModelProto::decode(bytes).map_err(|e| unknown(format!("not an ONNX model: {e}")))?;
    let graph = model.graph.ok_or_else(|| unknown("the model has no graph".into()))?;
    let initializers: BTreeMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let root = ROOTS.iter().find(|(tensors, _)| initializers.keys().any(|name| name.starts_with(tensors)));
    let &(root, nodes) =
        root.ok_or_else(|| unknown("no tensor begins with vision_model. or backbone.".into()))?;
    let mut checkpoint = Checkpoint { path: path.into(), ..Checkpoint::default() };
    for (name, tensor) in &initializers {
        if let Some(name) = name.strip_prefix(root) {
            checkpoint.tensors.insert(name.to_owned(), floats(tensor).map_err(&unknown)?);
        } else if is_named(name) {
            checkpoint.left_out.push((*name).to_owned());
        }
    }
    for node in &graph.node {
        let Some(matrix) = matrix(node, &initializers).map_err(&unknown)? else { continue };
        if let Some(inside) = layer(&node.name, nodes) {
            let weight =
                matrix.transposed().ok_or_else(|| unknown(format!("{} is not a matrix", node.name)))?;
            checkpoint.tensors.insert(format!("{inside}.weight"), weight);
        } else {
            let outside = layer(&node.name, "/").unwrap_or_else(|| node.name.clone());
            checkpoint.left_out.push(format!("{outside}.weight"));
        }
    }
    if root == "backbone." {
        join_positions(&graph, &mut checkpoint.tensors).map_err(&unknown)?;
    }
    // Shapes and indices that graphs carry as tensors.
    checkpoint.tensors.retain(|_, tensor| !tensor.data.is_empty());
    Ok(checkpoint)
}

/// Whether an initializer bears a layer's name, not one that the exporter or the quantiser made up.
fn is_named(name: &str) -> bool {
    let made_up = ["_quantized", "_scale", "_zero_point"].iter().any(|suffix| name.ends_with(suffix));
    !made_up && !name.contains("::") && !name.starts_with('/')
}

/// `/backbone/encoder/layer.0/attention/attention/query/MatMul` to `encoder.layer.0.attention.attention.query`.
fn layer(node: &str, root: &str) -> Option<String> {
    let inner = node.strip_prefix(root)?;
    let (layer, operator) = inner.rsplit_once('/')?;
    operator.starts_with("MatMul").then(|| layer.replace('/', "."))
}

/// The constant matrix a node multiplies with, dequantised, `[in, out]`.
fn matrix(node: &NodeProto, initializers: &BTreeMap<&str, &TensorProto>) -> Result<Option<Tensor>, String> {
    let constant = node.input.iter().find_map(|name| initializers.get(name.as_str()).map(|t| (name, t)));
    match (node.op_type.as_str(), constant) {
        ("MatMul", Some((_, tensor))) => floats(tensor).map(Some),
        ("MatMulInteger", _) => {
            // The other operand, quantised at run time, bears the suffix too.
            let constant =
                |name: &&String| name.ends_with("_quantized") && initializers.contains_key(name.as_str());
            let quantized = node.input.iter().find(constant);
            quantized.map(|name| dequantise(name, initializers)).transpose()
        }
        _ => Ok(None),
    }
}

fn dequantise(name: &str, initializers: &BTreeMap<&str, &TensorProto>) -> Result<Tensor, String> {
    let base = name.trim_end_matches("_quantized");
    let get = |name: String| {
        let tensor = initializers.get(name.as_str()).ok_or_else(|| format!("{name} is missing"))?;
        floats(tensor)
    };
    let mut matrix = get(name.to_owned())?;
    let (scale, zero) = (get(format!("{base}_scale"))?, get(format!("{base}_zero_point"))?);
    let columns = matrix.shape.last().copied().unwrap_or(1);
    let of_channel = |values: &Tensor, column: usize| match values.data.len() {
        1 => Ok(values.data[0]),
        n if n == columns => Ok(values.data[column]),
        n => Err(format!("{base} has {n} scales for {columns} channels")),
    };
    for (i, value) in matrix.data.iter_mut().enumerate() {
        let column = i % columns;
        *value = (*value - of_channel(&zero, column)?) * of_channel(&scale, column)?;
    }
    Ok(matrix)
}

/// A tensor's elements as fp32, whichever way the file holds them.
fn floats(tensor: &TensorProto) -> Result<Tensor, String> {
    if tensor.data_location != 0 {
        return Err(format!("{} lies in another file; give a model that holds its tensors", tensor.name));
    }
    let raw = &tensor.raw_data;
    let data: Vec<f32> = match tensor.data_type {
        data_type::FLOAT if raw.is_empty() => tensor.float_data.clone(),
        data_type::FLOAT => {
            raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        data_type::INT8 | data_type::UINT8 if raw.is_empty() => {
            tensor.int32_data.iter().map(|&v| v as f32).collect()
        }
        data_type::INT8 => raw.iter().map(|&b| f32::from(b as i8)).collect(),
        data_type::UINT8 => raw.iter().map(|&b| f32::from(b)).collect(),
        data_type::FLOAT16 => {
            raw.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        // Integers that are no weights (shapes, indices) are dropped with the rest of the graph.
        _ => return Ok(Tensor { shape: vec![0], data: vec![] }),
    };
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&n| usize::try_from(n).ok()).collect();
    let shape = shape.ok_or_else(|| format!("{} has a negative dimension", tensor.name))?;
    let elements = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    if elements != Some(data.len()) {
        return Err(format!("{} has {} elements, expected {shape:?}", tensor.name, data.len()));
    }
    Ok(Tensor { shape, data })
}

/// The exporter split the position table into the class token's row and the patches' rows; both are anonymous.
fn join_positions(graph: &GraphProto, tensors: &mut BTreeMap<String, Tensor>) -> Result<(), String> {
    let width = tensors.get("embeddings.cls_token").and_then(|t| t.shape.last().copied());
    let width = width.ok_or("there is no backbone.embeddings.cls_token")? as i64;
    let tables: Vec<&TensorProto> = graph
        .initializer
        .iter()
        .filter(|t| !t.name.starts_with("backbone.") && matches!(t.dims[..], [1, _, w] if w == width))
        .collect();
    let class = tables.iter().find(|t| t.dims[1] == 1).ok_or("there is no position of the class token")?;
    let patches = tables.iter().filter(|t| t.dims[1] > 1).max_by_key(|t| t.dims[1]);
    let patches = floats(patches.ok_or("there is no table of positions")?)?;
    let mut data = floats(class)?.data;
    data.extend(patches.data);
    let shape = vec![1, 1 + patches.shape[1], width as usize];
    tensors.insert("embeddings.position_embeddings".into(), Tensor { shape, data });
    Ok(())
}
