//! A training whose state stays on the device is the one whose state is the host's.

use std::collections::BTreeMap;
use std::path::Path;

use mimi_server::backbone::Part;
use mimi_server::graph::{Direct, Gated, ParameterName, Trained};
use mimi_server::pack::{Bits, StoredBits};
use mimi_server::train::{
    Adaptation, Around, Gradients, Learner, Masks, MimiOptions, Minibatch, Model, Outcome, Parameter,
    Progress, Proximal, Score, Selection, Setup, StartScore, State, StepOptions, Stepper, Target,
    TaskOptions, train,
};
use mimi_server::train::{DeviceStepper, Init};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::methods::quick;
use crate::mimi::{mimi, task};
use crate::server::World;
use crate::support::{FAMILIES, TinyBackbone};
use crate::train::{dataset, setup};

/// A step with decay and a clip that binds, in parts.
const BINDS: StepOptions = StepOptions { decay: 0.05, clip: 0.1, drop_path: 0.0, micro_batch: 3 };

/// Rates that go up and down.
pub const RATES: [f64; 8] = [1e-4, 1e-3, 5e-3, 1e-2, 5e-3, 1e-3, 5e-4, 1e-4];

fn model(tiny: &TinyBackbone) -> Model {
    State::new(
        &tiny.config,
        3,
        &MimiOptions { sigma: 8.0, init: Init::KaimingUniform, ..MimiOptions::default() },
    )
    .model
}

pub fn batch(tiny: &TinyBackbone) -> Minibatch {
    Minibatch {
        shape: [vec![5], tiny.config.input_shape(0)].concat(),
        values: (0..5).flat_map(|i| tiny.pixels(i).to_vec()).collect(),
        targets: (0..15).map(|i| if i % 4 == 0 { 1.0 } else { 0.0 }).collect(),
        classes: vec![0, 1, 2, 0, 1],
    }
}

pub fn all(model: &Model, of: impl Fn(&Parameter) -> &[f32]) -> Vec<f32> {
    model.parameters.iter().flat_map(|(_, own)| of(own).to_vec()).collect()
}

/// Distance over length.
pub fn apart(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let far: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (far / b.iter().map(|&b| square(b)).sum::<f64>()).sqrt()
}

/// A model, what its steps do, and what a method does around them.
struct Case {
    what: String,
    model: Model,
    trained: Trained<'static>,
    options: StepOptions,
    around: Around,
}

/// Makes eight steps both ways, in two epochs, and compares parameters, moments and sums of gradients.
fn same_steps(tiny: &TinyBackbone, case: Case) -> Model {
    let Case { what, model, trained, options, around } = case;
    let (mut host, mut device, batch) = (model.clone(), model, batch(tiny));
    let resident = tiny.resident();
    let of_host = Stepper::new(&resident, 0, &host, trained, options).unwrap();
    let mut of_host = of_host.with(around.clone());
    let mut of_device =
        DeviceStepper::new(&resident, (0, &device), trained, options, around.clone()).unwrap();
    let mut randoms = [(); 2].map(|()| ChaCha8Rng::seed_from_u64(3));
    // As in two epochs: the second goes on from what came back.
    for rates in RATES.chunks(4) {
        let mut learning = of_device.learn(&mut device).unwrap();
        let mut sums = Gradients::zeros(&host.parameters);
        for &rate in rates {
            let expected = of_host.step(&mut host, &batch, (rate, &mut randoms[0])).unwrap();
            let found = learning.step(&batch, (rate, &mut randoms[1])).unwrap();
            assert!((found.seen.loss - expected.seen.loss).abs() < 1e-4, "{what}: {found:?}");
            assert_eq!(found.seen.right, expected.seen.right, "{what}");
            sums.add_all(&expected.gradients).unwrap();
        }
        let of = |gradients: &Gradients| -> Vec<f32> {
            let names = host.parameters.iter().map(|(name, _)| name);
            names.flat_map(|name| gradients.get(name).unwrap().to_vec()).collect()
        };
        let found = of(&learning.finish().unwrap());
        assert!(apart(&found, &of(&sums)) < 1e-3, "{what}: sums of gradients");
        assert!(found.iter().any(|g| *g != 0.0));
    }
    let far = apart(&all(&device, |p| &p.values), &all(&host, |p| &p.values));
    assert!(far < 1e-4, "{what}: {far}");
    for moment in [|p: &Parameter| p.state.moments().0.to_vec(), |p: &Parameter| p.state.moments().1.to_vec()]
    {
        let of = |model: &Model| -> Vec<f32> {
            model.parameters.iter().flat_map(|(_, own)| moment(own)).collect()
        };
        assert!(apart(&of(&device), &of(&host)) < 1e-3, "{what}: moments");
    }
    assert!(device.parameters.iter().all(|(_, own)| own.state.moments().2 == 8), "{what}");
    device
}

#[test]
fn steps_on_the_device_are_the_hosts() {
    // A clip that binds, decay, dropped paths, parts of unequal size.
    for (clip, micro_batch) in [(0.1, 2), (100.0, 3), (100.0, 8)] {
        for fixture in FAMILIES {
            let tiny = TinyBackbone::from(fixture);
            let what = format!("{fixture}, clip {clip}, {micro_batch}");
            let options = StepOptions { decay: 0.05, clip, drop_path: 0.3, micro_batch };
            let trained = Trained { drops_paths: true, ..Direct::TRAINED };
            same_steps(
                &tiny,
                Case { what, model: model(&tiny), trained, options, around: Around::default() },
            );
        }
    }
}

#[test]
fn masked_weights_stay_zero_on_the_device() {
    let tiny = TinyBackbone::new();
    let mut own = model(&tiny);
    let every_third = |(name, parameter): (ParameterName, &Parameter)| {
        (name, (0..parameter.values.len()).map(|at| at % 3 != 0).collect())
    };
    let masked = own.parameters.iter().filter(|(name, _)| !name.is_of_head());
    let masks: Masks = masked.map(every_third).collect();
    masks.apply(&mut own);
    let (what, around) = ("masks".into(), Around { masks: masks.clone(), ..Around::default() });
    let found =
        same_steps(&tiny, Case { what, model: own, trained: Direct::TRAINED, options: BINDS, around });
    for (name, mask) in masks.iter() {
        let values = &found.parameters.get(name).unwrap().values;
        assert!(values.iter().zip(mask).all(|(value, kept)| *kept || *value == 0.0), "{name}");
        assert!(values.iter().zip(mask).any(|(value, kept)| *kept && *value != 0.0), "{name}");
    }
}

#[test]
fn weights_round_to_few_bits_on_the_device() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        for adapters in Bits::ALL {
            let bits = StoredBits { adapters: Some(adapters), head: Some(Bits::Eight) };
            let (what, around) = (format!("{fixture}, {bits:?}"), Around { bits, ..Around::default() });
            let model = model(&tiny);
            assert_ne!(model.kept_at(bits).parameters, model.parameters, "{what}: it is rounded");
            same_steps(&tiny, Case { what, model, trained: Direct::TRAINED, options: BINDS, around });
        }
    }
}

#[test]
fn gates_pay_on_the_device() {
    let tiny = TinyBackbone::new();
    let gated = MimiOptions { price: Some(0.5), sigma: 8.0, init: Init::KaimingUniform, ..mimi() };
    let own = State::new(&tiny.config, 3, &gated).model;
    let gates: Vec<ParameterName> =
        own.parameters.iter().map(|(name, _)| name).filter(|name| name.is_gate()).collect();
    let count: usize = gates.iter().map(|name| own.parameters.get(*name).unwrap().values.len()).sum();
    let prices = gates.iter().enumerate().map(|(at, name)| (*name, 1.0 / (at + 1) as f64)).collect();
    for left in [0, count / 3, count] {
        let proximal = Proximal { prices: BTreeMap::clone(&prices), left, paying: 2..7 };
        let (what, around) =
            (format!("{left} left"), Around { proximal: Some(proximal), ..Around::default() });
        let trained = Trained { express: &Gated(&Direct), ..Direct::TRAINED };
        let found = same_steps(&tiny, Case { what, model: own.clone(), trained, options: BINDS, around });
        let paid = gates.iter().flat_map(|name| found.parameters.get(*name).unwrap().values.clone());
        let small = paid.filter(|gate| gate.abs() < 0.7).count();
        assert_eq!(small > 0, left < count, "{left} of {count} left: {small} are small");
    }
}

#[test]
fn parameters_of_unequal_age_are_named() {
    let tiny = TinyBackbone::new();
    let mut own = model(&tiny);
    let options = StepOptions { decay: 0.0, clip: 1.0, drop_path: 0.0, micro_batch: 8 };
    let at = (0, &own);
    let mut stepper =
        DeviceStepper::new(&tiny.resident(), at, Direct::TRAINED, options, Around::default()).unwrap();
    let (_, last) = own.parameters.iter_mut().last().unwrap();
    let mut values = last.values.clone();
    last.state.step(&mut values, &vec![1.0; last.values.len()], 0.1, 0.0);
    let error = stepper.learn(&mut own).err().unwrap().to_string();
    assert!(
        error.starts_with("head.bias has made 1 steps and ") && error.ends_with("expected as many"),
        "{error}"
    );
}

/// A training whose state is on the device.
fn on_device(world: &World) -> Setup {
    Setup { stays_on_device: true, ..setup(world) }
}

fn run(setup: &Setup, options: &TaskOptions) -> Outcome {
    train(setup, options, &mut |_| {}).unwrap()
}

/// Trains both ways; both must keep as many neurons, learn, and end close to each other.
fn both(world: &World, data: &Path, (what, own): (&str, MimiOptions)) {
    let options = task(world, data, own);
    let host = run(&Setup { stays_on_device: false, ..setup(world) }, &options);
    let device = run(&on_device(world), &options);
    let neurons = |outcome: &Outcome| outcome.cycles.iter().map(|c| c.neurons).collect::<Vec<_>>();
    assert_eq!(neurons(&device), neurons(&host), "{what}");
    let far = (device.accuracies.train - host.accuracies.train).abs();
    assert!(far < 0.11, "{what}: {:?} {:?}", device.accuracies, host.accuracies);
    let losses = |outcome: &Outcome| outcome.cycles.iter().map(|c| c.loss).collect::<Vec<_>>();
    let first = (losses(&device)[0] - losses(&host)[0]).abs();
    assert!(first < 2e-2, "{what}: {:?} {:?}", losses(&device), losses(&host));
}

#[test]
fn every_method_learns_with_its_state_on_the_device() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    for adaptation in Adaptation::all() {
        let options = quick(adaptation);
        if options.check(&world.tiny.config).is_ok() {
            both(&world, data.path(), (adaptation.name(), MimiOptions { epochs: 3, ..options }));
        }
    }
}

/// Trainings that do something between steps.
fn around_steps() -> [(&'static str, MimiOptions); 3] {
    let bits = StoredBits { adapters: Some(Bits::Two), head: Some(Bits::Eight) };
    let score = Score::Start(StartScore::Snip);
    [
        ("two bits", MimiOptions { epochs: 3, bits, target: Target::Never, ..mimi() }),
        ("gates", MimiOptions { price: Some(0.1), target: Target::Sigma(16.0), epochs: 4, ..mimi() }),
        (
            "masks",
            MimiOptions {
                score,
                selection: Selection::Unstructured,
                target: Target::Sigma(16.0),
                epochs: 3,
                ..mimi()
            },
        ),
    ]
}

#[test]
fn gates_few_bits_and_masks_learn_with_their_state_on_the_device() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    for (what, own) in around_steps() {
        both(&world, data.path(), (what, own.clone()));
        let options = task(&world, data.path(), own);
        let weights = |setup: &Setup| {
            let pack = world.tiny.read(&run(setup, &options).folder);
            let parts = pack
                .weights
                .values()
                .flat_map(|own| [Part::Down, Part::Up].map(|part| own.part(part).to_vec()));
            parts.flatten().collect::<Vec<f32>>()
        };
        let [host, device] =
            [false, true].map(|stays_on_device| weights(&Setup { stays_on_device, ..setup(&world) }));
        let far = apart(&device, &host);
        assert!(far < 0.02, "{what}: {far}");
    }
}

/// Stops a training in the second epoch of a cycle, goes on, and compares with one that was not stopped.
fn resumes(world: &World, data: &Path, (what, own): (&str, MimiOptions), cycle: usize) {
    let options = task(world, data, own);
    let weights = |outcome: &Outcome| world.tiny.read(&outcome.folder).weights.clone();
    let whole = run(&on_device(world), &options);
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        train(&on_device(world), &options, &mut |progress| {
            let stop = matches!(progress, Progress::Step(step) if (step.cycle, step.epoch) == (cycle, 1));
            assert!(!stop, "stopped by the test");
        })
    }));
    assert!(stopped.is_err() && options.checkpoint.exists(), "{what}");
    let resumed = run(&on_device(world), &TaskOptions { resume: true, ..options });
    assert_eq!(weights(&resumed), weights(&whole), "{what}");
}

#[test]
fn trainings_resume_bit_for_bit() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    for one in around_steps() {
        resumes(&world, data.path(), one, 0);
    }
}

#[test]
fn scores_of_gradients_cut_on_the_device() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let own = MimiOptions { score: Score::Taylor, target: Target::Sigma(16.0), epochs: 2, ..mimi() };
    both(&world, data.path(), ("taylor", own.clone()));
    resumes(&world, data.path(), ("taylor", own), 1);
}
