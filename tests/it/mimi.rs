//! Adapters: trained, scored, pruned, and served as they were measured.

use std::path::Path;
use std::sync::Arc;

use mimi_server::backbone::{Place, Site};
use mimi_server::engine::Engine;
use mimi_server::graph::{ParameterName, Plan, plan_flops};
use mimi_server::image::Limits;
use mimi_server::metrics::Metrics;
use mimi_server::pack::{self, WEIGHTS_FILE};
use mimi_server::train::AugmentOptions;
use mimi_server::train::{
    Dataset, Method, MimiOptions, Normaliser, Progress, Score, Selection, State, Target,
};
use mimi_server::train::{Init, Outcome, StepOptions, TaskOptions, Walk, evaluate, train};

use crate::server::World;
use crate::support::{FAMILIES, TinyBackbone};
use crate::train::{dataset, options, setup};

pub fn mimi() -> MimiOptions {
    MimiOptions {
        sigma: 4.0,
        target: Target::Sigma(32.0),
        epochs: 3,
        batch: 8,
        rate: 5e-3,
        init: Init::KaimingUniform,
        step: StepOptions { micro_batch: 3, ..MimiOptions::default().step },
        ..MimiOptions::default()
    }
}

pub fn task(world: &World, data: &Path, mimi: MimiOptions) -> TaskOptions {
    TaskOptions { method: Method::Mimi(mimi), ..options(world, data) }
}

pub fn run(world: &World, options: &TaskOptions) -> Outcome {
    train(&setup(world), options, &mut |_| {}).unwrap()
}

/// The pack's accuracy as the engine, which serves, measures it on the held-out images.
pub fn served_accuracy(world: &World, report: &Outcome, data: &Path) -> f64 {
    let engine =
        Engine::start(world.tiny.resident(), Arc::new(Metrics::new().unwrap()), &world.config().engine)
            .unwrap();
    let pack = world.tiny.read(&report.folder);
    let held_out = Dataset::open_as(data, &pack.manifest.labels, &Walk::default())
        .unwrap()
        .dataset
        .split(0.3, 7)
        .unwrap()
        .validation;
    evaluate(&engine, &"eval".parse().unwrap(), &pack, &held_out, &Limits::default()).unwrap().accuracy()
}

#[test]
fn pruning_halves_the_neurons_and_ends_on_a_training() {
    let (world, data, cycles) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let mut options = task(&world, data.path(), mimi());
    options.cycles = Some(cycles.path().to_owned());
    let mut news = Vec::new();
    let report = train(&setup(&world), &options, &mut |progress| match progress {
        Progress::Epoch(epoch) => news.push((epoch.cycle, epoch.epoch)),
        Progress::Cycle(_) => news.push((99, 0)),
        Progress::Step(step) => assert_eq!((step.trainings, step.epochs), (Some(4), 3)),
        Progress::Images { .. } | Progress::Note(_) => {}
    });
    let report = report.unwrap();
    // Six sites of 48 / 4 neurons: 72, 36, 18, 9; 288 / 9 = 32 is the target.
    let neurons: Vec<usize> = report.cycles.iter().map(|cycle| cycle.neurons).collect();
    assert_eq!(neurons, [72, 36, 18, 9]);
    assert!((report.cycles[3].sigma - 32.0).abs() < 1e-9);
    assert_eq!(report.cycles[3].adapter_parameters, 9 * 2 * 48);
    let one = |cycle| [(cycle, 0), (cycle, 1), (cycle, 2), (99, 0)];
    assert_eq!(news, (0..4).flat_map(one).collect::<Vec<_>>());
    let (pack, self_test) = pack::read(&report.folder, &world.tiny.config).unwrap();
    assert_eq!(pack.weights.values().map(|own| own.width).sum::<usize>(), 9);
    assert_eq!(pack.flops, report.cycles[3].flops);
    assert_eq!((self_test.images.len(), pack.manifest.provenance.method.as_str()), (2, "mimi"));
    let packs = std::fs::read_dir(cycles.path().join("colours")).unwrap().count();
    assert_eq!(packs, 4, "one pack a cycle");
    assert!(report.accuracies.train > 0.9, "{report:?}");
    assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out);
}

#[test]
fn every_family_trains_and_prunes_adapters_of_its_blocks_widths() {
    for fixture in FAMILIES {
        let (world, data) = (World::of(fixture), tempfile::tempdir().unwrap());
        dataset(data.path());
        let options = MimiOptions { sigma: 2.0, target: Target::Sigma(16.0), ..mimi() };
        let report = run(&world, &task(&world, data.path(), options));
        let config = &world.tiny.config;
        let widths: usize = config.sites().into_iter().map(|site| config.block_width(site.block)).sum();
        let neurons: Vec<usize> = report.cycles.iter().map(|cycle| cycle.neurons).collect();
        assert_eq!(neurons, [widths / 2, widths / 4, widths / 8, widths / 16], "{fixture}");
        let pack = pack::read(&report.folder, config).unwrap().0;
        assert_eq!(pack.module_parameters(), report.cycles[3].adapter_parameters, "{fixture}");
        assert_eq!(pack.flops, report.cycles[3].flops, "{fixture}");
        let plan = Plan::whole(config, pack.modules);
        let width = |module| pack.weights[&module].width;
        assert_eq!(pack.flops, plan_flops(config, &plan, width).unwrap(), "{fixture}");
        assert_eq!(pack.manifest.activation, config.activation(), "{fixture}");
        assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out, "{fixture}");
    }
}

#[test]
fn a_training_repeats_for_its_seed() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let weights = |mimi: MimiOptions| {
        let report = run(&world, &task(&world, data.path(), mimi));
        std::fs::read(report.folder.join(WEIGHTS_FILE)).unwrap()
    };
    let short = MimiOptions { target: Target::Sigma(8.0), epochs: 2, ..mimi() };
    let first = weights(short.clone());
    assert_eq!(first, weights(short.clone()));
    assert_ne!(first, weights(MimiOptions { seed: 1, ..short.clone() }));
    // What each score and selection keep differs, and each of them runs.
    let score = |score, selection| weights(MimiOptions { score, selection, ..short.clone() });
    let z = Normaliser::None;
    assert_ne!(first, score(Score::DownOnly(z), Selection::Global));
    assert_ne!(first, score(Score::Gradient(z), Selection::Global));
    assert_ne!(first, score(Score::Random, Selection::Global));
    assert_ne!(first, score(Score::Magnitude(z), Selection::Local));
}

#[test]
fn adapters_that_begin_late_train_from_the_cached_prefix() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let late = MimiOptions { first_block: 2, target: Target::Never, epochs: 8, ..mimi() };
    let report = run(&world, &task(&world, data.path(), late));
    let pack = pack::read(&report.folder, &world.tiny.config).unwrap().0;
    assert_eq!(pack.modules.iter().map(|module| module.site.block).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(report.cycles.len(), 1);
    assert_eq!(pack.manifest.provenance.method, "adapters");
    assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out);
}

#[test]
fn changed_images_train_too_and_repeat_for_a_seed() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    std::fs::write(data.path().join("red/broken.png"), b"no image").unwrap();
    let changed = |augment| MimiOptions { augment, target: Target::Sigma(8.0), epochs: 4, ..mimi() };
    let report = run(&world, &task(&world, data.path(), changed(AugmentOptions::full())));
    assert_eq!(report.left_out.len(), 1);
    let again = run(&world, &task(&world, data.path(), changed(AugmentOptions::full())));
    let weights = |report: &Outcome| std::fs::read(report.folder.join(WEIGHTS_FILE)).unwrap();
    assert_eq!(weights(&report), weights(&again));
    let light = run(&world, &task(&world, data.path(), changed(AugmentOptions::light())));
    assert!(light.accuracies.held_out > 0.8, "{light:?}");
    std::fs::remove_file(data.path().join("red/broken.png")).unwrap();
}

#[test]
fn an_accuracy_for_target_gives_the_smallest_that_holds_it() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    // What no model reaches: the first one is kept. What every model reaches: pruned to the last neuron.
    let impossible = MimiOptions { target: Target::Accuracy(1.1), epochs: 1, ..mimi() };
    assert_eq!(run(&world, &task(&world, data.path(), impossible)).cycles.len(), 1);
    let certain = MimiOptions { target: Target::Accuracy(0.0), epochs: 1, ..mimi() };
    let report = run(&world, &task(&world, data.path(), certain));
    let neurons: Vec<usize> = report.cycles.iter().map(|cycle| cycle.neurons).collect();
    assert_eq!(neurons, [72, 36, 18, 9, 4, 2, 1]);
}

#[test]
fn survivors_keep_their_weights_and_moments() {
    let tiny = TinyBackbone::new();
    let mut state = State::new(&tiny.config, 3, &mimi());
    let site = Site::new(1, Place::Mlp);
    let gradient: Vec<f32> = (0..48 * 12).map(|i| (i % 12) as f32).collect();
    for (_, parameter) in state.model.parameters.iter_mut() {
        if parameter.values.len() == gradient.len() {
            parameter.state.step(&mut parameter.values, &gradient, 0.0, 0.0);
        }
    }
    let get = |state: &State, name| state.model.parameters.get(name).unwrap().clone();
    let (down, up) = (ParameterName::down(site), ParameterName::up(site));
    let (mut whole, up_before) = (get(&state, down), get(&state, up));
    let before = whole.values.clone();
    state.model.keep(&[(site.into(), vec![2, 5])].into_iter().collect());
    assert_eq!(state.model.modules().len(), 1, "adapters without a survivor vanish");
    let (mut after, up_after) = (get(&state, down), get(&state, up));
    assert_eq!((after.shape.clone(), up_after.shape.clone()), (vec![48, 2], vec![2, 48]));
    assert_eq!(up_after.values[48..], up_before.values[5 * 48..6 * 48]);
    for d in 0..48 {
        assert_eq!(after.values[d * 2], before[d * 12 + 2]);
    }
    // The next step of a survivor is the one it would have made unpruned.
    whole.state.step(&mut whole.values, &gradient, 0.1, 0.0);
    let kept: Vec<f32> = gradient.chunks(12).flat_map(|row| [row[2], row[5]]).collect();
    after.state.step(&mut after.values, &kept, 0.1, 0.0);
    assert_eq!(after.values[1], whole.values[5]);
}

#[test]
fn an_interrupted_training_resumes_bit_for_bit() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    // The lowest adapters vanish on the way, so that images move to a later block too.
    let options = task(&world, data.path(), MimiOptions { target: Target::Sigma(48.0), epochs: 2, ..mimi() });
    let weights = |report: &Outcome| std::fs::read(report.folder.join(WEIGHTS_FILE)).unwrap();
    let whole = run(&world, &options);
    let provenance =
        |report: &Outcome| pack::read(&report.folder, &world.tiny.config).unwrap().0.manifest.provenance;
    for stop in [1, 2, 5] {
        let mut epochs = 0;
        let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            train(&setup(&world), &options, &mut |progress| {
                if let Progress::Step(step) = progress {
                    // In the middle of an epoch, after some have ended.
                    epochs += usize::from(step.done == step.count);
                    assert!(epochs < stop || step.done == step.count, "stopped by the test");
                }
            })
        }));
        assert!(interrupted.is_err());
        let resumed = run(&world, &TaskOptions { resume: true, ..options.clone() });
        assert_eq!(weights(&resumed), weights(&whole), "stopped after {stop} epoch(s)");
        assert_eq!(provenance(&resumed), provenance(&whole));
        assert!(!options.checkpoint.exists(), "a finished training leaves no checkpoint");
    }
}

/// Leaves the checkpoint of a training that ended in its second cycle.
fn stop_in_the_second_training(world: &World, options: &TaskOptions) {
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        train(&setup(world), options, &mut |progress| {
            assert!(!matches!(progress, Progress::Step(step) if step.cycle == 1), "stopped by the test");
        })
    }));
    assert!(stopped.is_err());
}

#[test]
fn a_checkpoint_of_another_training_or_a_damaged_one_is_refused() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let options = task(&world, data.path(), MimiOptions { epochs: 1, ..mimi() });
    stop_in_the_second_training(&world, &options);
    let other = MimiOptions { epochs: 2, ..mimi() };
    let resume = |mimi| TaskOptions { resume: true, ..task(&world, data.path(), mimi) };
    let refusal = |mimi| {
        let error = train(&setup(&world), &resume(mimi), &mut |_| {}).unwrap_err();
        format!("{error:#}")
    };
    assert!(refusal(other).contains("belongs to another training"));
    let bytes = std::fs::read(&options.checkpoint).unwrap();
    std::fs::write(&options.checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refusal(MimiOptions { epochs: 1, ..mimi() }).contains("checkpoint"));
}

/// Replaces a byte of what stands behind `word` in a file.
fn alter(path: &Path, word: &str, change: impl Fn(u8) -> Option<u8>) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(word.len()).position(|window| window == word.as_bytes()).unwrap() + word.len();
    let (place, byte) = (at..).find_map(|place| Some((place, change(bytes[place])?))).unwrap();
    bytes[place] = byte;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_checkpoint_of_another_release_or_of_another_kind_of_processor_is_refused() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let options = task(&world, data.path(), MimiOptions { epochs: 1, ..mimi() });
    stop_in_the_second_training(&world, &options);
    let resume = TaskOptions { resume: true, ..options.clone() };
    let refusal = || format!("{:#}", train(&setup(&world), &resume, &mut |_| {}).unwrap_err());
    let whole = std::fs::read(&options.checkpoint).unwrap();
    alter(&options.checkpoint, "rounding", |byte| match byte {
        b'0'..=b'8' | b'a'..=b'e' => Some(byte + 1),
        b'9' | b'f' => Some(b'0'),
        _ => None,
    });
    assert!(refusal().contains("a processor that rounds differently"), "{}", refusal());
    std::fs::write(&options.checkpoint, &whole).unwrap();
    alter(&options.checkpoint, "version", |byte| (byte == b'2').then_some(b'1'));
    assert!(refusal().contains("another release"), "{}", refusal());
    std::fs::write(&options.checkpoint, &whole).unwrap();
    train(&setup(&world), &resume, &mut |_| {}).unwrap();
}
