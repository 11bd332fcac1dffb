//! From [`Graph`] to the bytes of an ONNX model.

use std::collections::BTreeSet;

use prost::Message;

use super::attribute::element_type;
use super::messages::{
    DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    data_type,
};
use crate::backbone::{TensorEntry, WEIGHTS_FILE, WeightLayout};
use crate::graph::{Constant, DType, Dim, Error, Fact, Graph, Node, Wire};

/// Version of the file format; 10 is the first with opset 21.
const IR_VERSION: i64 = 10;
/// Operator set; 20 brought `Gelu`, 21 is the newest that every supported runtime has.
const OPSET: i64 = 21;

/// Version of the operator sets other than the standard one: ONNX Runtime's own has this one only.
const OTHER_OPSET: i64 = 1;

/// Writes the graph as an ONNX model whose weights lie in `backbone.safetensors` beside it.
///
/// # Errors
/// [`Error::Weight`] when `layout` lacks a weight or has it in another shape.
pub fn write(graph: &Graph, layout: &WeightLayout) -> Result<Vec<u8>, Error> {
    let mut initializer = Vec::new();
    for (name, wire) in graph.weights() {
        initializer.push(external(
            name,
            graph.fact(wire).dtype,
            check(graph, layout, name, graph.fact(wire))?,
        ));
    }
    for (wire, constant) in graph.constants() {
        initializer.push(inline(graph.wire_name(*wire), constant));
    }
    let value = |name: &str, fact: &Fact| value_info(name, fact);
    let outputs = graph.outputs().iter().map(|&(_, wire)| wire);
    let read: BTreeSet<Wire> =
        graph.nodes().iter().flat_map(|node| &node.inputs).copied().chain(outputs).collect();
    let graph_proto = GraphProto {
        node: graph.nodes().iter().map(|node| node_proto(graph, node, &read)).collect(),
        name: graph.name().into(),
        initializer,
        input: graph.inputs().iter().map(|&w| value(graph.wire_name(w), graph.fact(w))).collect(),
        output: graph.outputs().iter().map(|(name, w)| value(name, graph.fact(*w))).collect(),
    };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph_proto),
        opset_import: operator_sets(graph),
    };
    Ok(model.encode_to_vec())
}

/// The standard operator set and those of nodes outside it.
fn operator_sets(graph: &Graph) -> Vec<OperatorSetIdProto> {
    let domains: BTreeSet<&str> = graph.nodes().iter().map(|node| node.operator.domain()).collect();
    let others = domains.into_iter().filter(|domain| !domain.is_empty());
    let set = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    [set("", OPSET)].into_iter().chain(others.map(|domain| set(domain, OTHER_OPSET))).collect()
}

fn check<'a>(
    graph: &Graph,
    layout: &'a WeightLayout,
    name: &str,
    fact: &Fact,
) -> Result<&'a TensorEntry, Error> {
    let fail = |reason: String| Error::Weight { graph: graph.name().into(), name: name.into(), reason };
    let entry = layout.get(name).ok_or_else(|| fail("is not in the weights file".into()))?;
    let expected: Vec<Dim> = entry.shape.iter().map(|&n| Dim::Fixed(n)).collect();
    if expected != fact.shape {
        return Err(fail(format!("has shape {:?} in the weights file, the graph wants {fact}", entry.shape)));
    }
    Ok(entry)
}

/// A node without the last outputs that are not `read`: a kernel need not compute what it is not asked for.
fn node_proto(graph: &Graph, node: &Node, read: &BTreeSet<Wire>) -> NodeProto {
    // An output of the graph bears the output's name, so that no copy is needed to rename it.
    let name_of = |wire| {
        let output = graph.outputs().iter().find(|(_, w)| *w == wire);
        output.map_or_else(|| graph.wire_name(wire).to_owned(), |(name, _)| name.clone())
    };
    let is_named = |wire: &Wire| node.operator.names_all_outputs() || read.contains(wire);
    let asked = node.outputs.iter().rposition(is_named).map_or(1, |last| last + 1);
    NodeProto {
        input: node.inputs.iter().map(|&w| name_of(w)).collect(),
        output: node.outputs[..asked].iter().map(|&w| name_of(w)).collect(),
        name: node.name.clone(),
        op_type: node.operator.name().into(),
        attribute: node.operator.attributes().into_iter().map(|a| a.0).collect(),
        domain: node.operator.domain().into(),
    }
}

fn external(name: &str, dtype: DType, entry: &TensorEntry) -> TensorProto {
    let pair = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
    TensorProto {
        dims: entry.shape.iter().map(|&n| n as i64).collect(),
        data_type: element_type(dtype),
        name: name.into(),
        external_data: vec![
            pair("location", WEIGHTS_FILE.into()),
            pair("offset", entry.offset.to_string()),
            pair("length", entry.length.to_string()),
        ],
        data_location: 1,
        ..Default::default()
    }
}

fn inline(name: &str, constant: &Constant) -> TensorProto {
    let (shape, data_type, raw_data): (Vec<usize>, _, Vec<u8>) = match constant {
        Constant::I64(values) => {
            (vec![values.len()], data_type::INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        Constant::U8 { shape, data } => (shape.clone(), data_type::UINT8, data.clone()),
        Constant::I8 { shape, data } => {
            (shape.clone(), data_type::INT8, data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        Constant::F16 { shape, data } => {
            (shape.clone(), data_type::FLOAT16, data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        Constant::F32 { shape, data } => {
            (shape.clone(), data_type::FLOAT, data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
    };
    let dims = shape.iter().map(|&n| n as i64).collect();
    TensorProto { dims, data_type, name: name.into(), raw_data, ..Default::default() }
}

fn value_info(name: &str, fact: &Fact) -> ValueInfoProto {
    let dimension = |dim: &Dim| DimensionProto {
        value: Some(match dim {
            Dim::Fixed(n) => DimensionValue::Value(*n as i64),
            open => DimensionValue::Param(open.to_string()),
        }),
    };
    let shape = TensorShapeProto { dim: fact.shape.iter().map(dimension).collect() };
    let elem_type = element_type(fact.dtype);
    let tensor_type = TensorTypeProto { elem_type, shape: (!fact.free_rank).then_some(shape) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
