//! Scores of neurons and weights: PyTorch's numbers, exact shares, and masks that hold.

use std::path::Path;

use mimi_server::adaptation::Kind;
use mimi_server::backbone::{Module, Part};
use mimi_server::graph::training::Loss;
use mimi_server::graph::{Direct, ParameterName};
use mimi_server::pack::{self, Pack};
use mimi_server::train::{
    Adaptation, Evidence, Init, MimiOptions, Minibatch, Model, Observatory, Outcome, Parameter, Progress,
    Score, Selection, StartScore, Surveyor, Target, TaskOptions, scores, train,
};

use crate::mimi::{mimi, run, served_accuracy, task};
use crate::server::World;
use crate::support::{Fixture, TinyBackbone};
use crate::train::{dataset, setup};

/// Largest difference, relative to the largest element.
const TOLERANCE: f64 = 1e-4;
/// The same for GraSP, whose second derivative is a difference of first ones in single precision.
const GRASP_TOLERANCE: f64 = 3e-4;

/// The adapters and the head of a methods fixture.
fn model(fixture: &Fixture) -> Model {
    let served = fixture.under("adapters/served/");
    let adapter = |(name, tensor): (&String, &crate::support::Tensor)| {
        (name.parse().unwrap(), Parameter::new(tensor.shape.clone(), tensor.data.clone()))
    };
    let mut parameters: mimi_server::train::Parameters = served.iter().map(adapter).collect();
    let [weight, bias] = ["head.weight", "head.bias"].map(|name| fixture.tensors[name].clone());
    let [classes, width] = weight.shape[..] else { panic!("{:?}", weight.shape) };
    let turned = (0..classes * width).map(|i| weight.data[(i % classes) * width + i / classes]).collect();
    parameters.insert(ParameterName::HeadWeight, Parameter::new(vec![width, classes], turned));
    parameters.insert(ParameterName::HeadBias, Parameter::new(bias.shape, bias.data));
    Model { parameters, ..Model::default() }
}

fn assert_relative(name: &str, found: &[f64], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0f64, |most, x| most.max(f64::from(x.abs())));
    for (a, b) in found.iter().zip(expected) {
        let difference = (a - f64::from(*b)).abs();
        assert!(difference <= tolerance * largest, "{name}: {a} and {b}, largest {largest}");
    }
}

#[test]
fn scores_are_pytorchs() {
    for family in ["vit", "swin"] {
        let (tiny, expected) =
            (TinyBackbone::from(&format!("methods_{family}")), Fixture::named(&format!("scores_{family}")));
        let model = model(&Fixture::named(&format!("methods_{family}")));
        let resident = tiny.resident();
        let (pixels, targets) = (&expected.tensors["input/pixels"], &expected.tensors["input/targets"]);
        let batch = Minibatch {
            shape: pixels.shape.clone(),
            values: pixels.data.clone(),
            targets: targets.data.clone(),
            classes: vec![0; pixels.shape[0]],
        };
        // Parts of four images: sums over parts, and GraSP's halves of three whole.
        let mut surveyor = Surveyor::new(&resident, 0, &model, (&Direct, Loss::CrossEntropy), 4).unwrap();
        for (score, name, tolerance) in
            [(StartScore::Snip, "snip", TOLERANCE), (StartScore::Grasp, "grasp", GRASP_TOLERANCE)]
        {
            let found = surveyor.saliency(&model, &batch, score).unwrap();
            let expected = expected.under(&format!("{name}/"));
            assert_eq!(found.len(), expected.len());
            // One scale for all tensors, as one threshold cuts them all.
            let all: Vec<f64> = found.values().flatten().copied().collect();
            let wanted: Vec<f32> =
                found.keys().flat_map(|own| expected[&own.to_string()].data.clone()).collect();
            assert_relative(&format!("{family} {name}"), &all, &wanted, tolerance);
        }
        let widths = model.widths();
        let kind = Kind { widths, ..Kind::default() };
        let mut observatory = Observatory::new(&resident, 0, &model, &kind).unwrap();
        observatory.add(&model, &batch).unwrap();
        let (gradients, activity) = (surveyor.gradients(&model, &batch).unwrap(), observatory.activity());
        let evidence = Evidence { gradients: &gradients, activity: Some(&activity) };
        for (score, name) in [
            (Score::Taylor, "taylor"),
            (Score::Activation, "activation"),
            (Score::Contribution, "contribution"),
        ] {
            for (module, own) in scores(&model, score, evidence, || 0.0).unwrap() {
                let what = format!("{name}/{module}");
                assert_relative(&format!("{family} {what}"), &own, &expected.tensors[&what].data, TOLERANCE);
            }
        }
    }
}

fn start(score: StartScore, selection: Selection) -> MimiOptions {
    let score = Score::Start(score);
    MimiOptions { score, selection, init: score.init(), target: Target::Sigma(16.0), ..mimi() }
}

const START: [StartScore; 3] = [StartScore::Snip, StartScore::Grasp, StartScore::Magnitude];

fn read(world: &World, report: &Outcome) -> Pack {
    pack::read(&report.folder, &world.tiny.config).unwrap().0
}

/// Elements of a pack's matrices that are not zero.
fn nonzero(pack: &Pack) -> usize {
    let matrices = pack.weights.values().flat_map(|own| [Part::Down, Part::Up].map(|part| own.part(part)));
    matrices.flatten().filter(|value| **value != 0.0).count()
}

#[test]
fn masks_keep_an_exact_share_of_the_weights_to_the_end() {
    for score in START {
        let (world, data) = (World::new(), tempfile::tempdir().unwrap());
        dataset(data.path());
        let options = start(score, Selection::Unstructured);
        let report = run(&world, &task(&world, data.path(), options.clone()));
        let pack = read(&world, &report);
        // Six adapters of 12 neurons with 96 weights each; two prunings by half.
        assert_eq!(nonzero(&pack), 6 * 12 * 96 / 4, "{score:?}");
        assert_eq!((report.cycles.len(), report.cycles[0].neurons), (1, 72), "trained once, nothing removed");
        assert_eq!(report.cycles[0].adapter_parameters, 6 * 12 * 96 / 4);
        assert_eq!(pack.weights.values().map(|own| own.width).sum::<usize>(), 72);
        assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out, "{score:?}");
        let target = Target::Parameters(1000);
        let fewer = run(&world, &task(&world, data.path(), MimiOptions { target, ..options }));
        assert_eq!(nonzero(&read(&world, &fewer)), 6 * 12 * 96 / 8, "{score:?}");
    }
}

#[test]
fn neurons_go_before_training_and_the_cost_with_them() {
    for score in START {
        for selection in [Selection::Global, Selection::Local] {
            let (world, data) = (World::new(), tempfile::tempdir().unwrap());
            dataset(data.path());
            let report = run(&world, &task(&world, data.path(), start(score, selection)));
            let pack = read(&world, &report);
            assert_eq!(pack.weights.values().map(|own| own.width).sum::<usize>(), 18, "{score:?}");
            assert_eq!(report.cycles.len(), 1);
            assert_eq!((report.cycles[0].neurons, report.cycles[0].flops), (18, pack.flops));
            assert_eq!(report.cycles[0].adapter_parameters, nonzero(&pack));
            assert_eq!(
                served_accuracy(&world, &report, data.path()),
                report.accuracies.held_out,
                "{score:?}"
            );
        }
    }
}

/// Ends as if not interrupted after an epoch.
fn resumes(world: &World, data: &Path, options: MimiOptions, cycle: usize) {
    let options = task(world, data, options);
    let whole = run(world, &options);
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        train(&setup(world), &options, &mut |progress| {
            let stop = matches!(progress, Progress::Step(step) if (step.cycle, step.epoch) == (cycle, 1));
            assert!(!stop, "stopped by the test");
        })
    }));
    assert!(stopped.is_err() && options.checkpoint.exists());
    let resumed = run(world, &TaskOptions { resume: true, ..options });
    assert_eq!(read(world, &whole).weights, read(world, &resumed).weights);
}

#[test]
fn an_interrupted_training_ends_as_it_would_have_under_every_score() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    for score in START {
        resumes(&world, data.path(), start(score, Selection::Unstructured), 0);
        resumes(&world, data.path(), start(score, Selection::Global), 0);
    }
    for score in [Score::Taylor, Score::Activation, Score::Contribution] {
        let target = Target::Sigma(8.0);
        resumes(&world, data.path(), MimiOptions { score, target, epochs: 2, ..mimi() }, 1);
    }
}

#[test]
fn scores_keep_different_neurons() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let kept = |score| {
        let options = MimiOptions { score, target: Target::Sigma(8.0), epochs: 2, ..mimi() };
        let pack = read(&world, &run(&world, &task(&world, data.path(), options)));
        let widths =
            pack.weights.iter().map(|(module, own)| (*module, own.width)).collect::<Vec<(Module, _)>>();
        assert_eq!(widths.iter().map(|(_, width)| width).sum::<usize>(), 36, "{score:?}");
        pack.weights
    };
    let all = [
        Score::default(),
        Score::Product(mimi_server::train::Normaliser::None),
        Score::Taylor,
        Score::Activation,
        Score::Contribution,
    ]
    .map(kept);
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| one != other), "score {i}");
    }
}

#[test]
fn what_cannot_be_scored_before_training_is_refused_with_the_reason() {
    let tiny = TinyBackbone::new();
    let refusal = |options: MimiOptions| options.check(&tiny.config).unwrap_err().to_string();
    for score in START {
        let own = start(score, Selection::Global);
        own.check(&tiny.config).unwrap();
        let zeros = refusal(MimiOptions { init: Init::Identity, ..own.clone() });
        assert!(zeros.contains("second matrix of zeros"), "{zeros}");
        let adaptation = Adaptation::named("lora").unwrap();
        let settings = adaptation.settings().unwrap();
        let lora = MimiOptions { adaptation, settings, ..own.clone() };
        assert!(refusal(lora).contains("lora would begin with a second matrix of zeros"));
        let accuracy = refusal(MimiOptions { target: Target::Accuracy(0.9), ..own });
        assert!(accuracy.contains("once, before training"), "{accuracy}");
    }
    let weights = refusal(MimiOptions { selection: Selection::Unstructured, ..mimi() });
    assert!(weights.contains("select neurons"), "{weights}");
}
