//! What is trained as one vector.
//!
//! A training graph reads a tensor for each parameter and gives a gradient for each. Here both are one vector, so that the
//! optimiser's step is a few operators whatever the model, and nothing needs to leave the device between steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ops::{Add, Concat, Split, View};
use super::training::{gradient_output, is_gradient};
use super::{Constant, Error, Fact, Graph, Node, ParameterName, Wire};

/// Input: every parameter, `[P]`.
pub const PARAMETERS: &str = "parameters";
/// Input: what the gradients are added to, `[P]`.
pub const BEFORE: &str = "gradients.before";
/// Output: the sum, `[P]`. Its name is that of a gradient, as halved graphs must know.
pub const GRADIENTS: &str = "grad/sum";

/// Where each parameter lies in the vector: one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(Vec<(ParameterName, Vec<usize>)>);

impl Layout {
    /// Parameters with their shapes, in the order of the vector.
    pub fn new(shapes: impl IntoIterator<Item = (ParameterName, Vec<usize>)>) -> Self {
        Self(shapes.into_iter().collect())
    }

    /// Elements of the vector (P).
    pub fn count(&self) -> usize {
        self.sizes().sum()
    }

    /// The parts of a vector of [`Layout::count`] elements, by name.
    pub fn parts<'a>(&'a self, mut vector: &'a [f32]) -> impl Iterator<Item = (ParameterName, &'a [f32])> {
        self.0.iter().zip(self.sizes()).map(move |((name, _), size)| {
            let (part, rest) = vector.split_at(size.min(vector.len()));
            vector = rest;
            (*name, part)
        })
    }

    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(_, shape)| shape.iter().product())
    }
}

/// The same training graph, its parameters cut from [`PARAMETERS`] and its gradients added to [`BEFORE`]. Loss and logits
/// stay as they are.
///
/// # Errors
/// When the graph trains what the layout lacks, or has no gradient for what it holds.
pub fn flat(graph: &Graph, layout: &Layout) -> Result<Graph, Error> {
    let pieces = |g: &mut Graph| -> Result<BTreeMap<String, (Wire, Vec<usize>)>, Error> {
        let vector = g.input(PARAMETERS, Fact::fixed(&[layout.count()]))?;
        let wires = g.wire_all("parameters.pieces", Split { sizes: layout.sizes().collect() }, &[vector])?;
        let shaped = layout.0.iter().zip(wires);
        Ok(shaped.map(|((name, shape), wire)| (name.to_string(), (wire, shape.clone()))).collect())
    };
    let mut cut = None;
    let mut g = graph.clone().supplied(|g, own| {
        let name = g.wire_name(own).to_owned();
        if name.parse::<ParameterName>().is_err() {
            return Ok(None);
        }
        let pieces = match &cut {
            Some(pieces) => pieces,
            None => &*cut.insert(pieces(g)?),
        };
        let Some((piece, shape)) = pieces.get(&name) else { return Err(lacks(g, &name)) };
        shaped(g, own, (*piece, shape)).map(Some)
    })?;
    let gradients = g.take_outputs(is_gradient);
    let vectors = layout.0.iter().map(|(name, shape)| {
        let wire = gradients.get(&gradient_output(name)).ok_or_else(|| lacks(&g, &name.to_string()))?;
        Ok((format!("{name}.gradient.vector"), *wire, shape.iter().product()))
    });
    let vectors = vectors.collect::<Result<Vec<_>, Error>>()?;
    let wires = vectors.into_iter().map(|(name, wire, count)| as_vector(&mut g, (name, count), wire));
    let wires = wires.collect::<Result<Vec<_>, Error>>()?;
    let all = g.wire("gradients", Concat { axis: 0 }, &wires)?;
    let before = g.input(BEFORE, Fact::fixed(&[layout.count()]))?;
    let sum = g.wire(GRADIENTS, Add, &[before, all])?;
    g.output(GRADIENTS, sum);
    Ok(g)
}

/// The node that makes `own` of its piece.
fn shaped(g: &mut Graph, own: Wire, (piece, shape): (Wire, &[usize])) -> Result<Node, Error> {
    let name = g.wire_name(own).to_owned();
    let sizes = Constant::I64(shape.iter().map(|&n| n as i64).collect());
    let sizes = g.constant(format!("{name}.shape"), sizes)?;
    let operator = Arc::new(View { shape: shape.to_vec() });
    Ok(Node { name, operator, inputs: vec![piece, sizes], outputs: vec![own] })
}

/// A tensor of so many elements, whatever its axes, as a vector.
fn as_vector(g: &mut Graph, (name, count): (String, usize), wire: Wire) -> Result<Wire, Error> {
    let sizes = g.constant(format!("{name}.shape"), Constant::I64(vec![count as i64]))?;
    let operator = Arc::new(View { shape: vec![count] });
    g.wire_as(name, Fact::fixed(&[count]), (operator, vec![wire, sizes]))
}

fn lacks(g: &Graph, name: &str) -> Error {
    let reason = "the graph and the vector of parameters do not agree on it";
    Error::Untrained { graph: g.name().into(), name: name.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_one_after_the_other() {
        let shapes = [(ParameterName::HeadWeight, vec![2, 3]), (ParameterName::HeadBias, vec![3])];
        let layout = Layout::new(shapes);
        let vector: Vec<f32> = (0..9).map(|n| n as f32).collect();
        assert_eq!(layout.count(), vector.len());
        let parts: Vec<_> = layout.parts(&vector).collect();
        assert_eq!(
            parts,
            [(ParameterName::HeadWeight, &vector[..6]), (ParameterName::HeadBias, &vector[6..])]
        );
    }

    #[test]
    fn a_parameter_that_the_layout_lacks_is_named() {
        let mut g = Graph::new("g");
        let bias = g.input(ParameterName::HeadBias.to_string(), Fact::fixed(&[3])).unwrap();
        g.output("loss", bias);
        let other = Layout::new([(ParameterName::HeadWeight, vec![2, 3])]);
        let error = flat(&g, &other).unwrap_err().to_string();
        assert!(error.contains("head.bias") && error.contains("do not agree"), "{error}");
        let own = Layout::new([(ParameterName::HeadBias, vec![3])]);
        assert!(flat(&g, &own).unwrap_err().to_string().contains("head.bias"), "it has no gradient");
    }
}
