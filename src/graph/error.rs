//! What can go wrong while a graph is built.

/// Why a graph could not be built or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two nodes or inputs were given one name.
    #[error("graph {graph}: the name {name} is used twice")]
    DuplicateName {
        /// The graph.
        graph: String,
        /// The name.
        name: String,
    },
    /// An operator does not accept what was wired to it.
    #[error("graph {graph}: node {node} ({operator}): {reason}, got {inputs:?}")]
    Wiring {
        /// The graph.
        graph: String,
        /// The node.
        node: String,
        /// The operator's ONNX name.
        operator: &'static str,
        /// What was expected.
        reason: String,
        /// Facts of the inputs.
        inputs: Vec<String>,
    },
    /// A gradient is asked for where none is defined.
    #[error("graph {graph}: node {node} ({operator}): {reason}")]
    NoGradient {
        /// The graph.
        graph: String,
        /// The node.
        node: String,
        /// The operator's ONNX name.
        operator: &'static str,
        /// Why there is none.
        reason: &'static str,
    },
    /// A parameter could not be trained by a training graph.
    #[error("graph {graph}: {name} cannot be trained: {reason}")]
    Untrained {
        /// The graph.
        graph: String,
        /// The parameter.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A weight the graph names is not in the weights file.
    #[error("graph {graph}: weight {name} {reason}")]
    Weight {
        /// The graph.
        graph: String,
        /// The weight.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A plan asks for what the backbone does not have.
    #[error("plan {plan}: {reason}")]
    Plan {
        /// The plan.
        plan: String,
        /// What does not fit.
        reason: String,
    },
}
