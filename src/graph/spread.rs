//! Rows that go on from their images' states.
//!
//! Several rows of one image leave the blocks they share with one state. A program that begins behind those blocks reads
//! each image's state once, and which of them each row goes on from.

use std::sync::Arc;

use super::names::HIDDEN;
use super::ops::Gather;
use super::{DType, Dim, Error, Fact, Graph, Node};

/// Input of a graph that reads images' states: those states, `[I, N, D]`.
pub const STATES: &str = "states";
/// Input of a graph that reads images' states: the state of each row, `I64[B]`.
pub const IMAGES: &str = "images";

/// The same graph, its [`HIDDEN`] taken from images' states. A graph that begins at the first block stays as it is.
///
/// # Errors
/// [`Error::DuplicateName`] when something else has one of the inputs' names.
pub fn spread(graph: &Graph) -> Result<Graph, Error> {
    graph.clone().supplied(|g, wire| {
        if g.wire_name(wire) != HIDDEN {
            return Ok(None);
        }
        let rest = &g.fact(wire).shape[1..];
        let states = Fact::f32([&[Dim::Images], rest].concat());
        let states = g.input(STATES, states)?;
        let images = g.input(IMAGES, Fact::f32([Dim::Batch]).of(DType::I64))?;
        let (operator, inputs) = (Arc::new(Gather), vec![states, images]);
        Ok(Some(Node { name: HIDDEN.into(), operator, inputs, outputs: vec![wire] }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::PIXELS;

    #[test]
    fn hidden_rows_are_taken_from_states_and_a_graph_of_pixels_stays() {
        let mut g = Graph::new("g");
        let hidden = g.input(HIDDEN, Fact::f32([Dim::Batch, Dim::Fixed(5), Dim::Fixed(4)])).unwrap();
        g.output("y", hidden);
        let spread = spread(&g).unwrap();
        let names: Vec<&str> = spread.inputs().iter().map(|&wire| spread.wire_name(wire)).collect();
        assert_eq!(names, [STATES, IMAGES]);
        assert_eq!(spread.fact(spread.inputs()[0]).shape, [Dim::Images, Dim::Fixed(5), Dim::Fixed(4)]);
        assert_eq!(spread.nodes()[0].outputs, [hidden]);
        let mut first = Graph::new("first");
        let pixels = first.input(PIXELS, Fact::f32([Dim::Batch])).unwrap();
        first.output("y", pixels);
        assert!(super::spread(&first).unwrap().nodes().is_empty());
    }
}
