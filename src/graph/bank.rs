//! Modules' tensors taken from a bank that lies on the device.
//!
//! A bank holds one entry for each resident pack along its first axis, and each row says which entry is its own. So what a
//! run is fed for its modules is one number a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ops::Gather;
use super::{DType, Dim, Error, Fact, Graph, Node, ParameterName, Wire};
use crate::backbone::{Module, ModuleSet, Part};

/// Input of a graph that reads banks: the entry of each row, `I64[B]`.
pub const SLOTS: &str = "slots";

/// Name of the input that holds the bank of a module's tensor.
pub fn bank_input(parameter: ParameterName) -> String {
    format!("bank/{parameter}")
}

/// The same graph, each input that is a tensor of one of `modules` replaced by its bank.
///
/// # Shapes
/// `[a, b]` or `[B, a, b]` becomes `[P, a, b]`. A tensor that begins with an axis of rows has the entries there:
/// `[1, R, D]` becomes `[P, R, D]`.
///
/// # Errors
/// [`Error::DuplicateName`] when the graph reads banks already.
pub fn banked(graph: &Graph, modules: ModuleSet) -> Result<Graph, Error> {
    let of = |module: Module| module.form.fed().iter().map(move |&part| (module, part));
    let named = |(module, part)| (ParameterName::Module(module, part).to_string(), (module, part));
    let parameters: BTreeMap<String, (Module, Part)> = modules.iter().flat_map(of).map(named).collect();
    let mut slots = None;
    graph.clone().supplied(|g, wire| {
        let Some(&(module, part)) = parameters.get(g.wire_name(wire)) else { return Ok(None) };
        let slots = match slots {
            Some(slots) => slots,
            None => *slots.insert(g.input(SLOTS, Fact::f32([Dim::Batch]).of(DType::I64))?),
        };
        let shape = &g.fact(wire).shape;
        let rest = if part.has_row_axis() { &shape[1..] } else { &shape[..] };
        let bank = Fact::f32([&[Dim::Slots], rest].concat());
        let bank = g.input(bank_input(ParameterName::Module(module, part)), bank)?;
        Ok(Some(gather(g, [bank, slots], wire)))
    })
}

/// The node that makes `own` of a bank.
fn gather(g: &Graph, inputs: [Wire; 2], own: Wire) -> Node {
    let name = g.wire_name(own).to_owned();
    Node { name, operator: Arc::new(Gather), inputs: inputs.into(), outputs: vec![own] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{BlockRange, Place, Site};

    #[test]
    fn a_modules_inputs_become_banks_and_others_stay() {
        let module = ModuleSet::adapters(BlockRange { start: 0, end: 1 }).iter().next().unwrap();
        let name = ParameterName::Module(module, Part::Down);
        let mut g = Graph::new("g");
        let x = g.input("x", Fact::f32([Dim::Batch, Dim::Fixed(4)])).unwrap();
        let down = g.input(name.to_string(), Fact::module([Dim::Fixed(4), Dim::Width(module)])).unwrap();
        g.output("y", down);
        let banked = banked(&g, [module].into_iter().collect()).unwrap();
        let names: Vec<&str> = banked.inputs().iter().map(|&wire| banked.wire_name(wire)).collect();
        assert_eq!(names, ["x", SLOTS, &bank_input(name)]);
        let bank = banked.inputs()[2];
        assert_eq!(banked.fact(bank).shape, [Dim::Slots, Dim::Fixed(4), Dim::Width(module)]);
        assert_eq!(banked.fact(x), g.fact(x));
        assert_eq!(banked.nodes()[0].outputs, [down]);
    }

    #[test]
    fn an_axis_of_rows_becomes_the_entries() {
        let form = crate::backbone::Form::Prefix;
        let module = Module { site: Site::new(0, Place::Attn), form };
        let name = ParameterName::Module(module, Part::Keys).to_string();
        let mut g = Graph::new("g");
        let shape = [Dim::Fixed(1), Dim::Width(module), Dim::Fixed(8)];
        let keys = g.input(name, Fact::module(shape)).unwrap();
        g.output("y", keys);
        let banked = banked(&g, [module].into_iter().collect()).unwrap();
        assert_eq!(banked.fact(banked.inputs()[1]).shape, [Dim::Slots, shape[1], shape[2]]);
    }
}
