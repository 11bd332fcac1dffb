//! What is trained as one vector.
//!
//! A training graph reads a tensor for each parameter and gives a gradient for each. Here both are one vector, so that the
//! optimiser's step is a few operators whatever the model, and nothing needs to leave the device between steps.

mod rounded;
mod tied;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use rounded::Rounding;
pub use tied::Tie;

use super::ops::{Add, Concat, Split, View};
use super::training::{gradient_output, is_gradient};
use super::{Constant, Error, Fact, Graph, Node, ParameterName, Wire};

/// Input: every parameter, `[P]`.
pub const PARAMETERS: &str = "parameters";
/// Input: what the gradients are added to, `[P]`.
pub const BEFORE: &str = "gradients.before";
/// Output: the sum, `[P]`. Its name is that of a gradient, as halved graphs must know.
pub const GRADIENTS: &str = "grad/sum";

/// What is trained of one tensor, and lies in the vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Name of the tensor that the training graph reads.
    pub name: String,
    /// The tensor's shape.
    pub shape: Vec<usize>,
    /// How the tensor is made of the piece.
    pub made: Made,
}

/// How a tensor is made of what is trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    /// It is that.
    Whole,
    /// A matrix, rounded. Gradients are those at the rounded weights, and go straight through (Bengio et al. 2013).
    Rounded(Rounding),
    /// Several of its elements are one number, whose gradient is the sum of theirs.
    Tied(Tie),
}

impl Piece {
    /// A tensor that is trained as it is.
    pub fn whole(name: impl Into<String>, shape: Vec<usize>) -> Self {
        Self { name: name.into(), shape, made: Made::Whole }
    }

    /// Elements in the vector.
    pub fn size(&self) -> usize {
        match &self.made {
            Made::Whole | Made::Rounded(_) => self.shape.iter().product(),
            Made::Tied(tie) => tie.size(),
        }
    }

    /// The wire of the tensor's elements.
    fn elements(&self, g: &mut Graph, piece: Wire) -> Result<Wire, Error> {
        match &self.made {
            Made::Whole => Ok(piece),
            Made::Rounded(rounding) => {
                let outputs = self.shape.last().copied().unwrap_or(1);
                let inputs = self.size() / outputs.max(1);
                rounded::rounded(g, (&self.name, [inputs, outputs]), piece, rounding)
            }
            Made::Tied(tie) => tie.expanded(g, &self.name, piece),
        }
    }

    /// The gradient of the piece, a vector, of the tensor's.
    fn gradient(&self, g: &mut Graph, of_tensor: Wire) -> Result<Wire, Error> {
        let name = format!("{}.gradient", self.name);
        let count = self.shape.iter().product();
        let vector = as_vector(g, (format!("{name}.vector"), count), of_tensor)?;
        let Made::Tied(tie) = &self.made else { return Ok(vector) };
        let sums = tie.summed(g, &name, vector)?;
        as_vector(g, (format!("{name}.sums.vector"), self.size()), sums)
    }
}

/// Where each piece lies in the vector: one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout(Vec<Piece>);

impl Layout {
    /// Pieces in the order of the vector.
    pub fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self(pieces.into_iter().collect())
    }

    /// Elements of the vector (P).
    pub fn count(&self) -> usize {
        self.0.iter().map(Piece::size).sum()
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The parts of a vector of [`Layout::count`] elements, by name.
    pub fn parts<'a>(&'a self, mut vector: &'a [f32]) -> impl Iterator<Item = (&'a str, &'a [f32])> {
        self.0.iter().map(move |piece| {
            let (part, rest) = vector.split_at(piece.size().min(vector.len()));
            vector = rest;
            (piece.name.as_str(), part)
        })
    }
}

/// The same training graph, what it trains cut from [`PARAMETERS`] and its gradients added to [`BEFORE`]. Loss and logits
/// stay as they are.
///
/// # Errors
/// When the graph trains what the layout lacks, or has no gradient for what it holds.
pub fn flat(graph: &Graph, layout: &Layout) -> Result<Graph, Error> {
    let mut cut: Option<BTreeMap<&str, (Wire, &Piece)>> = None;
    let mut g = graph.clone().supplied(|g, own| {
        let name = g.wire_name(own).to_owned();
        if !is_trained(graph, &name) {
            return Ok(None);
        }
        let pieces = match &cut {
            Some(pieces) => pieces,
            None => &*cut.insert(pieces(g, layout)?),
        };
        let Some((piece, own_piece)) = pieces.get(name.as_str()) else { return Err(lacks(g, &name)) };
        let elements = own_piece.elements(g, *piece)?;
        shaped(g, own, (elements, &own_piece.shape)).map(Some)
    })?;
    let gradients = g.take_outputs(is_gradient);
    let mut vectors = Vec::with_capacity(layout.0.len());
    for piece in &layout.0 {
        let of_tensor = gradients.get(&gradient_output(&piece.name)).ok_or_else(|| lacks(&g, &piece.name))?;
        vectors.push(piece.gradient(&mut g, *of_tensor)?);
    }
    let all = g.wire("gradients", Concat { axis: 0 }, &vectors)?;
    let before = g.input(BEFORE, Fact::fixed(&[layout.count()]))?;
    let sum = g.wire(GRADIENTS, Add, &[before, all])?;
    g.output(GRADIENTS, sum);
    Ok(g)
}

/// Whether an input is trained: a parameter, or what else the graph has a gradient for.
fn is_trained(graph: &Graph, input: &str) -> bool {
    let gradient = gradient_output(input);
    input.parse::<ParameterName>().is_ok() || graph.outputs().iter().any(|(name, _)| *name == gradient)
}

/// The vector, cut.
fn pieces<'a>(g: &mut Graph, layout: &'a Layout) -> Result<BTreeMap<&'a str, (Wire, &'a Piece)>, Error> {
    let vector = g.input(PARAMETERS, Fact::fixed(&[layout.count()]))?;
    let sizes = layout.0.iter().map(Piece::size).collect();
    let wires = g.wire_all("parameters.pieces", Split { sizes }, &[vector])?;
    Ok(layout.0.iter().zip(wires).map(|(piece, wire)| (piece.name.as_str(), (wire, piece))).collect())
}

/// The node that makes `own` of its elements.
fn shaped(g: &mut Graph, own: Wire, (elements, shape): (Wire, &[usize])) -> Result<Node, Error> {
    let name = g.wire_name(own).to_owned();
    let sizes = Constant::I64(shape.iter().map(|&n| n as i64).collect());
    let sizes = g.constant(format!("{name}.shape"), sizes)?;
    let operator = Arc::new(View { shape: shape.to_vec() });
    Ok(Node { name, operator, inputs: vec![elements, sizes], outputs: vec![own] })
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
        let pieces = [("head.weight", vec![2, 3]), ("head.bias", vec![3])];
        let layout = Layout::new(pieces.map(|(name, shape)| Piece::whole(name, shape)));
        let vector: Vec<f32> = (0..9).map(|n| n as f32).collect();
        assert_eq!(layout.count(), vector.len());
        let parts: Vec<_> = layout.parts(&vector).collect();
        assert_eq!(parts, [("head.weight", &vector[..6]), ("head.bias", &vector[6..])]);
    }

    #[test]
    fn a_parameter_that_the_layout_lacks_is_named() {
        let mut g = Graph::new("g");
        let bias = g.input(ParameterName::HeadBias.to_string(), Fact::fixed(&[3])).unwrap();
        g.output("loss", bias);
        let other = Layout::new([Piece::whole("head.weight", vec![2, 3])]);
        let error = flat(&g, &other).unwrap_err().to_string();
        assert!(error.contains("head.bias") && error.contains("do not agree"), "{error}");
        let own = Layout::new([Piece::whole("head.bias", vec![3])]);
        assert!(flat(&g, &own).unwrap_err().to_string().contains("head.bias"), "it has no gradient");
    }
}
