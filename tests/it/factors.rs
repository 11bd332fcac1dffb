//! Factorised methods: against PyTorch, counted as published, kept small in packs.

use std::collections::BTreeMap;

use mimi_server::adaptation::Kind;
use mimi_server::backbone::{
    Activation, Architecture, BackboneConfig, CvtConfig, CvtStage, FORMAT_VERSION, Form, Part, Place,
    Provenance,
};
use mimi_server::graph::training::{LOGITS, LOSS, Loss, TARGETS, gradient_output, trainable, training_graph};
use mimi_server::graph::{Constant, Express, Graph, ParameterName, Plan, Trained, Wire, gradients};
use mimi_server::image::Preprocessing;
use mimi_server::train::{Adaptation, MimiOptions};

use crate::gradients::{Named, Runner};
use crate::method_references::{assert_relative, transposed};
use crate::support::{Fixture, Tensor, TinyBackbone, fixtures};

mod packs;

/// A method of the fixtures, as this server has it.
struct Case {
    fixture: &'static str,
    method: &'static str,
    rank: usize,
    settings: &'static [&'static str],
    families: &'static [&'static str],
}

const ALL: [&str; 3] = ["vit", "swin", "cvt"];

const CASES: &[Case] = &[
    Case { fixture: "vpt_deep", method: "vpt-deep", rank: 3, settings: &[], families: &["vit", "swin"] },
    Case { fixture: "phm", method: "phm", rank: 4, settings: &["n=2", "activation=gelu"], families: &ALL },
    Case { fixture: "compacter", method: "compacter", rank: 4, settings: &["n=2"], families: &ALL },
    Case {
        fixture: "compacter_unshared",
        method: "compacter",
        rank: 4,
        settings: &["n=2", "shared=false", "activation=gelu"],
        families: &ALL,
    },
    Case { fixture: "fact_tk", method: "fact-tk", rank: 2, settings: &["scale=0.5"], families: &["vit"] },
    Case {
        fixture: "fact_tt",
        method: "fact-tt",
        rank: 2,
        settings: &["scale=0.5"],
        families: &["vit", "swin"],
    },
    Case { fixture: "vera", method: "vera", rank: 3, settings: &[], families: &["vit", "swin"] },
];

/// A method's own options, with these settings.
pub fn options(method: &str, rank: usize, settings: &[&str]) -> MimiOptions {
    let adaptation = Adaptation::named(method).unwrap();
    let mut own = MimiOptions { rank, ..MimiOptions::of(adaptation).unwrap() };
    settings.iter().for_each(|typed| adaptation.set(&mut own.settings, typed).unwrap());
    own
}

impl Case {
    fn kind(&self, config: &BackboneConfig) -> Kind {
        let own = options(self.method, self.rank, self.settings);
        own.check(config).unwrap();
        own.kind(config)
    }

    /// PyTorch's name of a trained tensor: letters are large where a formula has them so.
    fn key(&self, fixture: &Fixture, name: ParameterName) -> String {
        let small = match name {
            ParameterName::Module(module, Part::DownBias) => return format!("{}.down.b", module.site),
            ParameterName::Module(module, _) => return format!("{}.up.b", module.site),
            ParameterName::Factor(module, label) if module.form == Form::Prefix => {
                format!("blocks.{}.{label}", module.site.block)
            }
            ParameterName::Factor(module, label) => {
                format!("{}.{}", module.site, label.to_string().replace('_', "."))
            }
            ParameterName::Shared(label) => label.to_string().replace('_', "."),
            _ => panic!("{name}"),
        };
        let all = fixture.under(&format!("{}/trained/", self.fixture));
        all.into_keys().find(|key| key.to_lowercase() == small).unwrap_or_else(|| panic!("{small}"))
    }

    /// What is trained, under our names: a vector of a module has a 1 before it.
    fn trained(
        &self,
        fixture: &Fixture,
        kind: &Kind,
        config: &BackboneConfig,
    ) -> BTreeMap<ParameterName, Tensor> {
        let shapes = kind.on(config).trained();
        let count = fixture.under(&format!("{}/trained/", self.fixture)).len();
        assert_eq!(shapes.len(), count, "{}: nothing else is trained", self.fixture);
        let own = |(name, shape): (ParameterName, Vec<usize>)| {
            let found = &fixture.tensors[&format!("{}/trained/{}", self.fixture, self.key(fixture, name))];
            if !matches!(name, ParameterName::Module(..)) {
                assert_eq!(found.shape, shape, "{name}");
            }
            (name, Tensor { shape, data: found.data.clone() })
        };
        shapes.into_iter().map(own).collect()
    }
}

/// What a method draws once and never trains, as constants of a graph: `{method}.{word}.{width}` for each width of blocks.
fn frozen(case: &Case, fixture: &Fixture, config: &BackboneConfig) -> BTreeMap<String, Constant> {
    let widths: Vec<usize> = config.blocks().iter().map(|block| config.block_width(block)).collect();
    let mut found = BTreeMap::new();
    for (word, tensor) in fixture.under(&format!("{}/frozen/", case.fixture)) {
        let [rows, columns] = tensor.shape[..] else { panic!("{word}") };
        let widest = *widths.iter().max().unwrap();
        for &width in &widths {
            let (m, n) = if rows == widest { (width, columns) } else { (rows, width) };
            let data = (0..m).flat_map(|i| tensor.data[i * columns..][..n].to_vec()).collect();
            let name = format!("{}.{}.{width}", case.method, word.to_lowercase());
            found.insert(name, Constant::F32 { shape: vec![m, n], data });
        }
    }
    found
}

/// A served tensor's shape: a 1 before it where a batch has rows.
fn with_rows(name: ParameterName, shape: &[usize]) -> Vec<usize> {
    match name {
        ParameterName::Module(_, part) if part.has_row_axis() => [&[1], shape].concat(),
        _ => shape.to_vec(),
    }
}

#[test]
fn served_tensors_and_gradients_through_them_are_pytorchs() {
    for case in CASES {
        for family in case.families {
            let name = format!("methods_{family}");
            let (fixture, tiny) = (Fixture::named(&name), TinyBackbone::from(&name));
            let kind = case.kind(&tiny.config);
            let trained = case.trained(&fixture, &kind, &tiny.config);
            let mut g = Graph::new(case.fixture);
            for (name, constant) in frozen(case, &fixture, &tiny.config) {
                g.constant(name, constant).unwrap();
            }
            let expected = fixture.under(&format!("{}/served/", case.fixture));
            let mut served = Vec::new();
            for name in kind.modules().iter().flat_map(ParameterName::of) {
                let shape = name.dims(&tiny.config).unwrap();
                let wire = kind.on(&tiny.config).served(&mut g, name, shape).unwrap();
                if g.wire_name(wire) != name.to_string() {
                    g.output(format!("served/{name}"), wire);
                    served.push((name, wire));
                }
            }
            let biases = trained.keys().filter(|name| matches!(name, ParameterName::Module(..))).count();
            assert_eq!(served.len() + biases, expected.len(), "{family} {}", case.fixture);
            let inputs = trainable(&g);
            for (name, wire) in &served {
                let seed = &fixture.tensors[&format!("{}/grad_served/{name}", case.fixture)];
                let (shape, data) = (with_rows(*name, &seed.shape), seed.data.clone());
                let seed = g.constant(format!("seed/{name}"), Constant::F32 { shape, data }).unwrap();
                let targets: Vec<Wire> = inputs.values().copied().collect();
                let found = gradients(&mut g, (*wire, seed), &targets).unwrap();
                for (input, target) in &inputs {
                    let Some(gradient) = found.get(target) else { continue };
                    g.output(format!("grad/{input}/{name}"), *gradient);
                }
            }
            let fed = trained.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
            let outputs = Runner::new(&tiny.store(), &g).run(&fed);
            let label = |what: &str| format!("{family} {} {what}", case.fixture);
            for (name, _) in &served {
                let (found, expected) = (&outputs[&format!("served/{name}")], &expected[&name.to_string()]);
                assert_eq!(found.shape, with_rows(*name, &expected.shape), "{name}");
                assert_relative(&label(&name.to_string()), &found.data, &expected.data);
            }
            for input in inputs.keys().filter(|name| !matches!(name, ParameterName::Module(..))) {
                let parts = outputs.iter().filter(|(key, _)| key.starts_with(&format!("grad/{input}/")));
                let mut sum = vec![0.0; trained[input].data.len()];
                parts.for_each(|(_, part)| {
                    sum.iter_mut().zip(&part.data).for_each(|(sum, part)| *sum += part)
                });
                let key = format!("{}/grad_trained/{}", case.fixture, case.key(&fixture, *input));
                assert_relative(&label(&key), &sum, &fixture.tensors[&key].data);
            }
        }
    }
}

#[test]
fn swins_tables_of_positions_are_gathered_as_in_pytorch() {
    let (fixture, tiny) = (Fixture::named("methods_swin"), TinyBackbone::from("methods_swin"));
    let kind = options("bitfit", 1, &[]).kind(&tiny.config);
    let mut tables = 0;
    for name in kind.modules().iter().flat_map(ParameterName::of) {
        let site = name.site().unwrap();
        if site.place != Place::Scores {
            continue;
        }
        let mut g = Graph::new("table");
        let shape = name.dims(&tiny.config).unwrap();
        let wire = kind.on(&tiny.config).served(&mut g, name, shape).unwrap();
        let of = |what: &str| fixture.tensors[&format!("bitfit/{what}")].clone();
        let seed = of(&format!("grad_served/{name}"));
        let seed = Constant::F32 { shape: [&[1], &seed.shape[..]].concat(), data: seed.data };
        let seed = g.constant("seed", seed).unwrap();
        let inputs = trainable(&g);
        let (input, target) = inputs.first_key_value().unwrap();
        let found = gradients(&mut g, (wire, seed), &[*target]).unwrap();
        g.output("served", wire);
        g.output("gradient", found[target]);
        let trained = of(&format!("trained/{site}.delta"));
        let fed = Tensor { shape: vec![trained.data.len()], data: trained.data };
        assert!(!input.decays(&fed.shape), "weight decay does not act on biases");
        let outputs = Runner::new(&tiny.store(), &g).run(&BTreeMap::from([(input.to_string(), fed)]));
        assert_relative(&name.to_string(), &outputs["served"].data, &of(&format!("served/{name}")).data);
        let expected = of(&format!("grad_trained/{site}.delta"));
        assert_relative(&name.to_string(), &outputs["gradient"].data, &expected.data);
        tables += 1;
    }
    assert_eq!(tables, tiny.config.depth());
}

#[test]
fn a_step_of_the_whole_network_is_pytorchs() {
    // What is frozen is drawn otherwise than in PyTorch: of such a method, the test before this one holds.
    let is_drawn =
        |case: &Case| Fixture::named("methods_vit").under(&format!("{}/frozen/", case.fixture)).is_empty();
    for case in CASES.iter().filter(|case| is_drawn(case)) {
        for family in case.families {
            let name = format!("methods_{family}");
            let (fixture, tiny) = (Fixture::named(&name), TinyBackbone::from(&name));
            let kind = case.kind(&tiny.config);
            let bound = kind.on(&tiny.config);
            let step = Trained { express: &bound, loss: Loss::CrossEntropy, drops_paths: false };
            let plan = Plan::whole(&tiny.config, kind.modules());
            let graph = training_graph(&tiny.config, &plan, step).unwrap();
            let trained = case.trained(&fixture, &kind, &tiny.config);
            let mut tensors: Named =
                trained.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
            tensors.insert("head.weight".into(), transposed(&fixture.tensors["head.weight"]));
            tensors.insert("head.bias".into(), fixture.tensors["head.bias"].clone());
            tensors.insert("pixels".into(), fixture.tensors["input/pixels"].clone());
            let targets = &fixture.tensors["input/targets"];
            let rows = targets.shape[0] as f32;
            let weighted = targets.data.iter().map(|t| t / rows).collect();
            tensors.insert(TARGETS.into(), Tensor { shape: targets.shape.clone(), data: weighted });
            let outputs = Runner::new(&tiny.store(), &graph).run(&tensors);
            let expect = |what: &str| &fixture.tensors[&format!("{}/{what}", case.fixture)].data;
            let label = |what: &str| format!("{family} {} {what}", case.fixture);
            assert_relative(&label("logits"), &outputs[LOGITS].data, expect("expect/logits"));
            assert_relative(&label("loss"), &outputs[LOSS].data, expect("expect/loss"));
            for name in trained.keys() {
                let gradient = &outputs[&gradient_output(name)].data;
                let key = case.key(&fixture, *name);
                assert_relative(&label(&name.to_string()), gradient, expect(&format!("grad_trained/{key}")));
            }
        }
    }
}

/// A row of the counts, as this server has it.
struct Counted {
    name: String,
    method: &'static str,
    settings: Vec<String>,
    /// Width of each module; an eighth of its block's where there is none.
    width: Option<usize>,
}

impl Counted {
    fn every() -> Vec<Self> {
        let shared = |name: &'static str, method: &'static str, shared: Option<bool>| {
            let row = move |(n, width): (usize, Option<usize>)| {
                let wide = width.map_or("D/8".to_owned(), |width| width.to_string());
                let rule = shared.map(|shared| format!("shared={shared}"));
                let settings = [format!("n={n}")].into_iter().chain(rule).collect();
                Self { name: format!("{name}, N={wide}, n={n}"), method, settings, width }
            };
            [(4, Some(24)), (4, None), (12, Some(24)), (12, None)].map(row)
        };
        let ranks = |name: &'static str, method, ranks: &[usize]| -> Vec<Self> {
            let row = |&rank: &usize| Self {
                name: format!("{name}, r={rank}"),
                method,
                settings: Vec::new(),
                width: Some(rank),
            };
            ranks.iter().map(row).collect()
        };
        let places = |name: &str, places: &str| {
            let settings = vec![format!("places={places}")];
            vec![Self { name: name.into(), method: "lora", settings, width: Some(8) }]
        };
        let prompts = |name: &'static str, method| -> Vec<Self> {
            let row = |&n: &usize| Self {
                name: format!("{name}, n={n}"),
                method,
                settings: Vec::new(),
                width: Some(n),
            };
            [1, 10, 100].iter().map(row).collect()
        };
        let kronecker = [
            shared("phm", "phm", None),
            shared("compacter", "compacter", Some(true)),
            shared("compacter_unshared", "compacter", Some(false)),
        ];
        let low = [
            ranks("fact_tk", "fact-tk", &[16, 32]),
            ranks("fact_tt", "fact-tt", &[16, 32]),
            ranks("vera, q and v", "vera", &[256]),
            places("lora, q and v, r=8", "q+v"),
            places("lora, q, k and v, r=8", "q+k+v"),
            places("lora, every linear layer, r=8", "all"),
            prompts("vpt_deep", "vpt-deep"),
            prompts("vpt_shallow", "vpt-shallow"),
        ];
        kronecker.into_iter().flatten().chain(low.into_iter().flatten()).collect()
    }

    /// Parameters on a backbone; none where the method does not fit.
    fn on(&self, config: &BackboneConfig) -> Option<u64> {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let mut kind = options(self.method, 1, &settings).kind(config);
        let width = |block| self.width.unwrap_or(config.block_width(block) / 8);
        kind.widths.iter_mut().for_each(|(module, own)| *own = width(module.site.block));
        kind.on(config).check().ok()?;
        Some(kind.on(config).trained().values().map(|shape| shape.iter().product::<usize>() as u64).sum())
    }
}

#[test]
fn parameters_are_those_that_were_counted() {
    let counts = std::fs::read_to_string(fixtures().join("methods_counts.json")).unwrap();
    let counts: serde_json::Value = serde_json::from_str(&counts).unwrap();
    let backbones =
        [("vit_b16", crate::methods::vit_b16()), ("swin_t", crate::swin::swin_t()), ("cvt_13", cvt_13())];
    for counted in Counted::every() {
        for (backbone, config) in &backbones {
            let expected = counts["counts"][&counted.name][backbone].as_u64();
            // Prompts that stay are for ViT.
            let expected = expected.filter(|_| counted.method != "vpt-shallow" || *backbone == "vit_b16");
            // What nobody defined for CvT may fit it all the same.
            if expected.is_some() || *backbone != "cvt_13" {
                assert_eq!(counted.on(config), expected, "{} on {backbone}", counted.name);
            }
        }
    }
}

/// CvT-13 without its weights.
fn cvt_13() -> BackboneConfig {
    let stage = |(width, depth, heads): (usize, usize, usize)| CvtStage {
        width,
        depth,
        heads,
        mlp_width: 4 * width,
        patch_size: if width == 64 { 7 } else { 3 },
        patch_stride: if width == 64 { 4 } else { 2 },
        patch_padding: if width == 64 { 2 } else { 1 },
        kernel: 3,
        kv_stride: 2,
    };
    let cvt = CvtConfig {
        image_size: 224,
        stages: [(64, 1, 1), (192, 2, 3), (384, 10, 6)].map(stage).into(),
        activation: Activation::Gelu,
        layer_norm_eps: 1e-5,
        final_norm: true,
    };
    let config = BackboneConfig {
        format_version: FORMAT_VERSION,
        name: "cvt".into(),
        fingerprint: String::new(),
        preprocessing: Preprocessing::imagenet(224),
        architecture: Architecture::Cvt(cvt),
        provenance: Provenance::default(),
    };
    config.validate().unwrap();
    config
}
