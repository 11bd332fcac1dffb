//! Backward equals finite differences, operator by operator and for a whole step, and equals PyTorch's autograd.

use std::collections::BTreeMap;
use std::sync::Arc;

use mimi_server::backbone::{Activation, BlockRange, Form, Module, ModuleSet, Place, Site, Source};
use mimi_server::graph::ops::{
    Add, Concat, Conv, Gelu, GeluTanh, LayerNorm, MatMul, Mul, Pad, ReduceMean, Reorder, Reshape,
};
use mimi_server::graph::ops::{Sigmoid, Slice, Softmax, Softplus, Transpose, View};
use mimi_server::graph::training::{HEAD_BIAS, HEAD_WEIGHT, LOGITS, LOSS, TARGETS, gradient_output};
use mimi_server::graph::training::{Loss, WEIGHTS, training_graph};
use mimi_server::graph::{
    Constant, Dim, Direct, Error, Fact, Graph, HIDDEN, HIDDEN_OUT, KEEP, PIXELS, ParameterName, Patches,
    Plan, Trained, Wire, build, gradients, keep_input,
};
use mimi_server::runtime::{Input, Program, WeightStore};

use crate::support::{self, FAMILIES, Fixture, Random, Tensor, TinyBackbone, assert_close};

/// Central differences in fp32 with this step err by about 1e-4 of the largest gradient.
const STEP: f32 = 1e-2;
/// The same for a whole step, which bends more.
const SMALL_STEP: f32 = 2e-3;
/// Allowed error of an operator's gradient, relative to its largest element.
const OPERATOR_TOLERANCE: f32 = 2e-3;
/// Allowed error of a whole step's directional derivative, relative.
const STEP_TOLERANCE: f64 = 1e-2;
/// The bar against PyTorch in double precision, relative to each tensor's largest element.
const PYTORCH_TOLERANCE: f32 = 1e-4;
/// Rows in every operator's test.
const ROWS: usize = 2;

pub type Named = BTreeMap<String, Tensor>;

/// Runs a graph; tensors it does not read are passed over.
pub struct Runner {
    program: Program,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Runner {
    pub fn new(store: &Arc<WeightStore>, graph: &Graph) -> Self {
        let inputs = graph.inputs().iter().map(|&wire| graph.wire_name(wire).to_owned()).collect();
        let outputs = graph.outputs().iter().map(|(name, _)| name.clone()).collect();
        Self { program: Program::compile(&support::runtime(), store, graph).unwrap(), inputs, outputs }
    }

    pub fn run(&mut self, tensors: &Named) -> Named {
        let input = |name: &'_ String| {
            let (name, tensor) = tensors.get_key_value(name).unwrap();
            Input { name, shape: &tensor.shape, data: &tensor.data }
        };
        let fed: Vec<_> = self.inputs.iter().map(input).collect();
        let results = self.program.run(&fed).unwrap();
        let results = results.into_iter().map(|output| Tensor { shape: output.shape, data: output.data });
        self.outputs.iter().cloned().zip(results).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

/// Compares the gradients of `Σ seed · y` for `targets` with central differences, one by one. A shape is without
/// the batch where it is marked.
fn check(
    what: &str,
    shapes: &[(&[usize], bool)],
    targets: &[usize],
    wire: impl Fn(&mut Graph, &[Wire]) -> Wire,
) {
    targets.iter().for_each(|&target| check_one(what, shapes, target, &wire));
}

fn check_one(
    what: &str,
    shapes: &[(&[usize], bool)],
    target: usize,
    wire: &impl Fn(&mut Graph, &[Wire]) -> Wire,
) {
    let name = |i: usize| format!("x{i}");
    let mut g = Graph::new(what);
    let mut random = Random::new(7);
    let (mut wires, mut tensors) = (Vec::new(), Named::new());
    for (i, (shape, batched)) in shapes.iter().enumerate() {
        let dims = shape.iter().map(|&n| Dim::Fixed(n));
        let dims: Vec<Dim> = batched.then_some(Dim::Batch).into_iter().chain(dims).collect();
        let shape: Vec<usize> = batched.then_some(ROWS).into_iter().chain(shape.iter().copied()).collect();
        wires.push(g.input(name(i), Fact::f32(dims)).unwrap());
        let data = random.floats(shape.iter().product(), 1.5);
        tensors.insert(name(i), Tensor { shape, data });
    }
    let y = wire(&mut g, &wires);
    g.output("y", y);
    let seed = g.input("seed", g.fact(y).clone()).unwrap();
    // An input may not be an output, and addition passes its gradient through as it is.
    let unit = g.constant("one", Constant::scalar(1.0)).unwrap();
    let seed = g.wire("seeded", Mul, &[seed, unit]).unwrap();
    let found = gradients(&mut g, (y, seed), &[wires[target]]).unwrap();
    g.output("grad", found[&wires[target]]);

    let tiny = TinyBackbone::new();
    let mut runner = Runner::new(&tiny.store(), &g);
    let shape: Vec<usize> = g.fact(y).shape.iter().map(|dim| dim.fixed().unwrap_or(ROWS)).collect();
    let seed = random.floats(shape.iter().product(), 1.0);
    tensors.insert("seed".into(), Tensor { shape, data: seed.clone() });
    let computed = runner.run(&tensors).remove("grad").unwrap();
    assert_eq!(computed.shape, tensors[&name(target)].shape, "{what}: shape of gradient {target}");
    let mut moved = |at: usize, by: f32| {
        let mut tensors = tensors.clone();
        tensors.get_mut(&name(target)).unwrap().data[at] += by;
        dot(&runner.run(&tensors)["y"].data, &seed)
    };
    let slope = |at| ((moved(at, STEP) - moved(at, -STEP)) / f64::from(2.0 * STEP)) as f32;
    let expected: Vec<f32> = (0..computed.data.len()).map(slope).collect();
    let tolerance = OPERATOR_TOLERANCE * largest(&expected).max(1.0);
    assert_close(&format!("{what}: gradient {target}"), &computed.data, &expected, tolerance);
}

#[test]
fn each_operator_equals_finite_differences() {
    let one = |op: fn(&mut Graph, &[Wire]) -> Result<Wire, Error>| {
        move |g: &mut Graph, x: &[Wire]| op(g, x).unwrap()
    };
    let (rows, same) = (true, false);
    let x: (&[usize], bool) = (&[3, 4], rows);
    check("add", &[x, x], &[0, 1], one(|g, x| g.wire("y", Add, x)));
    check("add a bias", &[x, (&[4], same)], &[0, 1], one(|g, x| g.wire("y", Add, x)));
    check("add a table", &[x, (&[1, 3, 4], same)], &[0, 1], one(|g, x| g.wire("y", Add, x)));
    check("add to a column", &[(&[3, 1], rows), x], &[0, 1], one(|g, x| g.wire("y", Add, x)));
    check("mul", &[x, x], &[0, 1], one(|g, x| g.wire("y", Mul, x)));
    check("mul by a vector", &[x, (&[4], same)], &[0, 1], one(|g, x| g.wire("y", Mul, x)));
    check("square", &[x], &[0], one(|g, x| g.wire("y", Mul, &[x[0], x[0]])));
    check("gelu", &[(&[40], rows)], &[0], one(|g, x| g.wire("y", Gelu, x)));
    check("gelu by tanh", &[(&[40], rows)], &[0], one(|g, x| g.wire("y", GeluTanh, x)));
    check("sigmoid", &[x], &[0], one(|g, x| g.wire("y", Sigmoid, x)));
    check("softplus", &[x], &[0], one(|g, x| g.wire("y", Softplus, x)));
    check("softmax", &[x], &[0], one(|g, x| g.wire("y", Softmax, x)));
    let norm: [(&[usize], bool); 3] = [(&[3, 8], rows), (&[8], same), (&[8], same)];
    check("layer norm", &norm, &[0, 1, 2], one(|g, x| g.wire("y", LayerNorm { epsilon: 1e-3 }, x)));
    check("matmul by a weight", &[x, (&[4, 5], same)], &[0, 1], one(|g, x| g.wire("y", MatMul, x)));
    check("matmul of rows", &[(&[4], rows), (&[4, 5], same)], &[0, 1], one(|g, x| g.wire("y", MatMul, x)));
    let batches: [(&[usize], bool); 2] = [(&[2, 3, 4], rows), (&[2, 4, 5], rows)];
    check("matmul of batches", &batches, &[0, 1], one(|g, x| g.wire("y", MatMul, x)));
    let exchanged: [(&[usize], bool); 2] = [(&[2, 3, 4], rows), (&[2, 5, 4], rows)];
    check("matmul by exchanged axes", &exchanged, &[0, 1], |g, x| {
        let right = g.wire("right", Transpose { order: vec![0, 1, 3, 2] }, &x[1..]).unwrap();
        g.wire("y", MatMul, &[x[0], right]).unwrap()
    });
    check("mean", &[x], &[0], one(|g, x| g.wire("y", ReduceMean { axis: 1, keep: false }, x)));
    check("kept mean", &[x], &[0], one(|g, x| g.wire("y", ReduceMean { axis: 2, keep: true }, x)));
    check("reshape", &[x], &[0], one(|g, x| g.wire("y", Reshape { rest: vec![2, 6] }, x)));
    let flat: (&[usize], bool) = (&[3, 4], same);
    check("view", &[flat], &[0], one(|g, x| g.wire("y", View { shape: vec![2, 6] }, x)));
    check("view of a product", &[flat, (&[4, 2], same)], &[0, 1], |g, x| {
        let product = g.wire("product", MatMul, x).unwrap();
        g.wire("y", View { shape: vec![2, 1, 3] }, &[product]).unwrap()
    });
    let order = || Reorder { axis: 1, order: vec![2, 0, 1] };
    check("reorder", &[x], &[0], |g, x| g.wire("y", order(), x).unwrap());
    let heads: [(&[usize], bool); 1] = [(&[2, 3, 4], rows)];
    check("transpose", &heads, &[0], one(|g, x| g.wire("y", Transpose { order: vec![0, 2, 3, 1] }, x)));
    check("slice", &[x], &[0], one(|g, x| g.wire("y", Slice { axis: 1, start: 1, end: 2 }, x)));
    check("pad", &[x], &[0], one(|g, x| g.wire("y", Pad { axis: 1, before: 2, after: 1 }, x)));
    let parts: [(&[usize], bool); 2] = [(&[2, 4], rows), (&[3, 4], rows)];
    check("concat", &parts, &[0, 1], one(|g, x| g.wire("y", Concat { axis: 1 }, x)));
    for (kernel, stride, padding, groups, size) in
        [(3, 1, 1, 1, 5), (3, 2, 1, 1, 5), (3, 2, 1, 1, 6), (3, 1, 1, 4, 5), (3, 2, 1, 4, 6), (7, 4, 2, 2, 9)]
    {
        let conv = Conv { kernel, stride, padding, groups };
        let (image, weight) =
            ([4, size, size], [6 - 2 * usize::from(groups == 4), 4 / groups, kernel, kernel]);
        let shapes: [(&[usize], bool); 3] = [(&image, rows), (&weight, same), (&weight[..1], same)];
        // Kernels of one group, or of a channel each.
        let targets = if groups == 2 { &[0, 2][..] } else { &[0, 1, 2] };
        check(&format!("{conv:?}"), &shapes, targets, move |g, x| g.wire("y", conv, x).unwrap());
    }
    let area = 3 * 2 * 2;
    let shapes: [(&[usize], bool); 3] = [(&[3, 4, 4], rows), (&[5, area], same), (&[5], same)];
    let patches = Patches { image: 4, side: 2, width: 5 };
    check("patches", &shapes, &[1, 2], move |g, x| patches.embed(g, "y", x).unwrap());
    check("a wire read twice", &[x, x], &[0], |g, x| {
        let y = g.wire("product", Mul, &[x[0], x[1]]).unwrap();
        g.wire("sum", Add, &[y, x[0]]).unwrap()
    });
}

#[test]
fn what_has_no_gradient_says_so() {
    let mut g = Graph::new("grouped");
    let image = Fact::f32([Dim::Batch, Dim::Fixed(4), Dim::Fixed(5), Dim::Fixed(5)]);
    let x = [g.input("x", image).unwrap(), g.input("kernel", Fact::fixed(&[6, 2, 3, 3])).unwrap()];
    let y = g.wire("conv", Conv { kernel: 3, stride: 1, padding: 1, groups: 2 }, &x).unwrap();
    let error = gradients(&mut g, (y, y), &[x[1]]).unwrap_err();
    assert_eq!(error.to_string(), "graph grouped: node conv (Conv): its groups have several channels");
}

/// Names of what a plan trains: its modules' tensors and the head's.
fn names(plan: &Plan) -> Vec<String> {
    let modules = plan.modules.iter().flat_map(ParameterName::of);
    let heads = [ParameterName::HeadWeight, ParameterName::HeadBias];
    modules.chain(heads).map(|name| name.to_string()).collect()
}

/// Random values for every trainable input of a plan, and soft targets.
pub fn random_step(tiny: &TinyBackbone, plan: &Plan, (rows, classes): (usize, usize)) -> Named {
    let mut random = Random::new(11);
    let mut tensors = Named::new();
    for (i, module) in plan.modules.iter().enumerate() {
        for name in ParameterName::of(module) {
            let ParameterName::Module(_, part) = name else { continue };
            let shape = tiny.config.part_shape(module, part, 2 + i % 3).unwrap();
            let data = random.floats(shape.iter().product(), 0.3);
            tensors.insert(name.to_string(), Tensor { shape, data });
        }
    }
    let d = tiny.config.feature_width();
    let weight = Tensor { shape: vec![d, classes], data: random.floats(d * classes, 0.3) };
    tensors.insert(HEAD_WEIGHT.into(), weight);
    tensors.insert(HEAD_BIAS.into(), Tensor { shape: vec![classes], data: random.floats(classes, 0.3) });
    let targets = random.floats(rows * classes, 0.1).iter().map(|x| (x + 0.2) / rows as f32).collect();
    tensors.insert(TARGETS.into(), Tensor { shape: vec![rows, classes], data: targets });
    let weights = vec![1.0 / (rows * classes) as f32; rows];
    tensors.insert(WEIGHTS.into(), Tensor { shape: vec![rows, 1], data: weights });
    let pixels: Vec<f32> = (0..rows).flat_map(|i| tiny.pixels(i as u64).to_vec()).collect();
    let shape = [vec![rows], tiny.config.input_shape(0)].concat();
    tensors.insert(PIXELS.into(), Tensor { shape, data: pixels });
    tensors
}

#[test]
fn a_whole_step_equals_finite_differences() {
    let vits = ["vit_timm", "vit_timm_mean", "vit_timm_mean_norm_first", "vit_hf_clip", "vit_hf_dinov2"];
    let others = ["vit_timm_deit_distilled", "vit_timm_siglip", "swin_timm", "cvt_hf"];
    let all = vits.into_iter().chain(others).map(|fixture| (fixture, Loss::CrossEntropy));
    let losses = [Loss::BinaryCrossEntropy, Loss::SquaredError];
    let rest = FAMILIES.into_iter().flat_map(|fixture| losses.map(|loss| (fixture, loss)));
    for (fixture, loss) in all.chain(rest) {
        let tiny = TinyBackbone::from(fixture);
        let plan = Plan::whole(&tiny.config, tiny.config.adapters());
        check_a_step((fixture, loss), &tiny, &plan, STEP_TOLERANCE);
    }
}

#[test]
fn dropped_paths_are_multiplied_row_by_row() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let last = tiny.config.depth() - 1;
        let form = Form::Bypass { source: Source::Output, activation: Some(Activation::Gelu) };
        let behind = Module { site: Site::new(last, Place::Out), form };
        let adapter = Module::adapter(Site::new(last, Place::Attn));
        let plan = Plan::whole(&tiny.config, [behind, adapter].into_iter().collect());
        let trained = Trained { drops_paths: true, ..Direct::TRAINED };
        let graph = training_graph(&tiny.config, &plan, trained).unwrap();
        let mut tensors = random_step(&tiny, &plan, (3, 4));
        let branches: Vec<String> = graph
            .inputs()
            .iter()
            .map(|&wire| graph.wire_name(wire))
            .filter(|name| name.starts_with(KEEP))
            .map(Into::into)
            .collect();
        assert_eq!(branches.len(), 2 * tiny.config.depth() + 1, "{fixture}");
        let mut dropping = Runner::new(&tiny.store(), &graph);
        let mut run = |keep: &dyn Fn(&str) -> [f32; 3]| {
            for name in &branches {
                tensors.insert(name.clone(), Tensor { shape: vec![3, 1, 1], data: keep(name).to_vec() });
            }
            dropping.run(&tensors)
        };
        let kept = run(&|_| [1.0; 3]);
        let up = gradient_output(ParameterName::up(adapter));
        let attn = keep_input(&adapter.site.to_string());
        let without = run(&|name| if name == attn { [0.0; 3] } else { [1.0; 3] });
        assert!(without[&up].data.iter().all(|g| *g == 0.0), "{fixture}: a dropped branch learns nothing");
        let one = run(&|name| if name == attn { [1.0, 0.0, 1.0] } else { [1.0; 3] });
        let rows = |outputs: &Named| -> Vec<Vec<f32>> {
            outputs[LOGITS].data.chunks(4).map(<[f32]>::to_vec).collect()
        };
        let (kept_rows, one_rows, without_rows) = (rows(&kept), rows(&one), rows(&without));
        assert_relative("row 0", &one_rows[0], &kept_rows[0]);
        assert_relative("row 1", &one_rows[1], &without_rows[1]);
        assert_ne!(kept_rows[1], without_rows[1], "{fixture}");
        let plain = training_graph(&tiny.config, &plan, Direct::TRAINED).unwrap();
        let plain = Runner::new(&tiny.store(), &plain).run(&tensors);
        for (name, tensor) in &plain {
            assert_relative(name, &kept[name].data, &tensor.data);
        }
    }
}

#[test]
fn modules_of_every_form_equal_finite_differences() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let modules = crate::modules::every(&tiny.config).filter(|module| {
            // A step may cross where a rectifier bends; PyTorch's numbers check that one.
            let bends = matches!(module.form, Form::Bypass { activation: Some(Activation::Relu), .. });
            module.site.block == 0 && !bends
        });
        for some in modules.iter().collect::<Vec<_>>().chunks(6) {
            check_a_step(
                (fixture, Loss::CrossEntropy),
                &tiny,
                &Plan::whole(&tiny.config, some.iter().copied().collect()),
                0.05,
            );
        }
    }
}

fn check_a_step((fixture, loss): (&str, Loss), tiny: &TinyBackbone, plan: &Plan, tolerance: f64) {
    let trained = Trained { loss, ..Direct::TRAINED };
    let mut tensors = random_step(tiny, plan, (3, 4));
    let mut runner = Runner::new(&tiny.store(), &training_graph(&tiny.config, plan, trained).unwrap());
    let computed = runner.run(&tensors);
    for (i, name) in names(plan).into_iter().enumerate() {
        let base = tensors[&name].clone();
        let gradient = &computed[&gradient_output(&name)];
        assert_eq!(gradient.shape, base.shape, "{fixture} {name}");
        // Along the gradient itself, so that the derivative is as large as it can be.
        let direction: Vec<f32> =
            gradient.data.iter().map(|x| x / largest(&gradient.data).max(1e-9)).collect();
        let mut moved = |by: f32| {
            let data = base.data.iter().zip(&direction).map(|(x, d)| x + by * d).collect();
            tensors.insert(name.clone(), Tensor { shape: base.shape.clone(), data });
            f64::from(runner.run(&tensors)[LOSS].data[0])
        };
        let expected = (moved(SMALL_STEP) - moved(-SMALL_STEP)) / f64::from(2.0 * SMALL_STEP);
        let found = dot(&gradient.data, &direction);
        let error = (found - expected).abs() / expected.abs().max(1e-2);
        assert!(error < tolerance, "{fixture} {loss:?} {i} {name}: {found} and {expected}");
        tensors.insert(name, base);
    }
}

/// A fixture's trainable tensors in the layout of the graph, and its images and targets.
fn fixture_step(fixture: &Fixture) -> (ModuleSet, Named) {
    let mut tensors = Named::new();
    let mut sites = ModuleSet::EMPTY;
    for (key, tensor) in fixture.under("adapter/") {
        let name = key.strip_suffix(".weight").unwrap_or(&key);
        match name.strip_suffix(".adapter.down") {
            _ if key == HEAD_BIAS => tensors.insert(key, tensor),
            Some(site) => {
                sites.insert(Site::parse(site).unwrap().into());
                tensors.insert(name.into(), transposed(&tensor))
            }
            None if key == HEAD_WEIGHT => tensors.insert(key, transposed(&tensor)),
            None => tensors.insert(name.into(), transposed(&tensor)),
        };
    }
    let mut targets = fixture.tensors["input/targets"].clone();
    let rows = targets.shape[0] as f32;
    targets.data.iter_mut().for_each(|t| *t /= rows);
    tensors.insert(TARGETS.into(), targets);
    tensors.insert(PIXELS.into(), fixture.tensors["input/pixels"].clone());
    (sites, tensors)
}

fn transposed(tensor: &Tensor) -> Tensor {
    let [rows, columns] = tensor.shape[..] else { panic!("expected a matrix") };
    let at = |i: usize| tensor.data[(i % rows) * columns + i / rows];
    Tensor { shape: vec![columns, rows], data: (0..rows * columns).map(at).collect() }
}

fn assert_relative(what: &str, found: &[f32], expected: &[f32]) {
    assert_close(what, found, expected, PYTORCH_TOLERANCE * largest(expected));
}

#[test]
fn a_whole_step_equals_pytorch() {
    for name in ["adapted_vit", "adapted_vit_scaled", "adapted_swin", "adapted_cvt"] {
        let fixture = Fixture::named(name);
        let tiny = TinyBackbone::from(name);
        let (sites, tensors) = fixture_step(&fixture);
        let plan = Plan::whole(&tiny.config, sites);
        let mut runner =
            Runner::new(&tiny.store(), &training_graph(&tiny.config, &plan, Direct::TRAINED).unwrap());
        let computed = runner.run(&tensors);
        assert_relative(
            &format!("{name} logits"),
            &computed[LOGITS].data,
            &fixture.tensors["expect/logits"].data,
        );
        assert_relative(&format!("{name} loss"), &computed[LOSS].data, &fixture.tensors["expect/loss"].data);
        for (key, gradient) in fixture.under("grad/") {
            let bias = key == HEAD_BIAS;
            let input = if key == HEAD_WEIGHT || bias { &key } else { key.strip_suffix(".weight").unwrap() };
            let expected = if bias { gradient } else { transposed(&gradient) };
            let found = &computed[&gradient_output(input)];
            assert_eq!(found.shape, expected.shape);
            assert_relative(&format!("{name} {key}"), &found.data, &expected.data);
        }
    }
}

/// A head without weights has the logits of its bias, so that its gradient is the loss's own.
#[test]
fn losses_of_labels_and_of_values_equal_pytorch() {
    let (fixture, tiny) = (Fixture::named("heads"), TinyBackbone::new());
    let logits = &fixture.tensors["logits"];
    let [rows, outputs] = logits.shape[..] else { panic!("expected a matrix") };
    let plan = Plan::whole(&tiny.config, ModuleSet::EMPTY);
    for (name, targets, loss) in
        [("bce", "labels", Loss::BinaryCrossEntropy), ("mse", "values", Loss::SquaredError)]
    {
        let graph = training_graph(&tiny.config, &plan, Trained { loss, ..Direct::TRAINED }).unwrap();
        let mut runner = Runner::new(&tiny.store(), &graph);
        let mut tensors = random_step(&tiny, &plan, (1, outputs));
        tensors.get_mut(HEAD_WEIGHT).unwrap().data.fill(0.0);
        tensors.get_mut(WEIGHTS).unwrap().data.fill(1.0 / (rows * outputs) as f32);
        let (mut total, mut gradient) = (0.0, Vec::new());
        for row in 0..rows {
            let of = |tensor: &str| fixture.tensors[tensor].data[row * outputs..][..outputs].to_vec();
            tensors.get_mut(HEAD_BIAS).unwrap().data = of("logits");
            tensors.get_mut(TARGETS).unwrap().data = of(targets);
            let computed = runner.run(&tensors);
            total += computed[LOSS].data[0];
            gradient.extend(&computed[&gradient_output(HEAD_BIAS)].data);
        }
        assert_relative(&format!("{name} loss"), &[total], &fixture.tensors[&format!("{name}/loss")].data);
        assert_relative(&format!("{name} grad"), &gradient, &fixture.tensors[&format!("{name}/grad")].data);
    }
}

#[test]
fn a_step_from_a_cached_prefix_equals_the_whole() {
    FAMILIES.into_iter().for_each(check_a_step_from_a_cached_prefix);
}

fn check_a_step_from_a_cached_prefix(fixture: &str) {
    let tiny = TinyBackbone::from(fixture);
    let start = tiny.config.depth() / 2;
    let blocks = BlockRange { start, end: tiny.config.depth() };
    let plan = Plan { blocks, modules: ModuleSet::adapters(blocks) };
    let mut tensors = random_step(&tiny, &plan, (3, 4));
    let whole = training_graph(&tiny.config, &Plan { blocks: tiny.config.blocks(), ..plan }, Direct::TRAINED)
        .unwrap();
    let expected = Runner::new(&tiny.store(), &whole).run(&tensors);
    let prefix = Plan { blocks: BlockRange { start: 0, end: start }, modules: ModuleSet::EMPTY };
    let hidden = Runner::new(&tiny.store(), &build(&tiny.config, &prefix).unwrap()).run(&tensors);
    tensors.insert(HIDDEN.into(), hidden[HIDDEN_OUT].clone());
    let found = Runner::new(&tiny.store(), &training_graph(&tiny.config, &plan, Direct::TRAINED).unwrap())
        .run(&tensors);
    for (name, tensor) in &expected {
        assert_relative(name, &found[name].data, &tensor.data);
    }
}

#[test]
fn gradients_of_parts_of_a_batch_add_up() {
    let tiny = TinyBackbone::new();
    let plan = Plan::whole(&tiny.config, [Site::new(1, Place::Mlp)].into_iter().collect());
    let tensors = random_step(&tiny, &plan, (3, 4));
    let mut runner =
        Runner::new(&tiny.store(), &training_graph(&tiny.config, &plan, Direct::TRAINED).unwrap());
    let whole = runner.run(&tensors);
    let mut part = |rows: std::ops::Range<usize>| {
        let mut tensors = tensors.clone();
        for name in [TARGETS, PIXELS] {
            let tensor = tensors.get_mut(name).unwrap();
            let size = tensor.data.len() / tensor.shape[0];
            tensor.data = tensor.data[rows.start * size..rows.end * size].to_vec();
            tensor.shape[0] = rows.len();
        }
        runner.run(&tensors)
    };
    let (first, second) = (part(0..1), part(1..3));
    for name in names(&plan).iter().map(gradient_output).chain([LOSS.into()]) {
        let sum: Vec<f32> = first[&name].data.iter().zip(&second[&name].data).map(|(a, b)| a + b).collect();
        assert_relative(&name, &sum, &whole[&name].data);
    }
}

#[test]
fn backward_stops_at_the_lowest_site_and_skips_frozen_weights() {
    let tiny = TinyBackbone::new();
    let flops = |sites: ModuleSet| {
        let graph = training_graph(&tiny.config, &Plan::whole(&tiny.config, sites), Direct::TRAINED).unwrap();
        let below = format!(
            "blocks.{}.",
            sites.iter().next().map_or(3, |module| module.site.block).saturating_sub(1)
        );
        let reaches_down =
            graph.nodes().iter().any(|n| n.name.starts_with(&below) && n.name.contains(".grad"));
        assert!(
            sites.contains(Site::new(0, Place::Attn).into()) || !reaches_down,
            "backward goes below the lowest site"
        );
        graph.flops(|dim| match dim {
            Dim::Width(_) => 0,
            _ => 1,
        })
    };
    let forward = build(&tiny.config, &Plan::whole(&tiny.config, ModuleSet::EMPTY)).unwrap().flops(|_| 1);
    let [low, middle, high] = [0, 1, 2].map(|b| flops([Site::new(b, Place::Attn)].into_iter().collect()));
    assert!(forward < high && high < middle && middle < low);
    // A frozen layer's backward is one product a forward product, attention's two.
    let all = flops(tiny.config.adapters());
    assert!(all < 3 * forward && all > forward, "{all} and {forward}");
}
