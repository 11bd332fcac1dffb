//! Patches embedded by a product are those of the convolution that the weight was stored for.

use std::sync::Arc;

use mimi_server::backbone::ModuleSet;
use mimi_server::graph::ops::{Conv, Reshape, Transpose};
use mimi_server::graph::{Dim, Fact, Graph, Patches, Plan, Wire, build};
use mimi_server::runtime::{Input, Program, WeightStore};
use proptest::prelude::*;

use crate::support::{self, FAMILIES, Random, Tensor, TinyBackbone, assert_close};

/// Of the largest token's element. Both sum up to 768 products in an order of their own, each within 1e-6 of the exact sum: of 400
/// such products NumPy's worst is 7e-7 from it.
const TOLERANCE: f32 = 2e-6;

/// An image, a kernel and a bias as inputs of a graph; the kernel in the given shape.
fn inputs(g: &mut Graph, patches: Patches, kernel: &[usize], bias: bool) -> Vec<Wire> {
    let side = Dim::Fixed(patches.image);
    let image = g.input("pixels", Fact::f32([Dim::Batch, Dim::Fixed(3), side, side])).unwrap();
    let mut inputs = vec![image, g.input("kernel", Fact::fixed(kernel)).unwrap()];
    if bias {
        inputs.push(g.input("bias", Fact::fixed(&kernel[..1])).unwrap());
    }
    inputs
}

/// What the product replaces.
fn convolved(patches: Patches, bias: bool) -> Graph {
    let Patches { image, side, width } = patches;
    let mut g = Graph::new("convolved");
    let x = inputs(&mut g, patches, &[width, 3, side, side], bias);
    let conv = Conv { kernel: side, stride: side, padding: 0, groups: 1 };
    let map = g.wire("map", conv, &x).unwrap();
    let grid = image / side;
    let flat = g.wire("flat", Reshape { rest: vec![width, grid * grid] }, &[map]).unwrap();
    let tokens = g.wire("tokens", Transpose { order: vec![0, 2, 1] }, &[flat]).unwrap();
    g.output("out", tokens);
    g
}

fn multiplied(patches: Patches, bias: bool) -> Graph {
    let mut g = Graph::new("multiplied");
    let x = inputs(&mut g, patches, &[patches.width, 3 * patches.side * patches.side], bias);
    let tokens = patches.embed(&mut g, "embed", &x).unwrap();
    g.output("out", tokens);
    g
}

/// The tokens of a graph, and their shape.
fn run(store: &Arc<WeightStore>, graph: &Graph, [image, kernel, bias]: [&Tensor; 3]) -> Tensor {
    let mut program = Program::compile(&support::runtime(), store, graph).unwrap();
    let fed = |&wire: &Wire| {
        let name = graph.wire_name(wire);
        let tensor = if name == "pixels" { image } else { [bias, kernel][usize::from(name == "kernel")] };
        let shape: Vec<usize> = match graph.fact(wire).shape[0] {
            Dim::Batch => tensor.shape.clone(),
            _ => graph.fact(wire).shape.iter().map(|dim| dim.fixed().unwrap()).collect(),
        };
        (name, shape, &tensor.data)
    };
    let fed: Vec<_> = graph.inputs().iter().map(fed).collect();
    let inputs: Vec<Input<'_>> = fed.iter().map(|(name, shape, data)| Input { name, shape, data }).collect();
    let found = program.run(&inputs).unwrap().remove(0);
    Tensor { shape: found.shape, data: found.data }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_product_gives_the_convolutions_tokens(
        (side, grid, width) in (1..=16usize, 1..=5usize, 1..=40usize),
        (rows, bias, seed) in (1..=3usize, any::<bool>(), any::<u64>()),
    ) {
        let patches = Patches { image: grid * side, side, width };
        let mut random = Random::new(seed);
        let mut tensor = |shape: Vec<usize>| {
            let data = random.floats(shape.iter().product(), 1.0);
            Tensor { shape, data }
        };
        let image = tensor(vec![rows, 3, patches.image, patches.image]);
        let (kernel, shift) = (tensor(vec![width, 3 * side * side]), tensor(vec![width]));
        let store = TinyBackbone::new().store();
        let tensors = [&image, &kernel, &shift];
        let (conv, product) = (convolved(patches, bias), multiplied(patches, bias));
        let (expected, found) = (run(&store, &conv, tensors), run(&store, &product, tensors));
        prop_assert_eq!(&found.shape, &expected.shape);
        let scale = expected.data.iter().fold(1.0f32, |most, x| most.max(x.abs()));
        assert_close("tokens", &found.data, &expected.data, TOLERANCE * scale);
        let cost = |g: &Graph| g.flops(|_| 1);
        prop_assert_eq!(cost(&product), cost(&conv));
    }
}

/// Only overlapping patches are convolved.
#[test]
fn vit_and_swin_convolve_nothing() {
    for name in FAMILIES {
        let tiny = TinyBackbone::from(name);
        let graph = build(&tiny.config, &Plan::whole(&tiny.config, ModuleSet::EMPTY)).unwrap();
        let convolves = graph.nodes().iter().any(|node| node.operator.is::<Conv>());
        assert_eq!(convolves, name.starts_with("cvt"), "{name}");
    }
}
