//! Packs at few bits a weight: codes and gradients as others compute them, small on disk, served as measured, refused when wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mimi_server::backbone::Part;
use mimi_server::graph::flat::{BEFORE, GRADIENTS, Layout, Made, PARAMETERS, Piece, flat};
use mimi_server::graph::training::{Loss, gradient_output};
use mimi_server::graph::{Direct, Fact, Graph, ParameterName, Trained};
use mimi_server::inspect;
use mimi_server::pack::{self, Base, Bits, CONFIG_FILE, Small, StoredBits, WEIGHTS_FILE, read_stored};
use mimi_server::runtime::Input;
use mimi_server::train::{
    Around, Evidence, Gradients, Init, LinearOptions, Method, MimiOptions, Minibatch, Model, Outcome, State,
    StepOptions, Stepper, Target, TaskOptions, scores, train,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::mimi::{mimi, run, served_accuracy, task};
use crate::server::World;
use crate::support::{Random, TinyBackbone, fixtures};
use crate::train::{dataset, options, setup};

fn reference() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixtures().join("small.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn codes(value: &Value) -> Vec<u8> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u8).collect()
}

fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let most = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let far = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far <= 2e-6 * most, "{what}: {far} of {most}");
}

#[test]
fn codes_scales_and_bytes_are_numpys() {
    let reference = reference();
    for case in reference["cases"].as_array().unwrap() {
        let bits = Bits::try_from(case["bits"].as_u64().unwrap() as u8).unwrap();
        let (down, outputs) = (numbers(&case["down"]), reference["outputs"].as_u64().unwrap() as usize);
        let small = Small::of(&down, outputs, bits);
        assert_eq!(small.codes, codes(&case["codes"]), "{bits:?}");
        close("scales", &small.scales, &numbers(&case["scales"]));
        close("weights", &small.expand().unwrap(), &numbers(&case["weights"]));
        let bytes = small.by_output();
        assert_eq!(bytes, codes(&case["bytes"]), "{bits:?}");
        let inputs = down.len() / outputs;
        let again = Small::from_outputs(&bytes, (inputs, outputs), (bits, small.scales.clone())).unwrap();
        assert_eq!(again, small, "{bits:?}");
    }
    let (head, outputs) = (&reference["head"], reference["outputs"].as_u64().unwrap() as usize);
    let small = Small::of_head(&numbers(&head["values"]), outputs);
    assert_eq!(small.codes, codes(&head["codes"]));
    close("scales of classes", &small.scales, &numbers(&head["scales"]));
    close("weights of classes", &small.expand().unwrap(), &numbers(&head["weights"]));
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let read = |bytes: &[u8], sizes, scales: Vec<f32>| {
        Small::from_outputs(bytes, sizes, (Bits::Eight, scales)).unwrap_err()
    };
    assert!(read(&[0; 5], (2, 3), vec![1.0]).contains("5 bytes, expected 6 of 6 codes"));
    assert!(read(&[0; 7], (2, 3), vec![1.0]).contains("7 bytes"));
    assert!(read(&[0; 6], (2, 3), vec![1.0; 2]).contains("6 codes and 2 scales for 3 outputs at 8 bits"));
    assert!(read(&[], (0, 0), vec![1.0]).contains("0 outputs"));
    assert!(read(&[0; 6], (usize::MAX, 3), vec![1.0]).contains("codes"));
    let good = Small::of(&[0.5, -1.0, 2.0, 0.1], 2, Bits::Two);
    let told = |small: Small| small.expand().unwrap_err();
    assert!(told(Small { scales: vec![], ..good.clone() }).contains("0 scales"));
    assert!(
        told(Small { codes: vec![0, 1, 4, 0], ..good.clone() }).contains("code 2 is 4, expected at most 3")
    );
    assert!(told(Small { outputs: 3, ..good }).contains("4 codes"));
}

/// Gradients of `½ Σ (x + tanh(x d) u − t)²` at matrices as they are.
fn gradients(reference: &Value, d: &[f32], u: &[f32]) -> [Vec<f32>; 2] {
    let size = |key: &str| reference[key].as_u64().unwrap() as usize;
    let (inputs, outputs, rows) = (size("inputs"), size("outputs"), size("rows"));
    let (x, t) = (numbers(&reference["x"]), numbers(&reference["target"]));
    let (mut down, mut up) = (vec![0.0; d.len()], vec![0.0; u.len()]);
    for row in 0..rows {
        let at = |i: usize| x[row * inputs + i];
        let z: Vec<f32> = (0..outputs)
            .map(|o| (0..inputs).map(|i| at(i) * d[i * outputs + o]).sum::<f32>().tanh())
            .collect();
        let error: Vec<f32> = (0..inputs)
            .map(|i| {
                at(i) + (0..outputs).map(|o| z[o] * u[o * inputs + i]).sum::<f32>() - t[row * inputs + i]
            })
            .collect();
        for o in 0..outputs {
            let back: f32 =
                (0..inputs).map(|i| error[i] * u[o * inputs + i]).sum::<f32>() * (1.0 - z[o] * z[o]);
            for i in 0..inputs {
                up[o * inputs + i] += error[i] * z[o];
                down[i * outputs + o] += at(i) * back;
            }
        }
    }
    [down, up]
}

#[test]
fn a_gradient_straight_through_is_that_at_the_rounded_weights() {
    let reference = reference();
    let size = |key: &str| reference[key].as_u64().unwrap() as usize;
    for case in reference["cases"].as_array().unwrap() {
        let bits = Bits::try_from(case["bits"].as_u64().unwrap() as u8).unwrap();
        let rounded = |key: &str, outputs| Small::of(&numbers(&case[key]), outputs, bits).expand().unwrap();
        let (d, u) = (rounded("down", size("outputs")), rounded("up", size("inputs")));
        let [down, up] = gradients(&reference, &d, &u);
        let near = |what: &str, found: &[f32]| {
            let expected = numbers(&case[what]);
            let most = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4 * most), "{bits:?} {what}");
        };
        near("down_gradient", &down);
        near("up_gradient", &up);
    }
}

#[test]
fn a_weight_that_is_no_number_stays_none_at_any_bits() {
    for bits in [Bits::One, Bits::Two, Bits::Four, Bits::Eight] {
        let weights = Small::of(&[f32::NAN, 1.0, 2.0, -1.0], 2, bits).expand().unwrap();
        assert!(weights.iter().any(|weight| weight.is_nan()), "{bits:?}: {weights:?}");
    }
    let weights = Small::of_head(&[f32::NAN, 1.0, 2.0, -1.0], 2).expand().unwrap();
    assert!(weights[0].is_nan() && weights[2].is_nan(), "{weights:?}");
    assert!((weights[1] - 1.0).abs() < 1e-6 && (weights[3] + 1.0).abs() < 1e-6, "{weights:?}");
}

/// At one bit all weights of a matrix have one magnitude, so that what is served cannot tell strong neurons from weak ones.
#[test]
fn a_cut_at_one_bit_keeps_what_the_weights_behind_it_say() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let bits = StoredBits { adapters: Some(Bits::One), head: None };
    // Steps so small that first values stay.
    let own = MimiOptions { bits, rate: 1e-12, epochs: 1, target: Target::Sigma(8.0), ..mimi() };
    let model = State::new(&world.tiny.config, 3, &own).model;
    let kept = |model: &Model| -> BTreeMap<String, usize> {
        let none = Gradients::default();
        let evidence = Evidence { gradients: &none, activity: None };
        let scores = scores(model, own.score, evidence, || 0.0).unwrap();
        let mut all: Vec<_> = scores
            .iter()
            .flat_map(|(module, own)| own.iter().map(|score| (*score, module.site.to_string())))
            .collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.truncate(all.len() / 2);
        let mut widths = BTreeMap::new();
        all.into_iter().for_each(|(_, site)| *widths.entry(site).or_default() += 1);
        widths
    };
    let outcome = run(&world, &task(&world, data.path(), own.clone()));
    assert_eq!(outcome.cycles.len(), 2);
    assert_eq!(outcome.cycles[1].widths, kept(&model));
    assert_ne!(kept(&model), kept(&model.kept_at(bits)), "what is served would keep others");
}

#[test]
fn rounding_twice_at_eight_bits_changes_nothing_and_zeros_stay() {
    let values: Vec<f32> = (0..60).map(|i| ((i * 37 % 101) as f32 - 50.0) / 17.0).collect();
    let once = Small::of(&values, 5, Bits::Eight).expand().unwrap();
    let again = Small::of(&once, 5, Bits::Eight).expand().unwrap();
    close("again", &again, &once);
    let worst = values.iter().zip(&once).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 3.0 / 127.0 / 2.0 + 1e-6, "{worst}: half a step");
    for bits in Bits::ALL {
        let of = |value: f32| Small::of(&[value; 12], 3, bits).expand().unwrap();
        assert!(of(0.0).iter().all(|value| *value == 0.0), "{bits:?}");
        assert_eq!(of(2.5)[0], 2.5, "{bits:?}: one value is kept");
    }
    // A matrix of few distinct, evenly likely values is halved by its mean.
    let halves = Small::of(&[-1.0, 1.0, -1.0, 1.0], 2, Bits::One).expand().unwrap();
    assert_eq!(halves[..2], [-0.674_489_74, 0.674_489_74]);
}

fn few(adapters: Bits) -> MimiOptions {
    let bits = StoredBits { adapters: Some(adapters), head: Some(Bits::Eight) };
    MimiOptions { bits, target: Target::Sigma(8.0), epochs: 6, init: Init::Identity, ..mimi() }
}

fn weights(folder: &std::path::Path) -> u64 {
    std::fs::metadata(folder.join(WEIGHTS_FILE)).unwrap().len()
}

#[test]
fn a_pack_at_few_bits_is_served_as_it_was_measured_and_small() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let whole = run(
        &world,
        &task(&world, data.path(), MimiOptions { bits: StoredBits::default(), ..few(Bits::One) }),
    );
    let base = Base::new(world.tiny.config.clone()).unwrap();
    let mut before = weights(&whole.folder);
    for bits in [Bits::Eight, Bits::Four, Bits::Two, Bits::One] {
        let report = run(&world, &task(&world, data.path(), few(bits)));
        assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out, "{bits:?}");
        assert!(report.accuracies.train > 0.6, "{bits:?} learns: {:?}", report.accuracies);
        let size = weights(&report.folder);
        assert!(size < before, "{bits:?}: {size} of {before}");
        before = size;
        let (stored, test) = read_stored(&report.folder, &base).unwrap();
        assert_eq!((stored.manifest.format_version, test.images.len()), (3, 2));
        let told = inspect::pack(&stored, &world.tiny.config).unwrap();
        let line = format!("bits a weight     adapters {}, head 8, expanded", bits.count());
        assert!(told.contains(&line), "{told}");
        let pack = stored.pack(&base).unwrap();
        let values = pack.weights.values().next().unwrap().part(Part::Down);
        let mut levels: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        levels.sort_unstable();
        levels.dedup();
        assert!(bits == Bits::Eight || levels.len() <= 1 << bits.count(), "{bits:?}: {}", levels.len());
    }
}

#[test]
fn training_at_few_bits_repeats_and_resumes_and_a_head_alone_may_be_small() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let bytes = |report: &Outcome| std::fs::read(report.folder.join(WEIGHTS_FILE)).unwrap();
    let own = few(Bits::Two);
    let first = bytes(&run(&world, &task(&world, data.path(), own.clone())));
    assert_eq!(first, bytes(&run(&world, &task(&world, data.path(), own))));
    let head = |head_bits| {
        let linear = LinearOptions { epochs: 40, batch: 8, head_bits, ..LinearOptions::default() };
        let options = TaskOptions { method: Method::Linear(linear), ..options(&world, data.path()) };
        train(&setup(&world), &options, &mut |_| {}).unwrap()
    };
    let (small, whole) = (head(Some(Bits::Eight)), head(None));
    assert!(weights(&small.folder) < weights(&whole.folder));
    assert_eq!(served_accuracy(&world, &small, data.path()), small.accuracies.held_out);
}

#[test]
fn bits_that_do_not_fit_a_method_are_refused() {
    let world = World::new();
    let refused = |options: MimiOptions| format!("{:#}", options.check(&world.tiny.config).unwrap_err());
    let adaptation = mimi_server::train::Adaptation::named("lora").unwrap();
    let lora = MimiOptions { bits: few(Bits::One).bits, ..MimiOptions::of(adaptation).unwrap() };
    assert!(refused(lora).contains("lora keeps its own tensors"));
    let head = StoredBits { adapters: None, head: Some(Bits::Two) };
    assert!(refused(MimiOptions { bits: head, ..mimi() }).contains("at 8 bits a weight, not 2"));
    assert!(Bits::try_from(3).unwrap_err().contains("3 bits a weight: expected 1, 2, 4 or 8"));
}

/// A model of plain adapters of one neuron for each of the tiny backbone's sites.
fn narrow(world: &World) -> (MimiOptions, Model) {
    let options = MimiOptions { sigma: 48.0, init: Init::Normal, target: Target::Never, ..few(Bits::Eight) };
    let model = State::new(&world.tiny.config, 3, &options).model;
    (options, model)
}

#[test]
fn bytes_of_adapters_are_a_quarter_at_eight_bits_even_of_one_neuron() {
    let world = World::new();
    let (options, model) = narrow(&world);
    let matrices = 2 * model.widths().len() as u64;
    let elements: u64 = matrices * 48;
    let whole = model.adapter_bytes();
    assert!(whole >= 4 * elements, "{whole}");
    let bytes =
        |adapters| model.kept_at(StoredBits { adapters: Some(adapters), ..options.bits }).adapter_bytes();
    let rest = whole - 4 * elements;
    assert_eq!(bytes(Bits::Eight), rest + elements + 4 * matrices);
    assert_eq!(bytes(Bits::Four), rest + elements / 2 + 8 * matrices);
    assert_eq!(bytes(Bits::One), rest + elements / 8 + 8 * matrices);
}

#[test]
fn a_step_goes_straight_through_the_rounding() {
    let (world, bits) = (World::new(), StoredBits { adapters: Some(Bits::Two), head: Some(Bits::Eight) });
    let (options, model) = narrow(&world);
    let resident = world.tiny.resident();
    let shape = [vec![3], world.tiny.config.input_shape(0)].concat();
    let values = (0..shape.iter().product()).map(|at: usize| (at % 17) as f32 / 8.0 - 1.0).collect();
    let targets = vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let batch = Minibatch { shape, values, targets, classes: vec![0, 1, 2] };
    let step = StepOptions { drop_path: 0.0, ..options.step };
    let trained = Trained { express: &Direct, loss: Loss::CrossEntropy, drops_paths: false };
    let around = |bits| Around { bits, ..Around::default() };
    let gradients = |bits, model: &Model| {
        let mut stepper = Stepper::new(&resident, 0, model, trained, step).unwrap().with(around(bits));
        stepper.gradients(model, &batch, &mut ChaCha8Rng::seed_from_u64(0)).unwrap().gradients
    };
    let through = gradients(bits, &model);
    assert_eq!(through, gradients(StoredBits::default(), &model.kept_at(bits)), "those at rounded weights");
    assert_ne!(through, gradients(StoredBits::default(), &model), "not those at the others");
    let mut stepped = model.clone();
    let mut stepper = Stepper::new(&resident, 0, &model, trained, step).unwrap().with(around(bits));
    stepper.step(&mut stepped, &batch, (1e-6, &mut ChaCha8Rng::seed_from_u64(0))).unwrap();
    for (name, own) in stepped.parameters.iter() {
        let before = &model.parameters.get(name).unwrap().values;
        let far = own.values.iter().zip(before).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-5, "{name} moved by {far}: what is trained is never rounded");
    }
}

/// A file's tensors: type, shape and bytes by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(file: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(file).unwrap();
    file.iter()
        .map(|(name, v)| (name.to_owned(), (v.dtype(), v.shape().to_vec(), v.data().to_vec())))
        .collect()
}

/// A written pack at two bits, its head at eight.
struct Kept {
    world: World,
    folder: PathBuf,
}

impl Kept {
    fn new() -> Self {
        let world = World::new();
        let options = MimiOptions { init: Init::Normal, ..few(Bits::Two) };
        let model = State::new(&world.tiny.config, 3, &options).model.kept_at(options.bits);
        let head = model.head().unwrap();
        let contents = pack::Contents {
            weights: model.weights(),
            small: model.small.clone(),
            head_weight: head.weight.iter().copied().collect(),
            head_bias: head.bias.to_vec(),
            ..world.tiny.contents(1, &[], 3)
        };
        let folder = world.publish("few", &contents);
        // Values that are not what the codes say are no pack.
        let mut other = contents.clone();
        other.head_weight[0] += 1.0;
        let error = pack::write(&world.task("other"), &other, &world.tiny.config).unwrap_err().to_string();
        assert!(error.contains("head.weight is not what its codes expand to"), "{error}");
        let mut other = contents.clone();
        let named = ParameterName::HeadBias;
        other.small.insert(named, other.small[&ParameterName::HeadWeight].clone());
        let error = pack::write(&world.task("other"), &other, &world.tiny.config).unwrap_err().to_string();
        assert!(error.contains("kept whole"), "{error}");
        Self { world, folder }
    }

    fn read(&self) -> Result<pack::Pack, pack::Error> {
        pack::read(&self.folder, &self.world.tiny.config).map(|(pack, _)| pack)
    }

    /// Why the pack cannot be read with a changed manifest and changed tensors. Both files are put back.
    fn refused(&self, manifest: impl FnOnce(&mut Value), change: impl FnOnce(&mut Tensors)) -> String {
        let (config, file) = (self.folder.join(CONFIG_FILE), self.folder.join(WEIGHTS_FILE));
        let before = (std::fs::read(&config).unwrap(), std::fs::read(&file).unwrap());
        let mut tensors = tensors(&before.1);
        change(&mut tensors);
        let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        std::fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
        let mut json: Value = serde_json::from_slice(&before.0).unwrap();
        let digest = Sha256::digest(std::fs::read(&file).unwrap());
        json["weights_sha256"] = digest.iter().map(|b| format!("{b:02x}")).collect::<String>().into();
        manifest(&mut json);
        std::fs::write(&config, json.to_string()).unwrap();
        let error = self.read().map(|_| "it was read").unwrap_or_default();
        let told = self.read().err().map_or(error.to_owned(), |error| error.to_string());
        std::fs::write(&config, before.0).unwrap();
        std::fs::write(&file, before.1).unwrap();
        told
    }
}

#[test]
fn hostile_manifests_at_few_bits_are_refused_by_name() {
    let kept = Kept::new();
    kept.read().unwrap();
    let refused = |change: &dyn Fn(&mut Value)| kept.refused(change, |_| ());
    let bits = |bits: Value| refused(&move |json: &mut Value| json["stored_bits"] = bits.clone());
    for (told, words) in [
        (bits(json!({"adapters": 3, "head": 8})), "3 bits a weight"),
        (bits(json!({"adapters": 2, "head": 4})), "stored_bits.head"),
        (bits(json!({"adapters": 2, "heads": 8})), "heads"),
        (bits(json!({"adapters": 1, "head": 8})), "codes"),
        (bits(json!({"adapters": 4, "head": 8})), "codes"),
        (bits(json!({"head": 8})), "is missing"),
        (bits(json!({"adapters": 2})), "head.weight"),
        (refused(&|json| json["format_version"] = json!(2)), "what only format 3 has"),
        (refused(&|json| json["format_version"] = json!(5)), "this server reads versions 1 to 4"),
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn hostile_tensors_at_few_bits_are_refused_by_name() {
    let kept = Kept::new();
    let refused = |change: &dyn Fn(&mut Tensors)| kept.refused(|_| (), change);
    let key = "blocks.0.attn.adapter.down.weight";
    let (codes, scale) = (format!("{key}.codes"), format!("{key}.scale"));
    let number = |name: &str, index: usize, value: f32| {
        refused(&|all| {
            all.get_mut(name).unwrap().2[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
        })
    };
    let resized = |by: isize| {
        refused(&|all| {
            let (_, shape, bytes) = all.get_mut(&codes).unwrap();
            shape[0] = shape[0].saturating_add_signed(by);
            bytes.resize(shape[0], 0);
        })
    };
    for (told, words) in [
        (number(&scale, 0, f32::NAN), "holds NaN"),
        (number(&scale, 1, f32::INFINITY), "holds inf"),
        (number(&scale, 1, f32::MAX), "expanded"),
        (number(&scale, 1, -1.0), "0 or more"),
        (number("head.weight.scale", 2, -1.0), "0 or more"),
        (resized(1), "codes"),
        (resized(-1), "codes"),
        (refused(&|all| drop(all.remove(&codes))), "is missing"),
        (refused(&|all| drop(all.remove(&scale))), "is missing"),
        (refused(&|all| all.get_mut("head.weight.codes").unwrap().2[0] = 255), "code 0 is 255"),
        (
            refused(&|all| {
                let whole = (Dtype::F32, vec![1], vec![0; 4]);
                all.insert(key.into(), whole);
            }),
            "is not part of a pack",
        ),
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // A mean below zero is a mean.
    assert_eq!(number(&scale, 0, -1.0), "it was read");
}

#[test]
fn bits_behind_the_last_code_must_be_zero() {
    // Three codes of two bits leave two bits of their byte.
    let read = |byte| Small::from_outputs(&[byte], (3, 1), (Bits::Two, vec![0.0, 1.0]));
    assert_eq!(read(0b00_11_10_01).unwrap().codes, [1, 2, 3]);
    assert!(read(0b01_11_10_01).unwrap_err().contains("a bit is set behind its 3 codes"));
}

/// What a graph makes of a vector that holds a matrix `[in, outputs]`.
fn rounded_by_graph(
    tiny: &TinyBackbone,
    values: &[f32],
    outputs: usize,
    (bits, is_head): (Bits, bool),
) -> Vec<f32> {
    let (name, shape) = ("head.weight", vec![values.len() / outputs, outputs]);
    let mut g = Graph::new("rounding");
    let weight = g.input(name, Fact::fixed(&shape)).unwrap();
    g.output("loss", weight);
    g.output(gradient_output(name), weight);
    let made = Made::Rounded(bits.rounding(is_head));
    let layout = Layout::new([Piece { name: name.into(), shape, made }]);
    let mut program = tiny.resident().compile(&flat(&g, &layout).unwrap()).unwrap();
    let (shape, zeros) = ([values.len()], vec![0.0; values.len()]);
    let inputs = [(PARAMETERS, values), (BEFORE, &zeros[..])];
    let inputs = inputs.map(|(name, data)| Input { name, shape: &shape, data });
    program.run_named(&inputs).unwrap().take(GRADIENTS).unwrap().data
}

#[test]
fn graphs_round_as_packs_do() {
    let (tiny, mut random) = (TinyBackbone::new(), Random::new(4));
    let mut matrices = vec![random.floats(60, 1.0), random.floats(60, 1e-3), vec![0.25; 60], vec![0.0; 60]];
    // A column of zeros, one weight far from the others, all of one size, and more of them than fit a sum's last digits.
    matrices.push((0..60).map(|at| if at % 5 == 2 { 0.0 } else { (at as f32).sin() }).collect());
    matrices.push((0..60).map(|at| if at == 7 { 100.0 } else { 0.5 }).collect());
    matrices.push((0..60).map(|at| if at % 2 == 0 { 0.5 } else { -0.5 }).collect());
    matrices.push(random.floats(100_000, 1.0).into_iter().map(|value| value + 3.0).collect());
    for (number, values) in matrices.iter().enumerate() {
        for bits in Bits::ALL {
            let own = rounded_by_graph(&tiny, values, 5, (bits, false));
            let wanted = Small::of(values, 5, bits).expand().unwrap();
            rounds_alike(&format!("matrix {number} at {bits:?}"), &own, &wanted);
        }
        let own = rounded_by_graph(&tiny, values, 5, (Bits::Eight, true));
        rounds_alike(&format!("head {number}"), &own, &Small::of_head(values, 5).expand().unwrap());
    }
}

/// But for weights that lie as near to two levels: one in ten thousand.
fn rounds_alike(what: &str, found: &[f32], expected: &[f32]) {
    let most = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    let near = found.iter().zip(expected).filter(|(a, b)| (**a - **b).abs() <= 1e-5 * most).count();
    let far = found.len() - near;
    assert!(far * 10_000 <= found.len(), "{what}: {far} of {}", found.len());
}
