//! A training whose state stays on the device is the one whose state is the host's.

use std::path::Path;

use mimi_server::graph::Direct;
use mimi_server::train::{
    Adaptation, Gradients, Learner, MimiOptions, Minibatch, Model, Outcome, Parameter, Progress, Score,
    Setup, State, StepOptions, Stepper, Target, TaskOptions, train,
};
use mimi_server::train::{DeviceStepper, Init};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::methods::quick;
use crate::mimi::{mimi, task};
use crate::server::World;
use crate::support::{FAMILIES, TinyBackbone};
use crate::train::{dataset, setup};

/// Rates that go up and down.
const RATES: [f64; 8] = [1e-4, 1e-3, 5e-3, 1e-2, 5e-3, 1e-3, 5e-4, 1e-4];

fn model(tiny: &TinyBackbone) -> Model {
    State::new(
        &tiny.config,
        3,
        &MimiOptions { sigma: 8.0, init: Init::KaimingUniform, ..MimiOptions::default() },
    )
    .model
}

fn batch(tiny: &TinyBackbone) -> Minibatch {
    Minibatch {
        shape: [vec![5], tiny.config.input_shape(0)].concat(),
        values: (0..5).flat_map(|i| tiny.pixels(i).to_vec()).collect(),
        targets: (0..15).map(|i| if i % 4 == 0 { 1.0 } else { 0.0 }).collect(),
        classes: vec![0, 1, 2, 0, 1],
    }
}

fn all(model: &Model, of: impl Fn(&Parameter) -> &[f32]) -> Vec<f32> {
    model.parameters.iter().flat_map(|(_, own)| of(own).to_vec()).collect()
}

/// Distance over length.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let far: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (far / b.iter().map(|&b| square(b)).sum::<f64>()).sqrt()
}

#[test]
fn steps_on_the_device_are_the_hosts() {
    // A clip that binds, decay, dropped paths, parts of unequal size.
    for (clip, micro_batch) in [(0.1, 2), (100.0, 3), (100.0, 8)] {
        for fixture in FAMILIES {
            let (tiny, what) =
                (TinyBackbone::from(fixture), format!("{fixture}, clip {clip}, {micro_batch}"));
            let options = StepOptions { decay: 0.05, clip, drop_path: 0.3, micro_batch };
            let trained = mimi_server::graph::Trained { drops_paths: true, ..Direct::TRAINED };
            let (mut host, mut device, batch) = (model(&tiny), model(&tiny), batch(&tiny));
            let resident = tiny.resident();
            let mut of_host = Stepper::new(&resident, 0, &host, trained, options).unwrap();
            let mut of_device = DeviceStepper::new(&resident, 0, &device, trained, options).unwrap();
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
            assert!(apart(&all(&device, |p| &p.values), &all(&host, |p| &p.values)) < 1e-4, "{what}");
            for moment in
                [|p: &Parameter| p.state.moments().0.to_vec(), |p: &Parameter| p.state.moments().1.to_vec()]
            {
                let of = |model: &Model| -> Vec<f32> {
                    model.parameters.iter().flat_map(|(_, own)| moment(own)).collect()
                };
                assert!(apart(&of(&device), &of(&host)) < 1e-3, "{what}: moments");
            }
            assert!(device.parameters.iter().all(|(_, own)| own.state.moments().2 == 8), "{what}");
        }
    }
}

#[test]
fn parameters_of_unequal_age_are_named() {
    let tiny = TinyBackbone::new();
    let mut own = model(&tiny);
    let options = StepOptions { decay: 0.0, clip: 1.0, drop_path: 0.0, micro_batch: 8 };
    let mut stepper = DeviceStepper::new(&tiny.resident(), 0, &own, Direct::TRAINED, options).unwrap();
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

#[test]
fn scores_of_gradients_cut_and_trainings_resume_bit_for_bit() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let own = MimiOptions { score: Score::Taylor, target: Target::Sigma(16.0), epochs: 2, ..mimi() };
    both(&world, data.path(), ("taylor", own.clone()));
    let options = task(&world, data.path(), own);
    let weights = |outcome: &Outcome| world.tiny.read(&outcome.folder).weights.clone();
    let whole = run(&on_device(&world), &options);
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        train(&on_device(&world), &options, &mut |progress| {
            let stop = matches!(progress, Progress::Step(step) if (step.cycle, step.epoch) == (1, 1));
            assert!(!stop, "stopped by the test");
        })
    }));
    assert!(stopped.is_err() && options.checkpoint.exists());
    let resumed = run(&on_device(&world), &TaskOptions { resume: true, ..options });
    assert_eq!(weights(&resumed), weights(&whole));
}
