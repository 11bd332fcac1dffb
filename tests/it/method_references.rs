//! Modules against PyTorch: what a method serves gives the library's logits, and gradients are autograd's.

use std::collections::BTreeMap;

use mimi_server::backbone::{Module, ModuleSet, Part};
use mimi_server::graph::training::{LOGITS, LOSS, TARGETS, gradient_output, training_graph};
use mimi_server::graph::{Direct, ParameterName, Plan};

use crate::gradients::{Named, Runner};
use crate::support::{Fixture, Tensor, TinyBackbone};

/// Largest difference, relative to the largest element.
const TOLERANCE: f32 = 1e-4;

/// The methods of a fixture whose modules this server computes.
const METHODS: [&str; 13] = [
    "adapters",
    "adapter_plus",
    "bitfit",
    "ssf",
    "phm",
    "compacter",
    "compacter_unshared",
    "adaptformer",
    "lora",
    "vera",
    "lora_all",
    "vpt_deep",
    "vpt_shallow",
];

/// The served tensors of a method, as inputs of a training graph.
fn served(fixture: &Fixture, method: &str) -> Option<(ModuleSet, Named)> {
    let (mut modules, mut tensors) = (Vec::new(), Named::new());
    for (name, tensor) in fixture.under(&format!("{method}/served/")) {
        let (module, part) = name.rsplit_once('.').unwrap();
        if module.starts_with("norm.") {
            continue;
        }
        let (module, part) = (Module::parse(module)?, Part::parse(part)?);
        // A vector has a 1 before it, where a batch has rows.
        let shape = if part.is_matrix() { tensor.shape } else { [vec![1], tensor.shape].concat() };
        modules.push(module);
        tensors.insert(ParameterName::Module(module, part).to_string(), Tensor { shape, data: tensor.data });
    }
    (!modules.is_empty()).then(|| (modules.into_iter().collect(), tensors))
}

pub fn transposed(tensor: &Tensor) -> Tensor {
    let [rows, columns] = tensor.shape[..] else { panic!("{:?}", tensor.shape) };
    let data = (0..rows * columns).map(|i| tensor.data[(i % rows) * columns + i / rows]).collect();
    Tensor { shape: vec![columns, rows], data }
}

/// The head, `[D, C]`, with what a method does behind the last norm folded in: `W (γ ⊙ x + β) + b`.
fn head(fixture: &Fixture, method: &str) -> (Tensor, Tensor) {
    let mut weight = transposed(&fixture.tensors["head.weight"]);
    let mut bias = fixture.tensors["head.bias"].clone();
    let own = fixture.under(&format!("{method}/served/norm."));
    let part = |part: &str| own.iter().find(|(name, _)| name.ends_with(part)).map(|(_, tensor)| &tensor.data);
    let classes = bias.data.len();
    for (d, row) in weight.data.chunks_mut(classes).enumerate() {
        let shift = part("shift").map_or(0.0, |shift| shift[d]);
        let scale = part("scale").map_or(1.0, |scale| scale[d]);
        bias.data.iter_mut().zip(row).for_each(|(bias, w)| {
            *bias += *w * shift;
            *w *= scale;
        });
    }
    (weight, bias)
}

pub fn assert_relative(name: &str, found: &[f32], expected: &[f32]) {
    assert_near(name, found, expected, largest(expected));
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Compares elements relative to the largest of what they are sums of.
fn assert_near(name: &str, found: &[f32], expected: &[f32], largest: f32) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= TOLERANCE * largest + 1e-7, "{name}: {a} and {b}, largest {largest}");
    }
}

#[test]
fn served_modules_give_pytorchs_logits_and_gradients() {
    let mut checked = BTreeMap::new();
    for family in ["vit", "swin", "cvt"] {
        let name = format!("methods_{family}");
        let (fixture, tiny) = (Fixture::named(&name), TinyBackbone::from(&name));
        for method in METHODS {
            let Some((modules, mut tensors)) = served(&fixture, method) else { continue };
            let plan = Plan::whole(&tiny.config, modules);
            let graph = training_graph(&tiny.config, &plan, Direct::TRAINED).unwrap();
            let own = tensors.keys().cloned().collect::<Vec<_>>();
            let (weight, bias) = head(&fixture, method);
            tensors.insert("head.weight".into(), weight);
            tensors.insert("head.bias".into(), bias);
            tensors.insert("pixels".into(), fixture.tensors["input/pixels"].clone());
            let targets = &fixture.tensors["input/targets"];
            let rows = targets.shape[0] as f32;
            let weighted = targets.data.iter().map(|t| t / rows).collect();
            tensors.insert(TARGETS.into(), Tensor { shape: targets.shape.clone(), data: weighted });
            let outputs = Runner::new(&tiny.store(), &graph).run(&tensors);
            let expect = |what: &str| &fixture.tensors[&format!("{method}/{what}")].data;
            let label = |what: &str| format!("{family} {method} {what}");
            assert_relative(&label("logits"), &outputs[LOGITS].data, expect("expect/logits"));
            assert_relative(&label("loss"), &outputs[LOSS].data, expect("expect/loss"));
            for input in &own {
                let gradient = &outputs[&gradient_output(input)].data;
                // A bias's gradient is a sum over tokens that may all but cancel out, of what its module's matrices are
                // multiplied by: rounding follows theirs.
                let module = input.rsplit_once('.').map_or(&input[..], |(module, _)| module);
                let of_module = own.iter().filter(|other| other.starts_with(module));
                let largest = of_module.map(|other| largest(expect(&format!("grad_served/{other}"))));
                let largest = largest.fold(0.0, f32::max);
                assert_near(&label(input), gradient, expect(&format!("grad_served/{input}")), largest);
            }
            checked.entry(method).or_insert(Vec::new()).push(family);
        }
    }
    assert_eq!((&checked["vpt_deep"][..], &checked["vpt_shallow"][..]), (&["vit", "swin"][..], &["vit"][..]));
    for method in ["adapters", "adapter_plus", "bitfit", "ssf", "phm", "compacter", "adaptformer", "lora"] {
        assert_eq!(checked[method], ["vit", "swin", "cvt"], "{method}");
    }
}
