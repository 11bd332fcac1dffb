//! Fine-tuning of the backbone: PyTorch's gradients of every weight, the papers' counts, and its refusals.

use mimi_server::backbone::{BackboneConfig, Precision};
use mimi_server::graph::flat::{BEFORE, GRADIENTS, Layout, Made, PARAMETERS, Piece, Tie, flat};
use mimi_server::graph::training::{Loss, gradient_output};
use mimi_server::graph::{Fact, Graph, ParameterName};
use mimi_server::runtime::Input;
use mimi_server::train::{
    DeviceTuner, FinetuneOptions, Learner, Minibatch, Parameter, Parameters, StepInput, StepOptions, Subset,
    Tuned, Tuner,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::device_state::{RATES, all, apart, batch};
use crate::support::{FAMILIES, Fixture, TinyBackbone, command};

/// Largest difference, relative to the largest element.
const TOLERANCE: f32 = 1e-4;

/// A recipe without dropped paths.
fn plain(subset: Subset) -> FinetuneOptions {
    let own = FinetuneOptions::of(subset).unwrap();
    let step = StepOptions { drop_path: 0.0, ..own.step };
    FinetuneOptions { step, ..own }
}

/// The head of a methods fixture, `[D, C]`.
fn head(fixture: &Fixture) -> Parameters {
    let [weight, bias] = ["head.weight", "head.bias"].map(|name| fixture.tensors[name].clone());
    let [classes, width] = weight.shape[..] else { panic!("{:?}", weight.shape) };
    let turned = (0..classes * width).map(|i| weight.data[(i % classes) * width + i / classes]).collect();
    let mut head = Parameters::default();
    head.insert(ParameterName::HeadWeight, Parameter::new(vec![width, classes], turned));
    head.insert(ParameterName::HeadBias, Parameter::new(bias.shape, bias.data));
    head
}

#[test]
fn every_weights_gradient_is_pytorchs() {
    for family in ["vit", "swin", "cvt"] {
        let fixture = Fixture::named(&format!("methods_{family}"));
        let tiny = TinyBackbone::from(&fixture.name);
        // A checkpoint of gradients: imported, they lie as the weights do.
        let expected = TinyBackbone::from(&format!("tuned_{family}")).store();
        let resident = tiny.resident();
        let (pixels, targets) = (&fixture.tensors["input/pixels"], &fixture.tensors["input/targets"]);
        let batch = Minibatch {
            shape: pixels.shape.clone(),
            values: pixels.data.clone(),
            targets: targets.data.clone(),
            classes: vec![0; pixels.shape[0]],
        };
        for subset in Subset::ALL {
            let options = plain(subset);
            let mut tuned = Tuned::new(&resident, 5, &options).unwrap();
            tuned.head.parameters = head(&fixture);
            let at = StepInput { block: 0, loss: Loss::CrossEntropy, micro_batch: 1 };
            let mut tuner = Tuner::new(&resident, tuned, &options, at).unwrap();
            let found = tuner.gradients(&batch, &mut ChaCha8Rng::seed_from_u64(0)).unwrap().gradients;
            assert_eq!(found.len(), tuner.tuned().weights.len() + 2);
            for (name, weight) in &tuner.tuned().weights {
                let (own, wanted) = (weight.elements_of(&found[name]), expected.read(name).unwrap());
                assert_eq!(own.len(), wanted.len(), "{family} {name}");
                let largest = wanted.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                for (a, b) in own.iter().zip(&wanted) {
                    let difference = (a - b).abs();
                    assert!(
                        difference <= TOLERANCE * largest + 1e-7,
                        "{family} {name}: {a} and {b} of {largest}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_backbones_own_weights_learn_on_the_device() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let (resident, batch) = (tiny.resident(), batch(&tiny));
        for subset in Subset::ALL {
            let own = FinetuneOptions::of(subset).unwrap();
            let options = FinetuneOptions { step: StepOptions { clip: 0.5, ..own.step }, ..own };
            let tuned = Tuned::new(&resident, 3, &options).unwrap();
            let at = StepInput { block: 0, loss: Loss::CrossEntropy, micro_batch: 2 };
            let mut host = Tuner::new(&resident, tuned.clone(), &options, at).unwrap();
            let mut device = DeviceTuner::new(&resident, tuned.clone(), &options, at).unwrap();
            let mut randoms = [(); 2].map(|()| ChaCha8Rng::seed_from_u64(3));
            let what = format!("{fixture}, {}", subset.name());
            for rates in RATES.chunks(4) {
                let mut learning = device.learn().unwrap();
                for &rate in rates {
                    let expected = host.step(&batch, (rate, &mut randoms[0])).unwrap().seen;
                    let found = learning.step(&batch, (rate, &mut randoms[1])).unwrap().seen;
                    assert!((found.loss - expected.loss).abs() < 1e-3, "{what}: {found:?} {expected:?}");
                }
                learning.finish().unwrap();
            }
            let (device, host) = (device.into_tuned(), host.into_tuned());
            // A key's bias changes no attention: its gradient is what rounding leaves, of which AdamW makes steps.
            let own = host
                .weights
                .iter()
                .filter(|(name, _)| !(name.contains(".attn.k_") && name.ends_with(".bias")));
            for (name, weight) in own {
                let (found, before) = (&device.weights[name], &tuned.weights[name]);
                let far = apart(found.elements(), weight.elements());
                assert!(far < 2e-3, "{what}, {name}: {far}");
                let moved = apart(before.elements(), weight.elements());
                assert!(far < moved / 20.0, "{what}, {name}: {far} apart, {moved} moved");
            }
            let [found, wanted] = [&device, &host].map(|one| all(&one.head, |own| &own.values));
            assert!(apart(&found, &wanted) < 1e-3, "{what}: head");
        }
    }
}

#[test]
fn elements_that_are_one_number_are_expanded_and_their_gradients_summed() {
    let (name, shape) = ("blocks.0.attn.position_bias", vec![2, 2, 3]);
    let mut g = Graph::new("tied");
    let bias = g.input(name, Fact::fixed(&shape)).unwrap();
    g.output("loss", bias);
    // The gradient of each element is what it is.
    g.output(gradient_output(name), bias);
    // Two groups of three numbers, of which the second is three elements.
    let made = Made::Tied(Tie::new(2, vec![1, 0, 1, 2, 1, 0]));
    let layout = Layout::new([Piece { name: name.into(), shape, made }]);
    let mut program = TinyBackbone::new().resident().compile(&flat(&g, &layout).unwrap()).unwrap();
    let (numbers, before) = ([1.0, 2.0, 3.0, 10.0, 20.0, 30.0], [0.5; 6]);
    let inputs = [(PARAMETERS, &numbers), (BEFORE, &before)];
    let inputs = inputs.map(|(name, data)| Input { name, shape: &[6], data });
    let mut outputs = program.run_named(&inputs).unwrap();
    let elements = [2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 20.0, 10.0, 20.0, 30.0, 20.0, 10.0];
    assert_eq!(outputs.take("loss").unwrap().data, elements);
    let sums = [2.0, 6.0, 3.0, 20.0, 60.0, 30.0].map(|sum| sum + 0.5);
    assert_eq!(outputs.take(GRADIENTS).unwrap().data, sums);
}

#[test]
fn parameters_are_those_of_the_papers() {
    let counts = |config: &BackboneConfig| Subset::ALL.map(|subset| subset.parameters(config, 0).unwrap());
    assert_eq!(counts(&crate::methods::vit_b16()), [85_798_656, 28_348_416, 56_669_184]);
    assert_eq!(counts(&crate::swin::swin_t()), [27_519_354, 8_667_162, 17_274_432]);
}

#[test]
fn what_begins_late_trains_the_blocks_from_there_on() {
    let config = crate::methods::vit_b16();
    let late = |subset: Subset, first| subset.parameters(&config, first).unwrap();
    assert_eq!(late(Subset::Attention, 9), 28_348_416 / 4);
    assert_eq!(late(Subset::Mlp, 9), 56_669_184 / 4);
    // A quarter of the blocks, each with two norms, and the last norm.
    assert_eq!(late(Subset::Full, 9), (28_348_416 + 56_669_184) / 4 + 3 * 4 * 768 + 2 * 768);
    let weights = Subset::Full.weights(&config, 9).unwrap();
    assert!(weights.keys().all(|name| name.starts_with("blocks.") || name.starts_with("norm.")));
}

#[test]
fn weights_that_are_not_floats_are_refused() {
    let tiny = TinyBackbone::new();
    let options = FinetuneOptions::of(Subset::Full).unwrap();
    options.check(&tiny.config, Precision::Fp32).unwrap();
    let error = options.check(&tiny.config, Precision::Int8).unwrap_err().to_string();
    assert!(error.contains("use --precision fp32"), "{error}");
}

#[test]
fn no_pack_is_made_and_the_reason_is_told() {
    for subset in Subset::ALL {
        let run = command(&["train-task", "--task", "a", "--data", ".", "--method", subset.name()])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success());
        assert!(told.contains("changes the backbone's own weights") && told.contains("compare"), "{told}");
    }
}
