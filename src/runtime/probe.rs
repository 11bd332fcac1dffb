//! The smallest model there is: a session of it reaches a device.

use super::Error;
use crate::backbone::WeightLayout;
use crate::graph::ops::Sigmoid;
use crate::graph::{Fact, Graph, onnx};

/// The smallest model there is, to have a session on a device.
pub(super) fn probe_model() -> Result<Vec<u8>, Error> {
    let mut graph = Graph::new("probe");
    let x = graph.input("x", Fact::fixed(&[1]))?;
    let y = graph.wire("y", Sigmoid, &[x])?;
    graph.output("y", y);
    Ok(onnx::write(&graph, &WeightLayout::default())?)
}
