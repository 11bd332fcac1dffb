//! What a run keeps in memory at once, told from the graph alone.

use std::collections::BTreeMap;

use super::{Dim, Graph, Wire};

/// Bytes of an element, of a float as of the few indices.
const BYTES: u64 = 4;

impl Graph {
    /// Most bytes that the values computed by one run take together, each open dimension given by `bind`. A value
    /// lives from the node that makes it to the last that reads it, an output to the end; inputs and weights are not
    /// counted. ONNX Runtime, which fuses nodes and computes some in place, takes less.
    pub fn peak_bytes(&self, bind: impl Fn(Dim) -> u64) -> u64 {
        let size =
            |wire: Wire| BYTES * self.fact(wire).shape.iter().map(|dim| dim.size(&bind)).product::<u64>();
        let mut last: BTreeMap<Wire, usize> = BTreeMap::new();
        for (place, node) in self.nodes().iter().enumerate() {
            last.extend(node.outputs.iter().chain(&node.inputs).map(|&wire| (wire, place)));
        }
        last.extend(self.outputs().iter().map(|&(_, wire)| (wire, usize::MAX)));
        let (mut live, mut peak) = (BTreeMap::new(), 0);
        for (place, node) in self.nodes().iter().enumerate() {
            live.extend(node.outputs.iter().map(|&wire| (wire, size(wire))));
            peak = peak.max(live.values().sum());
            live.retain(|wire, _| last.get(wire).is_some_and(|&end| end > place));
        }
        peak
    }
}
