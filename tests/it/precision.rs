//! The backbone in 8-bit integers and in 16-bit floats.

use std::collections::BTreeSet;
use std::sync::Arc;

use half::f16;
use mimi_server::backbone::{BackboneConfig, Form, Module, ModuleSet, Place, Precision, Site, Source};
use mimi_server::graph::ops::{Cast, Gelu, MatMul};
use mimi_server::graph::training::training_graph;
use mimi_server::graph::{
    Bytes, DType, Dim, Direct, FEATURES, Fact, Graph, Node, PIXELS, Plan, Quantised, WeightRange, build,
    halved, quantise, quantised,
};
use mimi_server::pack::{self, SelfTest};
use mimi_server::runtime::{Input, Program};
use mimi_server::train::{MimiOptions, Target, train};

use crate::batching::{engine, packs, run as run_rows};
use crate::mimi::{mimi, served_accuracy, task};
use crate::server::{World, classify, get, image, post};
use crate::support::{self, FAMILIES, Fixture, Random, TinyBackbone, assert_close};
use crate::train::{dataset, setup};

/// A matrix of every ViT.
const MATRIX: &str = "blocks.0.mlp.fc1.weight";
/// What two programs of other operators around the products may differ by, relative to the largest logit: a last bit
/// may move an activation to the next of 255 steps.
const BETWEEN_PROGRAMS: f32 = 3e-2;

/// The precisions below fp32.
const LOWER: [Precision; 3] = [Precision::Int8, Precision::Int8Reduced, Precision::Fp16];

fn at(precision: Precision, fixture: &str) -> TinyBackbone {
    TinyBackbone::from(fixture).at(precision)
}

#[test]
fn a_matrix_is_quantised_as_numpy_would() {
    // s = np.maximum(np.abs(w).max(0), 1e-30) / 127; q = np.round(w / s); -0.1701 * s * q.sum(0)
    let Quantised { matrix, scales, offsets } =
        quantise(&[0.5, -2.0, 0.0, -1.0, 0.3, 0.0, 0.26, 1.1, 0.0], 3, WeightRange::Full);
    assert_eq!(matrix, [64, -127, 0, -127, 19, 0, 33, 70, 0]);
    assert_close("scales", &scales, &[7.874_016e-3, 1.574_803_1e-2, 0.0], 1e-9);
    assert_close("offsets", &offsets, &[0.040_181_1, 0.101_792_13, 0.0], 1e-7);
}

/// `y = f(x) w` as a program over the backbone's own matrix, and `f(x)` from the same program in fp32.
fn product(tiny: &TinyBackbone, gelu: bool, x: (&[usize], &[f32])) -> Vec<f32> {
    let entry = tiny.store().layout().get(MATRIX).unwrap().shape.clone();
    let mut g = Graph::new("product");
    let fact = Fact::f32([Dim::Batch, Dim::Fixed(x.0[1]), Dim::Fixed(entry[0])]);
    let mut wire = g.input("x", fact).unwrap();
    if gelu {
        wire = g.wire("act", Gelu, &[wire]).unwrap();
    }
    let weight = g.weight(MATRIX, &entry).unwrap();
    let y = g.wire("y", MatMul, &[wire, weight]).unwrap();
    g.output("out", y);
    let mut program = Program::compile(&support::runtime(), &tiny.store(), &g).unwrap();
    program.run(&[Input { name: "x", shape: x.0, data: x.1 }]).unwrap().remove(0).data
}

/// `Φ(x) x` by Abramowitz and Stegun 7.1.26, whose error of 1.5e-7 moves nothing to another step that was not within it.
fn gelu(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let sum = poly.iter().rev().fold(0.0, |sum, a| (sum + a) * t);
    let erf = (1.0 - sum * (-z * z).exp()).copysign(x);
    0.5 * x * (1.0 + erf)
}

/// The formulas of `graph::quantise` in double precision: a scale a column for `w [K, N]`, one a row for `x`.
fn reference(x: &[f64], w: &[f32], (k, n): (usize, usize), one_sided: bool, range: WeightRange) -> Vec<f32> {
    let pair = |i: usize, j: usize| match range {
        WeightRange::Reduced if i.is_multiple_of(2) && i + 1 < k => (w[i * n + j] + w[(i + 1) * n + j]).abs(),
        _ => 0.0,
    };
    let scale = |j: usize| (0..k).map(|i| w[i * n + j].abs().max(pair(i, j))).fold(0.0, f32::max) / 127.0;
    let w: Vec<f64> = (0..k * n)
        .map(|at| f64::from((w[at] / scale(at % n)).round_ties_even()) * f64::from(scale(at % n)))
        .collect();
    let least = if one_sided { -0.1701 } else { 0.0 };
    let rows = x.chunks(k).flat_map(|row| {
        let most = row.iter().map(|x| if one_sided { x - least } else { x.abs() }).fold(1e-30, f64::max);
        let step = most / if one_sided { 255.0 } else { 127.0 };
        let row: Vec<f64> =
            row.iter().map(|x| ((x - least) / step).round_ties_even() * step + least).collect();
        (0..n).map(|j| (0..k).map(|i| row[i] * w[i * n + j]).sum::<f64>() as f32).collect::<Vec<_>>()
    });
    rows.collect()
}

#[test]
fn a_product_is_that_of_the_rounded_numbers() {
    for precision in [Precision::Int8, Precision::Int8Reduced] {
        let range = WeightRange::at(precision).unwrap();
        for bytes in [None, Some(Bytes::Unsigned)] {
            product_of_the_rounded_numbers(&at(precision, "vit_timm").with(bytes), range);
        }
    }
}

fn product_of_the_rounded_numbers(tiny: &TinyBackbone, range: WeightRange) {
    let weight = Fixture::named("vit_timm").under("weights/")[MATRIX].clone();
    let [n, k] = weight.shape[..] else { panic!("no matrix") };
    // A checkpoint's matrices are [out, in].
    let w: Vec<f32> = (0..k * n).map(|at| weight.data[(at % n) * k + at / n]).collect();
    let mut x = Random::new(3).floats(2 * 5 * k, 2.0);
    // A token of zeros, one far larger than its neighbours, one far smaller.
    x[..k].fill(0.0);
    x[k..2 * k].iter_mut().for_each(|x| *x *= 1e4);
    x[2 * k..3 * k].iter_mut().for_each(|x| *x *= 1e-4);
    let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let found = product(tiny, false, (&[2, 5, k], &x));
    let expected = reference(&exact, &w, (k, n), false, range);
    for (token, (found, expected)) in found.chunks(n).zip(expected.chunks(n)).enumerate() {
        let most = expected.iter().fold(1e-30f32, |most, y| most.max(y.abs()));
        assert_close(&format!("token {token}"), found, expected, 2e-5 * most);
    }
    let ordinary = 3 * k..10 * k;
    let act: Vec<f64> = exact[ordinary.clone()].iter().map(|&x| gelu(x)).collect();
    let found = product(tiny, true, (&[1, 7, k], &x[ordinary]));
    let expected = reference(&act, &w, (k, n), true, range);
    let most = expected.iter().fold(0.0f32, |most, y| most.max(y.abs()));
    // One activation of the few hundred may lie on the edge between two steps.
    assert_close("after a GELU", &found, &expected, 5e-3 * most);
    let mean = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f32>() / found.len() as f32;
    assert!(mean < 2e-4 * most, "mean difference {mean}, largest {most}");
}

#[test]
fn a_product_is_that_of_the_halves() {
    let tiny = at(Precision::Fp16, "vit_timm");
    let weight = Fixture::named("vit_timm").under("weights/")[MATRIX].clone();
    let [n, k] = weight.shape[..] else { panic!("no matrix") };
    let mut x = Random::new(3).floats(3 * k, 2.0);
    x[..k].iter_mut().for_each(|x| *x *= 1e4);
    x[k..2 * k].iter_mut().for_each(|x| *x *= 1e-2);
    // Rounded here, since a processor without such products leaves out the rounding of all but the weights.
    let half = |x: f32| f16::from_f32(x).to_f32();
    x.iter_mut().for_each(|x| *x = half(*x));
    let halves: Vec<f32> = weight.data.iter().map(|&w| half(w)).collect();
    let times = |w: &[f32]| {
        let dot = |row: &[f32], w: &[f32]| row.iter().zip(w).map(|(x, w)| f64::from(x * w)).sum::<f64>();
        x.chunks(k).flat_map(|row| w.chunks(k).map(|w| dot(row, w) as f32)).collect::<Vec<_>>()
    };
    let (expected, exact) = (times(&halves), times(&weight.data));
    let found = product(&tiny, false, (&[1, 3, k], &x));
    let moved =
        found.iter().zip(&exact).filter(|(y, exact)| (*y - **exact).abs() > 1e-5 * exact.abs()).count();
    assert!(moved > found.len() / 2, "{moved} of {} numbers were rounded", found.len());
    for (token, (found, expected)) in found.chunks(n).zip(expected.chunks(n)).enumerate() {
        // Half a last bit of the largest.
        assert_close(&format!("token {token}"), found, expected, 5e-4 * largest(expected));
    }
}

fn features(tiny: &TinyBackbone, rows: usize) -> Vec<f32> {
    let graph = build(&tiny.config, &Plan::whole(&tiny.config, ModuleSet::EMPTY)).unwrap();
    assert_eq!(graph.outputs()[0].0, FEATURES);
    let mut program = Program::compile(&support::runtime(), &tiny.store(), &graph).unwrap();
    let pixels: Vec<f32> = (0..rows).flat_map(|row| tiny.pixels(row as u64).to_vec()).collect();
    let shape = [vec![rows], tiny.config.input_shape(0)].concat();
    program.run(&[Input { name: PIXELS, shape: &shape, data: &pixels }]).unwrap().remove(0).data
}

#[test]
fn every_family_keeps_its_features_direction_and_no_row_sees_another() {
    for (precision, least) in
        [(Precision::Int8, 0.99), (Precision::Int8Reduced, 0.99), (Precision::Fp16, 0.999_99)]
    {
        for fixture in FAMILIES.into_iter().chain(["vit_hf_clip", "vit_hf_siglip", "vit_hf_dinov2"]) {
            let (fp32, lower) = (TinyBackbone::from(fixture), at(precision, fixture));
            let (exact, found) = (features(&fp32, 3), features(&lower, 3));
            let width = lower.config.feature_width();
            assert_ne!(exact, found, "{fixture}: nothing is in {precision}");
            for (a, b) in exact.chunks(width).zip(found.chunks(width)) {
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
                assert!(cosine > least, "{fixture} in {precision}: cosine {cosine}");
            }
            let alone = features(&lower, 1);
            match precision {
                // Bit for bit: integers are summed exactly, and a token's scale is its own.
                Precision::Int8 | Precision::Int8Reduced => assert_eq!(alone, found[..width], "{fixture}"),
                _ => assert_close(fixture, &alone, &found[..width], 2e-3 * largest(&alone)),
            }
        }
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

#[test]
fn a_mixed_batch_equals_its_rows_alone() {
    for (precision, fixture) in LOWER.into_iter().flat_map(|p| FAMILIES.map(|fixture| (p, fixture))) {
        let tiny = at(precision, fixture);
        let (engine, _) = engine(&tiny, 8);
        let rows: Vec<_> =
            packs(&tiny).into_iter().enumerate().map(|(i, p)| (tiny.pixels(i as u64), p)).collect();
        let mixed = run_rows(&engine, &rows);
        assert!(mixed.iter().all(|answer| answer.batch_rows == 8), "the rows must have shared a batch");
        for (i, (row, mixed)) in rows.iter().zip(&mixed).enumerate() {
            let alone = run_rows(&engine, std::slice::from_ref(row)).remove(0);
            let scale = largest(&alone.logits.to_vec());
            if precision == Precision::Fp16 || fixture.starts_with("cvt") {
                // What is computed in fp32 differs in the last bits with the number of rows (in CvT's adapters and in
                // sums of halves), which may move an activation.
                let (mixed, alone) = (mixed.logits.to_vec(), alone.logits.to_vec());
                assert_close(&format!("{fixture} row {i}"), &mixed, &alone, BETWEEN_PROGRAMS * scale);
            } else {
                assert_eq!(alone.logits, mixed.logits, "{fixture} row {i}");
            }
            engine.prepare(row.1.modules).blocking_recv().unwrap().unwrap();
            let exact = run_rows(&engine, std::slice::from_ref(row)).remove(0);
            let what = format!("{fixture} row {i}, the program of its own sites");
            let (exact, alone) = (exact.logits.to_vec(), alone.logits.to_vec());
            assert_close(&what, &exact, &alone, BETWEEN_PROGRAMS * scale);
        }
    }
}

/// Casts in a graph.
fn casts(graph: &Graph) -> usize {
    graph.nodes().iter().filter(|node| node.operator.is::<Cast>()).count()
}

/// Casts in a graph where each product with a frozen matrix stood between casts of its own.
fn casts_around_products(graph: &Graph) -> usize {
    let weights: BTreeSet<_> = graph.weights().map(|(_, wire)| wire).collect();
    let is_product = |node: &&Node| node.operator.is::<MatMul>() && weights.contains(&node.inputs[1]);
    let products: Vec<_> = graph.nodes().iter().filter(is_product).map(|node| node.inputs[0]).collect();
    products.len() + products.iter().collect::<BTreeSet<_>>().len()
}

/// LoRA at the queries and values of every block.
fn lora(config: &BackboneConfig) -> ModuleSet {
    let form = Form::Bypass { source: Source::Input, activation: None };
    let at = |block| [Place::Q, Place::V].map(|place| Module { site: Site::new(block, place), form });
    config.blocks().iter().flat_map(at).collect()
}

#[test]
fn halves_are_cast_at_the_borders_of_spans_alone() {
    // Into and out of each sub-layer. CvT's queries, keys and values come from three convolutions; Swin merges tokens
    // between its stages; the queries of ViT's last block come from fewer tokens.
    for (fixture, of_a_block, others) in [("vit_timm", 4, 1), ("swin_timm", 4, 3 * 2), ("cvt_hf", 6, 0)] {
        let config = &TinyBackbone::from(fixture).config;
        let expected = of_a_block * config.depth() + others;
        let plan = |modules| build(config, &Plan::whole(config, modules)).unwrap();
        let exact = plan(ModuleSet::EMPTY);
        assert_eq!(casts(&halved(&exact).unwrap()), expected, "{fixture}");
        assert!(2 * expected < casts_around_products(&exact) || fixture == "cvt_hf", "{fixture}");
        // Adapters read what leaves a span; LoRA's sums leave one and come back.
        assert_eq!(casts(&halved(&plan(config.adapters())).unwrap()), expected, "{fixture}, adapted");
        let lora = casts(&halved(&plan(lora(config))).unwrap());
        assert_eq!(lora, expected + 4 * config.depth(), "{fixture}, LoRA");
    }
}

#[test]
fn sums_over_blocks_norms_modules_and_unscaled_scores_are_no_halves() {
    for fixture in FAMILIES {
        let config = &TinyBackbone::from(fixture).config;
        for modules in [ModuleSet::EMPTY, config.adapters(), lora(config)] {
            let graph = halved(&build(config, &Plan::whole(config, modules)).unwrap()).unwrap();
            let dtype = |wire| graph.fact(wire).dtype;
            let read: BTreeSet<_> = graph.nodes().iter().flat_map(|node| node.inputs.clone()).collect();
            let mut held = graph.weights().map(|(_, wire)| wire).chain(graph.constants().iter().map(|c| c.0));
            assert!(held.all(|wire| read.contains(&wire)), "{fixture}: something is held and not read");
            assert_eq!(dtype(graph.outputs()[0].1), DType::F32, "{fixture}");
            let is_half = |node: &&Node| !node.operator.is::<Cast>() && dtype(node.outputs[0]) == DType::F16;
            let maker = |wire| graph.nodes().iter().find(|node| node.outputs.contains(&wire));
            let frozen: BTreeSet<_> =
                graph.weights().map(|(_, wire)| wire).chain(graph.constants().iter().map(|c| c.0)).collect();
            for node in graph.nodes().iter().filter(is_half) {
                let (name, operator) = (&node.name, node.operator.name());
                let floats = || node.inputs.iter().filter(|&&wire| dtype(wire) != DType::I64);
                assert!(floats().all(|&wire| dtype(wire) == DType::F16), "{name} mixes types");
                assert!(!["LayerNormalization", "Conv", "Gemm"].contains(&operator), "{name}: {operator}");
                let own = node.inputs.iter().filter(|wire| !frozen.contains(wire)).count();
                assert!(own == 1 || operator == "MatMul", "{name} joins two values");
                let scores = |wire| {
                    maker(wire).is_some_and(|made| {
                        made.operator.is::<MatMul>() && made.inputs.iter().all(|wire| !frozen.contains(wire))
                    })
                };
                assert!(operator != "Mul" || !scores(node.inputs[0]), "{name} scales what is too large");
            }
        }
    }
}

/// Straight through: what carries gradients is, node by node, the fp32 graph's, and reads its matrices; it differs only in
/// the activations it is fed.
#[test]
fn gradients_pass_the_rounding_as_if_it_were_not_there() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let plan = Plan::whole(&tiny.config, tiny.config.adapters());
        let exact = training_graph(&tiny.config, &plan, Direct::TRAINED).unwrap();
        let (int8, fp16) = (quantised(&exact, Bytes::Signed).unwrap(), halved(&exact).unwrap());
        let describe = |g: &Graph, node: &Node| {
            let names: Vec<_> = node.inputs.iter().map(|&wire| g.wire_name(wire).to_owned()).collect();
            format!("{} {:?} {names:?}", node.name, node.operator)
        };
        let carries = |node: &&Node| node.name.contains(".grad");
        let backward = |g: &Graph| g.nodes().iter().filter(carries).map(|node| describe(g, node)).collect();
        let theirs: Vec<String> = backward(&exact);
        for lower in [&int8, &fp16] {
            let ours = backward(lower);
            assert!(ours.len() > 50 && ours == theirs, "{fixture}");
            assert!(![".int8", ".fp16"].iter().any(|name| ours.concat().contains(name)), "{fixture}");
        }
        assert!(casts(&exact) == 0 && casts(&fp16) >= 6 * tiny.config.depth(), "{fixture}");
        let products = |g: &Graph| g.nodes().iter().filter(|n| n.operator.domain() != "").count();
        assert!(products(&exact) == 0 && products(&int8) >= 6 * tiny.config.depth(), "{fixture}");
        let outputs = |g: &Graph| g.outputs().iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
        assert_eq!(outputs(&exact), outputs(&int8));
        assert_eq!(outputs(&exact), outputs(&fp16));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_trained_at_a_precision_serves_its_self_test_and_its_accuracy() {
    for (precision, fixture) in LOWER.into_iter().flat_map(|p| FAMILIES.map(|fixture| (p, fixture))) {
        let mut world = World::of(fixture);
        world.tiny = world.tiny.at(precision);
        let data = tempfile::tempdir().unwrap();
        dataset(data.path());
        let options = task(&world, data.path(), MimiOptions { target: Target::Sigma(8.0), ..mimi() });
        let (report, served) = tokio::task::block_in_place(|| {
            let report = train(&setup(&world), &options, &mut |_| {}).unwrap();
            let served = served_accuracy(&world, &report, data.path());
            (report, served)
        });
        assert!(report.accuracies.train > 0.8, "{fixture}: {report:?}");
        assert_eq!(served, report.accuracies.held_out, "{fixture}");
        let (pack, self_test) = pack::read(&report.folder, &world.tiny.config).unwrap();
        assert_eq!((pack.manifest.precision, self_test.images.len()), (precision, 2));
        let server = world.server().await;
        let answer = post(&server.app(), "/v1/tasks/colours/reload", "application/json", "").await;
        assert_eq!(answer.status, 200, "{fixture}: {}", answer.text());
        let shown = get(&server.app(), "/v1/tasks/colours").await.json();
        assert_eq!(
            (&shown["served_precision"], &shown["warning"]),
            (&precision.name().into(), &().into()),
            "{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_another_precision_is_served_with_a_warning_but_not_if_it_gives_no_numbers() {
    let mut world = World::new();
    let stored = || {
        let images = vec![std::fs::read(support::fixtures().join("images/rgb.png")).unwrap()];
        // No precision gives these: the test of the same precision must refuse them.
        SelfTest { images, logits: vec![vec![50.0; 4]] }
    };
    let mut contents = world.contents(1, 1);
    contents.self_test = stored();
    world.publish("t", &contents);
    world.tiny = world.tiny.at(Precision::Int8);
    let server = world.server().await;
    let app = server.app();
    let published = post(&app, "/v1/tasks/t/reload", "application/json", "").await;
    assert_eq!(published.status, 200, "{}", published.text());
    assert_eq!(classify(&app, "t", image("rgb.png")).await.status, 200);
    let shown = get(&app, "/v1/tasks/t").await.json();
    assert_eq!(shown["manifest"]["precision"], "fp32");
    assert!(shown["warning"].as_str().unwrap().contains("trained at fp32, served at int8"), "{shown}");
    contents.precision = Precision::Int8;
    world.publish("t", &contents);
    let refused = post(&app, "/v1/tasks/t/reload", "application/json", "").await;
    assert_eq!(refused.status, 422, "{}", refused.text());
}

#[test]
fn a_manifest_without_a_precision_is_of_fp32() {
    let world = World::new();
    let folder = world.publish("t", &world.contents(1, 1));
    let path = folder.join(pack::CONFIG_FILE);
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(json.as_object_mut().unwrap().remove("precision"), Some("fp32".into()));
    std::fs::write(&path, json.to_string()).unwrap();
    let pack = Arc::new(pack::read(&folder, &world.tiny.config).unwrap().0);
    assert_eq!(pack.manifest.precision, Precision::Fp32);
}
