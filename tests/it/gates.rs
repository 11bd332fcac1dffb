//! Gates with prices by depth: neurons chosen in one training, to an exact size, the dear blocks' first to go.

use std::collections::{BTreeMap, BTreeSet};

use mimi_server::backbone::{Module, ModuleSet, Part, Place, Site};
use mimi_server::graph::training::{LOGITS, LOSS, Loss, gradient_output, training_graph};
use mimi_server::graph::{Dim, Direct, Gated, Graph, ParameterName, Plan, Trained, tasks_flops};
use mimi_server::inspect;
use mimi_server::pack::{self, Base, Bits, StoredBits, WEIGHTS_FILE, read_stored};
use mimi_server::train::{
    Gating, Init, MimiOptions, Minibatch, Model, Outcome, Parameter, Progress, Score, Selection, StartScore,
    State, StepOptions, Stepper, Target, TaskOptions, prices, soft_threshold, train,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::gradients::{Runner, random_step};
use crate::mimi::{mimi, run, served_accuracy, task};
use crate::server::World;
use crate::support::{FAMILIES, Random, Tensor, TinyBackbone, assert_close};
use crate::train::{dataset, setup};

const GATED: Trained<'static> =
    Trained { express: &Gated(&Direct), loss: Loss::CrossEntropy, drops_paths: false };

/// 72 neurons to 18 by gates.
fn gates(price: f64) -> MimiOptions {
    MimiOptions { price: Some(price), target: Target::Sigma(16.0), epochs: 4, ..mimi() }
}

fn model(tiny: &TinyBackbone, options: &MimiOptions) -> Model {
    State::new(&tiny.config, 3, options).model
}

/// Gates as `value` says by number, over all modules.
fn with_gates(model: &mut Model, mut value: impl FnMut(usize) -> f32) {
    let gates = model.parameters.iter_mut().filter(|(name, _)| name.is_gate());
    let all = gates.flat_map(|(_, own)| own.values.iter_mut());
    all.enumerate().for_each(|(number, gate)| *gate = value(number));
}

fn values(model: &Model, name: ParameterName) -> Vec<f32> {
    model.parameters.get(name).unwrap().values.clone()
}

fn all_gates(model: &Model) -> Vec<f32> {
    let gates = model.parameters.iter().filter(|(name, _)| name.is_gate());
    gates.flat_map(|(_, own)| own.values.clone()).collect()
}

#[test]
fn the_proximal_step_is_the_least_of_distance_and_price() {
    let cost = |x: f64, g: f64, t: f64| 0.5 * (x - g).powi(2) + t * x.abs();
    for g in [-1.3f32, -0.4, -0.1, 0.0, 0.1, 0.25, 0.9, 2.0] {
        assert_eq!(soft_threshold(g, 0.0), g, "nothing to pay");
        for t in [0.05f32, 0.1, 0.3, 1.0] {
            let found = soft_threshold(g, t);
            assert_eq!(found == 0.0, g.abs() <= t);
            assert_eq!(found, -soft_threshold(-g, t));
            assert!(found == 0.0 || found.is_sign_positive() == g.is_sign_positive());
            let least = cost(f64::from(found), f64::from(g), f64::from(t));
            let others = (-3000..=3000).map(|i| cost(f64::from(i) * 1e-3, f64::from(g), f64::from(t)));
            assert!(others.fold(f64::MAX, f64::min) >= least - 1e-9, "{g} {t}");
            // Two payments are one of both, and no two gates come further apart.
            assert!((soft_threshold(found, 0.2) - soft_threshold(g, t + 0.2)).abs() < 1e-6);
            for other in [-0.7f32, 0.2, 0.5] {
                assert!((found - soft_threshold(other, t)).abs() <= (g - other).abs() + 1e-6);
            }
        }
    }
    assert!(soft_threshold(-0.1, 0.3).is_sign_positive(), "what is closed is 0, not -0");
    assert!(soft_threshold(f32::NAN, 0.1).is_nan() && soft_threshold(0.1, f32::NAN).is_nan());
}

#[test]
fn repeated_steps_end_where_the_closed_form_does() {
    // The least of ½ a (x − b)² + λ |x| is b moved towards 0 by λ / a.
    for (a, b, price) in [(1.0f32, 0.8f32, 0.3f32), (2.0, -0.8, 0.3), (0.5, 0.4, 0.3), (4.0, 0.05, 0.1)] {
        let (mut x, rate) = (1.0f32, 0.1f32);
        for _ in 0..2000 {
            x = soft_threshold(x - rate * a * (x - b), rate * price);
        }
        assert!((x - soft_threshold(b, price / a)).abs() < 1e-5, "{a} {b}: {x}");
    }
}

#[test]
fn a_price_is_what_eight_tasks_pay_for_the_first_neuron_of_a_block() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let config = &tiny.config;
        let of = |steepness| prices(config, config.adapters(), steepness).unwrap();
        assert!(of(0.0).values().all(|price| *price == 1.0), "{fixture}: all alike");
        let (once, squared) = (of(1.0), of(2.0));
        let alone = |first, modules| tasks_flops(config, first, 8, (modules, &|_| 1)).unwrap();
        let heads = alone(config.depth(), ModuleSet::EMPTY);
        let cost =
            |module: &Module| (alone(module.site.block, [*module].into_iter().collect()) - heads) as f64;
        let dearest = once.keys().map(cost).fold(0.0, f64::max);
        let mut before = f64::MAX;
        for (module, price) in &once {
            assert!((price - cost(module) / dearest).abs() < 1e-12, "{fixture} {module}");
            assert!((squared[module] - price * price).abs() < 1e-12);
            if module.site.place == Place::Mlp {
                assert!(*price < before, "{fixture} {module}: later blocks cost less");
                before = *price;
            }
        }
    }
}

#[test]
fn gates_pay_evenly_until_those_that_are_too_many_are_closed() {
    let tiny = TinyBackbone::new();
    let options = gates(0.0);
    // 20 steps, of which a fifth warm up and half are behind the end: six pay.
    let gating = Gating::new(&options, &tiny.config, 5).unwrap().unwrap();
    assert_eq!((gating.proximal().paying.clone(), gating.proximal().left), (4..10, 18));
    let mut own = model(&tiny, &options);
    for step in 0..20 {
        let before = all_gates(&own);
        gating.proximal().pay(&mut own, step);
        assert_eq!(all_gates(&own) == before, !(4..10).contains(&step), "step {step}");
    }
    // 1 · 6/7 · 5/6 … 1/2, for all alike: prices are.
    assert!(all_gates(&own).iter().all(|gate| (gate - 1.0 / 7.0).abs() < 1e-6), "{:?}", all_gates(&own));
    // Those that the loss holds up stay, and nothing is paid for them when no gate is too many.
    with_gates(&mut own, |number| if number % 4 == 0 { 0.5 } else { 0.0 });
    gating.proximal().pay(&mut own, 9);
    assert_eq!(all_gates(&own).iter().filter(|gate| **gate == 0.5).count(), 18);
}

#[test]
fn steeper_prices_close_early_blocks_first_and_equal_ones_none_before_another() {
    let tiny = TinyBackbone::new();
    let left = |price: f64| {
        let options = gates(price);
        let gating = Gating::new(&options, &tiny.config, 5).unwrap().unwrap();
        let mut own = model(&tiny, &options);
        let mut random = Random::new(5);
        let first = random.floats(72, 0.1);
        with_gates(&mut own, |number| 1.0 + first[number]);
        (0..20).for_each(|step| gating.proximal().pay(&mut own, step));
        let kept = gating.frozen(&own).unwrap().widths();
        let of = |block: usize| {
            kept.iter()
                .filter(|(module, _)| module.site.block == block)
                .map(|(_, width)| *width)
                .sum::<usize>()
        };
        [0, 1, 2].map(of)
    };
    let blocks = [left(0.0), left(0.1), left(1.0)];
    assert!(blocks[0].iter().all(|count| *count > 0), "gates differ by chance alone: {blocks:?}");
    assert!(blocks[1][0] < blocks[0][0] && blocks[1][2] > blocks[0][2], "{blocks:?}");
    assert_eq!(blocks[2], [0, 0, 18], "a third of the cost at gates of one size");
}

#[test]
fn exactly_so_many_are_left_whatever_gates_are_and_their_gates_are_folded() {
    let mut random = Random::new(3);
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        for case in 0..8 {
            let [a, b, c] = random.floats(3, 1.0)[..] else { panic!("three") };
            let options = MimiOptions {
                sigma: f64::from(2.0 + 2.0 * a.abs()),
                target: Target::Sigma(f64::from(10.0 + 20.0 * b.abs())),
                rho: f64::from(0.3 + 0.4 * c.abs()),
                epochs: 2 + case,
                ..gates(f64::from(case as u32) / 4.0)
            };
            let gating = Gating::new(&options, &tiny.config, 3).unwrap().unwrap();
            let mut own = model(&tiny, &options);
            // Some equal, some closed, some negative.
            let noise = random.floats(10_000, 1.0);
            with_gates(&mut own, |number| (noise[number] * 3.0).round() / 3.0);
            let kept = gating.frozen(&own).unwrap();
            assert_eq!(
                (kept.neurons(), kept.is_gated()),
                (gating.proximal().left, false),
                "{fixture} {options:?}"
            );
            let original = own.widths();
            let rounds = options.expected(&original, &tiny.config).unwrap() as i32 - 1;
            let whole = original.values().sum::<usize>() as f64;
            let pruned = (whole * (1.0 - options.rho).powi(rounds) + 1e-9).floor() as usize;
            assert_eq!(gating.proximal().left, pruned, "{fixture}: as many as prunings leave");
        }
    }
    let tiny = TinyBackbone::new();
    let mut own = model(&tiny, &gates(0.0));
    with_gates(&mut own, |number| number as f32 / 8.0 - 5.0);
    let (site, folded) = (Site::new(1, Place::Mlp), own.folded());
    let (up, gate) = (values(&own, ParameterName::up(site)), values(&own, ParameterName::gate(site)));
    let expected: Vec<f32> = up.iter().enumerate().map(|(i, value)| value * gate[i / 48]).collect();
    assert_eq!(values(&folded, ParameterName::up(site)), expected);
    assert_eq!(values(&folded, ParameterName::down(site)), values(&own, ParameterName::down(site)));
}

#[test]
fn gates_gradients_are_finite_differences_and_folding_changes_no_answer() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let plan = Plan::whole(&tiny.config, tiny.config.adapters());
        let mut gated = Runner::new(&tiny.store(), &training_graph(&tiny.config, &plan, GATED).unwrap());
        let mut tensors = random_step(&tiny, &plan, (3, 4));
        let mut random = Random::new(17);
        let mut folded = tensors.clone();
        for module in plan.modules.iter() {
            let up = folded.get_mut(&ParameterName::up(module).to_string()).unwrap();
            let (width, columns) = (up.shape[0], up.shape[1]);
            let data: Vec<f32> = random.floats(width, 1.0);
            up.data.iter_mut().enumerate().for_each(|(i, value)| *value *= data[i / columns]);
            tensors.insert(ParameterName::gate(module).to_string(), Tensor { shape: vec![width, 1], data });
        }
        let computed = gated.run(&tensors);
        let plain = training_graph(&tiny.config, &plan, Direct::TRAINED).unwrap();
        let plain = Runner::new(&tiny.store(), &plain).run(&folded);
        assert_close(fixture, &computed[LOGITS].data, &plain[LOGITS].data, 1e-6);
        for module in plan.modules.iter() {
            let name = ParameterName::gate(module).to_string();
            let gradient = computed[&gradient_output(&name)].clone();
            assert_eq!(gradient.shape, tensors[&name].shape, "{fixture} {name}");
            let largest = gradient.data.iter().fold(1e-3f32, |most, g| most.max(g.abs()));
            for at in 0..gradient.data.len() {
                let mut moved = |by: f32| {
                    tensors.get_mut(&name).unwrap().data[at] += by;
                    let loss = f64::from(gated.run(&tensors)[LOSS].data[0]);
                    tensors.get_mut(&name).unwrap().data[at] -= by;
                    loss
                };
                let slope = (moved(2e-2) - moved(-2e-2)) / 4e-2;
                let error = (slope - f64::from(gradient.data[at])).abs();
                assert!(error < 2e-2 * f64::from(largest), "{fixture} {name} {at}: {slope} {gradient:?}");
            }
        }
    }
}

/// Steps of a model with gates on some images.
struct Steps {
    stepper: Stepper,
    batch: Minibatch,
    random: ChaCha8Rng,
}

impl Steps {
    fn new(tiny: &TinyBackbone, model: &Model) -> Self {
        let options = StepOptions { decay: 0.0, clip: 5.0, drop_path: 0.0, micro_batch: 8 };
        let stepper = Stepper::new(&tiny.resident(), 0, model, GATED, options).unwrap();
        let shape = [vec![3], tiny.config.input_shape(0)].concat();
        let batch = Minibatch {
            shape,
            values: (0..3).flat_map(|i| tiny.pixels(i).to_vec()).collect(),
            targets: (0..9).map(|i| if i % 4 == 0 { 1.0 } else { 0.0 }).collect(),
            classes: vec![0, 1, 2],
        };
        Self { stepper, batch, random: ChaCha8Rng::seed_from_u64(0) }
    }

    fn step(&mut self, model: &mut Model) {
        self.stepper.step(model, &self.batch, (1e-3, &mut self.random)).unwrap();
    }

    fn gradient(&mut self, model: &Model, name: ParameterName) -> Vec<f32> {
        let found = self.stepper.gradients(model, &self.batch, &mut self.random).unwrap();
        found.gradients.get(name).unwrap().to_vec()
    }
}

#[test]
fn gates_under_a_second_matrix_of_zeros_learn_from_the_second_step_on() {
    let tiny = TinyBackbone::new();
    let mut own = model(&tiny, &MimiOptions { init: Init::Identity, ..gates(1.0) });
    let mut steps = Steps::new(&tiny, &own);
    let names: Vec<ParameterName> = tiny.config.adapters().iter().map(ParameterName::gate).collect();
    for name in &names {
        assert!(steps.gradient(&own, *name).iter().all(|g| *g == 0.0), "{name}: up is zero");
    }
    steps.step(&mut own);
    assert!(all_gates(&own).iter().all(|gate| *gate == 1.0), "nothing is known of gates yet");
    for name in &names {
        assert!(steps.gradient(&own, *name).iter().all(|g| *g != 0.0), "{name}");
    }
    steps.step(&mut own);
    assert!(all_gates(&own).iter().all(|gate| *gate != 1.0), "all move: Adam's steps do not ask how large");
}

#[test]
fn a_closed_gate_has_a_gradient_its_matrices_none_and_moments_alone_open_nothing_below_the_price() {
    let tiny = TinyBackbone::new();
    let mut own = model(&tiny, &gates(0.0));
    let mut steps = Steps::new(&tiny, &own);
    let module = Module::adapter(Site::new(2, Place::Attn));
    let (gate, up, down) =
        (ParameterName::gate(module), ParameterName::up(module), ParameterName::down(module));
    with_gates(&mut own, |number| if number < 48 { 1.0 } else { 0.0 });
    let closed = |values: &[f32]| values.iter().all(|value| *value == 0.0);
    assert!(closed(&values(&own, gate)));
    assert!(closed(&steps.gradient(&own, up)) && closed(&steps.gradient(&own, down)));
    assert!(!closed(&steps.gradient(&own, gate)), "the loss would open it");
    let (before, mut opened) = (values(&own, up), own.clone());
    steps.step(&mut opened);
    assert!(!closed(&values(&opened, gate)), "and does, while nothing is paid");
    assert_eq!(values(&opened, up), before, "a closed neuron's matrix stays");
    // Ten times 1e-3 is the furthest that Adam's first step goes.
    assert!(values(&opened, gate).iter().all(|gate| gate.abs() <= 1.0001e-2));
    let priced = |gate: f32| soft_threshold(gate, 1.01e-2);
    assert!(values(&opened, gate).into_iter().map(priced).all(|gate| gate == 0.0), "a higher price holds it");
    // Moments without a gradient: what a closed gate remembers fades, and moves no further than the price holds.
    let mut alone = Parameter::new(vec![1, 1], vec![0.0]);
    alone.state.step(&mut [0.0], &[1.0], 0.0, 0.0);
    for _ in 0..200 {
        alone.state.step(&mut alone.values, &[0.0], 1e-2, 0.0);
        alone.values[0] = soft_threshold(alone.values[0], 1.01e-2);
        assert_eq!(alone.values[0], 0.0);
    }
}

#[test]
fn gates_add_less_than_a_hundredth_of_what_a_step_computes() {
    let tiny = TinyBackbone::new();
    let plan = Plan::whole(&tiny.config, tiny.config.adapters());
    let bind = |dim: Dim| match dim {
        Dim::Batch => 32,
        Dim::Width(_) => 12,
        _ => 3,
    };
    let computed = |g: &Graph| -> u64 {
        let size = |wire| g.fact(wire).shape.iter().map(|dim| dim.size(bind)).product::<u64>();
        g.nodes().iter().flat_map(|node| &node.outputs).map(|&wire| size(wire)).sum()
    };
    let of = |trained| training_graph(&tiny.config, &plan, trained).unwrap();
    let (plain, gated) = (of(Direct::TRAINED), of(GATED));
    assert_eq!(gated.flops(bind), plain.flops(bind), "no product more");
    assert!(computed(&gated) < computed(&plain) * 101 / 100);
}

fn blocks(report: &Outcome, world: &World) -> BTreeSet<usize> {
    let pack = pack::read(&report.folder, &world.tiny.config).unwrap().0;
    pack.modules.iter().map(|module| module.site.block).collect()
}

#[test]
fn one_training_ends_with_as_many_neurons_as_prunings_would_and_is_served_as_measured() {
    for (fixture, init, price) in [
        ("vit_timm", Init::KaimingUniform, 8.0),
        ("vit_timm", Init::Identity, 0.0),
        ("swin_timm", Init::Identity, 1.0),
    ] {
        let (world, data) = (World::of(fixture), tempfile::tempdir().unwrap());
        dataset(data.path());
        let report = run(&world, &task(&world, data.path(), MimiOptions { init, ..gates(price) }));
        let (stored, pack) = {
            let base = Base::new(world.tiny.config.clone()).unwrap();
            (read_stored(&report.folder, &base).unwrap().0, world.tiny.read(&report.folder))
        };
        let [cycle] = &report.cycles[..] else { panic!("{fixture}: {:?}", report.cycles) };
        let config = &world.tiny.config;
        let first: BTreeMap<_, _> = gates(price).first_widths(config);
        assert_eq!(cycle.neurons, first.values().sum::<usize>() / 4, "{fixture}");
        assert_eq!(pack.weights.values().map(|own| own.width).sum::<usize>(), cycle.neurons, "{fixture}");
        assert_eq!((pack.flops, pack.module_parameters()), (cycle.flops, cycle.adapter_parameters));
        assert!(pack.weights.values().all(|own| own.part(Part::Up).iter().any(|value| *value != 0.0)));
        let details = &stored.manifest.provenance.details;
        assert_eq!(details["price"], price);
        assert!(!details.contains_key("score"), "no score had a say");
        assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out, "{fixture}");
        match price {
            8.0 => {
                assert_eq!(blocks(&report, &world), [2].into(), "18 of 24 in the last block");
                let told = inspect::pack(&stored, config).unwrap();
                assert!(told.contains("starts at         block 2 of 3"), "{told}");
            }
            0.0 => assert!(blocks(&report, &world).len() > 1, "{fixture}: no block is dearer"),
            _ => {}
        }
    }
}

#[test]
fn a_target_of_parameters_is_met_to_the_last_neuron() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    for most in [2 * 48 * 7, 2 * 48 * 8 - 1] {
        let options = MimiOptions { target: Target::Parameters(most), epochs: 2, ..gates(1.0) };
        let report = run(&world, &task(&world, data.path(), options));
        assert_eq!(report.cycles[0].adapter_parameters, 2 * 48 * 7, "{most}");
    }
    let none = MimiOptions { target: Target::Parameters(95), ..gates(1.0) };
    let error = train(&setup(&world), &task(&world, data.path(), none), &mut |_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("95 parameters are fewer than one neuron has"), "{error:#}");
}

#[test]
fn a_neuron_too_large_for_what_is_left_of_parameters_leaves_its_place_to_the_next_that_fits() {
    let tiny = TinyBackbone::from("swin_timm");
    let modules = tiny.config.adapters();
    let size = |module: Module| 2 * tiny.config.block_width(module.site.block);
    let sizes = || modules.iter().map(size);
    let (small, large) = (sizes().min().unwrap(), sizes().max().unwrap());
    assert!(small < large);
    for (most, expected) in
        [(small, small), (large - 1, small), (large, large), (large + small, large + small)]
    {
        let options = MimiOptions { target: Target::Parameters(most), ..gates(0.0) };
        let gating = Gating::new(&options, &tiny.config, 5).unwrap().unwrap();
        let mut own = model(&tiny, &options);
        // The largest are the strongest.
        for (name, gates) in own.parameters.iter_mut().filter(|(name, _)| name.is_gate()) {
            gates.values.fill(if size(name.module().unwrap()) == large { 2.0 } else { 1.0 });
        }
        let kept = gating.frozen(&own).unwrap();
        assert!(kept.neurons() > 0 && kept.module_parameters() <= most, "{most}");
        assert!(
            kept.module_parameters() >= expected || kept.neurons() == gating.proximal().left,
            "{most}: {kept:?}"
        );
    }
    let options = MimiOptions { target: Target::Parameters(small - 1), ..gates(0.0) };
    let error = Gating::new(&options, &tiny.config, 5).unwrap_err().to_string();
    assert_eq!(error, format!("{} parameters are fewer than one neuron has: {small} or more", small - 1));
}

#[test]
fn folding_keeps_the_moments_that_the_product_would_have() {
    let (factors, options) = ([0.5f32, -2.0, 0.0], (0.0, 0.0));
    let mut random = Random::new(9);
    let mut gated = Parameter::new(vec![3, 4], random.floats(12, 1.0));
    let mut product = Parameter::new(vec![3, 4], vec![0.0; 12]);
    for _ in 0..5 {
        let slopes = random.floats(12, 1.0);
        // d/d(up) = g · d/d(g up); a closed neuron has none.
        let own: Vec<f32> = slopes.iter().enumerate().map(|(i, slope)| slope * factors[i / 4]).collect();
        let open: Vec<f32> = slopes.iter().enumerate().map(|(i, s)| if i < 8 { *s } else { 0.0 }).collect();
        gated.state.step(&mut gated.values, &own, options.0, options.1);
        product.state.step(&mut product.values, &open, options.0, options.1);
    }
    let folded = gated.with_rows_times(&factors);
    let (mean, square, steps) = folded.state.moments();
    let expected = product.state.moments();
    assert_eq!(steps, expected.2);
    assert_close("means", mean, expected.0, 1e-6);
    assert_close("squares", square, expected.1, 1e-6);
    let tiny = gated.with_rows_times(&[1e-30, 1e-30, 1e-30]);
    let (mean, square, _) = tiny.state.moments();
    assert!(mean.iter().chain(square).all(|moment| *moment == 0.0), "what overflows is not known");
}

#[test]
fn an_interrupted_training_resumes_bit_for_bit_on_both_sides_of_the_freeze() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let options = task(&world, data.path(), gates(0.5));
    let weights = |report: &Outcome| std::fs::read(report.folder.join(WEIGHTS_FILE)).unwrap();
    let whole = weights(&run(&world, &options));
    for stop in 1..4 {
        let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            train(&setup(&world), &options, &mut |progress| {
                assert!(
                    !matches!(progress, Progress::Step(step) if step.epoch == stop),
                    "stopped by the test"
                );
            })
        }));
        assert!(interrupted.is_err());
        let resumed = run(&world, &TaskOptions { resume: true, ..options.clone() });
        assert_eq!(weights(&resumed), whole, "stopped after {stop} epoch(s)");
    }
}

#[test]
fn what_gates_cannot_go_with_is_refused() {
    let world = World::new();
    let refused = |options: MimiOptions| format!("{:#}", options.check(&world.tiny.config).unwrap_err());
    for price in [-0.1, 8.1, f64::NAN] {
        assert!(refused(gates(price)).contains("expected 0 to 8"), "{price}");
    }
    assert!(refused(MimiOptions { front: Some(0.1), ..gates(1.0) }).contains("a price or tau"));
    assert!(refused(MimiOptions { selection: Selection::Local, ..gates(1.0) }).contains("global selection"));
    let score = Score::Start(StartScore::Magnitude);
    assert!(refused(MimiOptions { score, ..gates(1.0) }).contains("no score before training"));
    assert!(
        refused(MimiOptions { target: Target::Accuracy(0.5), ..gates(1.0) }).contains("frozen at a size")
    );
    assert!(refused(MimiOptions { epochs: 1, ..gates(1.0) }).contains("at least 2"));
    let bits = StoredBits { adapters: Some(Bits::Four), head: None };
    assert!(refused(MimiOptions { bits, ..gates(1.0) }).contains("without gates"));
    let alone = MimiOptions { target: Target::Never, ..gates(f64::NAN) };
    alone.check(&world.tiny.config).unwrap();
    assert_eq!(alone.gates(), None, "what is never pruned has no gates");
}
