//! Checkpoints of the reference MiMi implementation become packs that give their logits, or say why not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mimi_server::backbone::{Activation, Place, Site};
use mimi_server::graph::{PIXELS, Plan, build, uniform};
use mimi_server::import::pack::mimi::{Family, Found, Frozen, Report};
use mimi_server::import::pack::{Imported, Request, import};
use mimi_server::import::torch::{Object, TorchFile};
use mimi_server::pack::{self, Pack};
use mimi_server::runtime::{Input, Program};

use crate::support::{self, Fixture, Tensor, TinyBackbone, assert_close, fixtures, write_safetensors};
use crate::torch::file;

/// A block's name in a checkpoint, by stage and number.
type BlockName = fn(usize, usize) -> String;

/// The bar for logits of unit scale, absolute.
const TOLERANCE: f32 = 1e-4;

type Tensors = BTreeMap<String, Tensor>;

struct World {
    tiny: TinyBackbone,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::of("mimi_vit")
    }

    fn of(fixture: &str) -> Self {
        Self { tiny: TinyBackbone::from(fixture), dir: tempfile::tempdir().unwrap() }
    }

    fn request(&self, from: PathBuf) -> Request {
        Request {
            from,
            task: "imported".parse().unwrap(),
            adapters: self.dir.path().join("adapters"),
            labels: None,
            description: "a test".into(),
            activation: None,
            allow_different_backbone: false,
            head: None,
            check: None,
        }
    }

    fn import(&self, request: &Request) -> anyhow::Result<Report> {
        match import(&self.tiny.resident(), &self.tiny.folder, request)? {
            Imported::Mimi(report) => Ok(report),
            Imported::Other(report) => panic!("taken for {}", report.layout),
        }
    }

    /// Imports tensors out of a safetensors file.
    fn import_tensors(&self, tensors: &Tensors) -> anyhow::Result<Report> {
        let path = self.dir.path().join("checkpoint.safetensors");
        write_safetensors(&path, tensors);
        self.import(&self.request(path))
    }

    fn error(&self, tensors: &Tensors) -> String {
        let error = format!("{:#}", self.import_tensors(tensors).unwrap_err());
        assert!(!self.dir.path().join("adapters").exists(), "{error} left a pack");
        error
    }

    fn read(&self, report: &Report) -> Pack {
        pack::read(&report.folder, &self.tiny.config).unwrap().0
    }

    fn logits(&self, pack: &Pack, pixels: &Tensor) -> Vec<f32> {
        logits(&self.tiny, pack, pixels)
    }
}

/// Logits of a pack for every row of `pixels`.
pub fn logits(tiny: &TinyBackbone, pack: &Pack, pixels: &Tensor) -> Vec<f32> {
    let config = &tiny.config;
    let graph = build(config, &Plan::whole(config, pack.modules)).unwrap();
    let mut program = Program::compile(&support::runtime(), &tiny.store(), &graph).unwrap();
    let mut tensors = Vec::new();
    for (&module, weights) in &pack.weights {
        let own = uniform(config, (module, weights.width), pixels.shape[0], |part| weights.part(part));
        tensors.extend(own.unwrap());
    }
    let mut inputs = vec![Input { name: PIXELS, shape: &pixels.shape, data: &pixels.data }];
    inputs.extend(tensors.iter().map(|own| Input { name: &own.name, shape: &own.shape, data: &own.data }));
    let features = program.run(&inputs).unwrap().remove(0).data;
    let rows = features.chunks(config.feature_width());
    rows.flat_map(|row| pack.head.logits(ndarray::ArrayView1::from(row)).to_vec()).collect()
}

/// The model's tensors of a fixture.
fn tensors(name: &str) -> Tensors {
    let bytes = file(name);
    let mut file = TorchFile::open(&bytes).unwrap();
    let tree = file.tree().clone();
    let items = tree.items(tree.find(&["model"]).unwrap()).unwrap();
    let mut tensors = Tensors::new();
    for &(key, value) in items {
        let Object::Text(name) = tree.get(key) else { panic!() };
        let numbers = file.numbers(name, tree.get(value)).unwrap().unwrap();
        tensors.insert(name.clone(), Tensor { shape: numbers.shape, data: numbers.data });
    }
    tensors
}

fn adapter(block: usize, rest: &str) -> String {
    format!("transformer.encoder.layer.{block}.parallel_mlp2.{rest}")
}

#[test]
fn packs_give_pytorchs_logits() {
    let (world, fixture) = (World::new(), Fixture::named("mimi_vit"));
    let mlp = |block| Site::new(block, Place::Mlp);
    for (name, widths) in [("mimi_vit_pruned", [3, 0, 1]), ("mimi_vit_vanilla", [6, 6, 6])] {
        let report = world.import(&world.request(fixtures().join(format!("{name}.pth")))).unwrap();
        let pack = world.read(&report);
        assert_eq!(report.sites, [0, 1, 2].map(|b| (mlp(b), 6, widths[b])), "{name}");
        let kept: Vec<_> = pack.weights.iter().map(|(module, own)| (module.site.block, own.width)).collect();
        let expected: Vec<_> = widths.into_iter().enumerate().filter(|(_, width)| *width > 0).collect();
        assert_eq!(kept, expected, "{name}: an emptied adapter is left out");
        let expected = &fixture.tensors[&format!("expect/{name}")].data;
        assert_close(name, &world.logits(&pack, &fixture.tensors["input/pixels"]), expected, TOLERANCE);
        assert!(report.difference <= 1e-5);
        assert!(
            matches!(&report.frozen, Frozen::Compared { count, different } if *count > 40 && different.is_empty())
        );
        assert!(report.notices.iter().any(|notice| notice.contains("3 adapter(s) behind the attention")));
        assert_eq!(pack.manifest.provenance.details["claimed"]["epoch"], 199);
        assert_eq!(pack.manifest.provenance.details["claimed"]["max_accuracy"], 87.5);
        assert_eq!(pack.manifest.labels, ["class-0", "class-1", "class-2", "class-3"]);
    }
}

#[test]
fn self_tests_hold_for_the_pack_as_it_is_read() {
    let world = World::new();
    let report = world.import(&world.request(fixtures().join("mimi_vit_pruned.pth"))).unwrap();
    let (pack, test) = pack::read(&report.folder, &world.tiny.config).unwrap();
    assert_eq!((test.images.len(), test.logits.len()), (2, 2));
    for (image, logits) in test.images.iter().zip(&test.logits) {
        let decoded = mimi_server::image::decode(image, &mimi_server::image::Limits::default()).unwrap();
        let data = pack.manifest.preprocessing.apply(&decoded).unwrap();
        let pixels = Tensor { shape: [vec![1], world.tiny.config.input_shape(0)].concat(), data };
        assert_close("self-test", &world.logits(&pack, &pixels), logits, 1e-6);
    }
}

#[test]
fn a_safetensors_file_gives_the_same_pack() {
    let world = World::new();
    let torch = world.import(&world.request(fixtures().join("mimi_vit_pruned.pth"))).unwrap();
    let safe = world.import_tensors(&tensors("mimi_vit_pruned.pth")).unwrap();
    let weights = |report: &Report| std::fs::read(report.folder.join(pack::WEIGHTS_FILE)).unwrap();
    assert_eq!(weights(&torch), weights(&safe));
}

#[test]
fn where_only_rows_are_masked_live_rows_stay() {
    let (world, mut tensors) = (World::new(), tensors("mimi_vit_pruned.pth"));
    let expected = world.import_tensors(&tensors).unwrap();
    // The masked columns hold numbers; they must play no part.
    for block in 0..3 {
        tensors.get_mut(&adapter(block, "fc2.weight_mask")).unwrap().data.fill(1.0);
    }
    let report = world.import_tensors(&tensors).unwrap();
    assert_eq!(report.sites, expected.sites);
    assert_eq!(report.notices.iter().filter(|notice| notice.contains("down_magnitude")).count(), 3);
    let weights = |report: &Report| std::fs::read(report.folder.join(pack::WEIGHTS_FILE)).unwrap();
    assert_eq!(weights(&report), weights(&expected));
}

#[test]
fn dead_rows_of_plain_weights_are_dropped() {
    let (world, mut tensors) = (World::new(), tensors("mimi_vit_vanilla.pth"));
    let down = tensors.get_mut(&format!("module.{}", adapter(0, "fc1.weight"))).unwrap();
    down.data[24..48].fill(0.0);
    let report = world.import_tensors(&tensors).unwrap();
    assert_eq!(report.sites[0].2, 5);
}

/// A name and what is done to the tensors.
type Case = (&'static str, fn(&mut Tensors), &'static str);

#[test]
fn what_cannot_be_a_pack_is_refused_with_the_reason() {
    let cases: [Case; 15] = [
        (
            "no adapters",
            |t| t.retain(|name, _| !name.contains("parallel_mlp")),
            "no tensor's name has parallel_mlp",
        ),
        ("no head", |t| drop(t.remove("head.bias")), "head.bias: is missing"),
        (
            "half a pair",
            |t| drop(t.remove(&adapter(1, "fc2.weight_mask"))),
            "blocks.1.mlp, fc2: expected either",
        ),
        (
            "half an adapter",
            |t| t.retain(|name, _| !name.starts_with(&adapter(1, "fc2"))),
            "blocks.1.mlp, fc2",
        ),
        ("a bias", |t| drop(t.insert(adapter(1, "fc1.bias"), one(&[6]))), "without biases"),
        ("another module", |t| drop(t.insert(adapter(1, "fc3.weight"), one(&[6]))), "fc3.weight: is no part"),
        (
            "parallel",
            |t| drop(t.insert("transformer.encoder.layer.0.norm4.weight".into(), one(&[24]))),
            "parallel kind",
        ),
        (
            "single weights",
            |t| t.get_mut(&adapter(0, "fc1.weight_mask")).unwrap().data[3] = 0.0,
            "SNIP, GraSP",
        ),
        ("no mask", |t| t.get_mut(&adapter(0, "fc1.weight_mask")).unwrap().data[3] = 0.5, "only 0 and 1"),
        (
            "another mask",
            |t| t.get_mut(&adapter(0, "fc1.weight_mask")).unwrap().data[24..48].fill(1.0),
            "keep different neurons",
        ),
        (
            "no number",
            |t| t.get_mut(&adapter(0, "fc1.weight_orig")).unwrap().data[3] = f32::NAN,
            "NaN at position 3",
        ),
        (
            "a flat weight",
            |t| t.get_mut(&adapter(0, "fc1.weight_orig")).unwrap().shape = vec![144],
            "expected a matrix",
        ),
        (
            "a turned weight",
            |t| t.get_mut(&adapter(0, "fc1.weight_mask")).unwrap().shape = vec![24, 6],
            "has shape [24, 6]",
        ),
        ("a missing block", |t| t.retain(|name, _| !name.contains("layer.2.")), "has 2 blocks"),
        (
            "a trained norm",
            |t| t.get_mut("transformer.encoder.layer.1.ffn_norm.bias").unwrap().data[0] += 0.1,
            "only norms do",
        ),
    ];
    let world = World::new();
    for (what, spoil, words) in cases {
        let mut tensors = tensors("mimi_vit_pruned.pth");
        spoil(&mut tensors);
        let error = world.error(&tensors);
        assert!(error.contains(words), "{what}: {error}");
    }
}

fn one(shape: &[usize]) -> Tensor {
    Tensor { shape: shape.to_vec(), data: vec![1.0; shape.iter().product()] }
}

#[test]
fn another_backbone_is_imported_only_when_asked() {
    let (world, mut tensors) = (World::new(), tensors("mimi_vit_pruned.pth"));
    tensors.get_mut("transformer.encoder.layer.1.attn.key.weight").unwrap().data[7] += 0.25;
    let error = world.error(&tensors);
    assert!(error.contains("blocks.1.attn.k_proj.weight by 2.5") && !error.contains("norms"), "{error}");
    let request = Request {
        allow_different_backbone: true,
        ..world.request(world.dir.path().join("checkpoint.safetensors"))
    };
    let report = world.import(&request).unwrap();
    assert!(report.notices.iter().any(|notice| notice.contains("k_proj")), "{:?}", report.notices);
    // Adapters and head alone say nothing of their backbone.
    tensors.retain(|name, _| name.contains("parallel_mlp") || name.starts_with("head."));
    let report = world.import_tensors(&tensors).map(|report| (report.frozen, report.notices));
    assert_eq!(report.unwrap().0, Frozen::Absent);
    let newest = world.dir.path().join("adapters/imported/2");
    let manifest = pack::read_manifest(&newest).unwrap();
    assert_eq!(manifest.provenance.details["base_unverified"], true);
}

#[test]
fn labels_and_activation_are_checked() {
    let world = World::new();
    let request = world.request(fixtures().join("mimi_vit_pruned.pth"));
    let labels = |names: &[&str]| Some(names.iter().map(|name| name.to_string()).collect());
    let short = Request { labels: labels(&["a", "b"]), ..request.clone() };
    assert!(world.import(&short).unwrap_err().to_string().contains("2 labels for a head of 4"));
    let named = Request { labels: labels(&["a", "b", "c", "d"]), ..request.clone() };
    assert_eq!(world.read(&world.import(&named).unwrap()).manifest.labels, ["a", "b", "c", "d"]);
    let quick = Request { activation: Some(Activation::QuickGelu), ..request };
    assert!(world.import(&quick).unwrap_err().to_string().contains("this backbone's have Gelu"));
}

/// A checkpoint of a staged backbone: stage depths and widths, adapters of `M / 2` neurons of which the first
/// `stage + 1` live.
fn staged(path: &Path, name: impl Fn(usize, usize) -> String, stages: &[(usize, usize)]) {
    let mut tensors = Tensors::new();
    for (stage, &(depth, m)) in stages.iter().enumerate() {
        for block in 0..depth {
            let (name, n) = (name(stage, block), m / 2);
            tensors.insert(format!("{name}.norm1.weight"), one(&[m]));
            for place in ["parallel_mlp1", "parallel_mlp2"] {
                let live = |j: usize| f32::from(u8::from(j <= stage));
                let ids = |count: usize| (0..count).map(|i| i as f32 + 1.0).collect::<Vec<_>>();
                let matrix = |shape: [usize; 2], data| Tensor { shape: shape.to_vec(), data };
                let fc1_mask = (0..n * m).map(|i| live(i / m)).collect();
                let fc2_mask = (0..n * m).map(|i| live(i % n)).collect();
                tensors.insert(format!("{name}.{place}.fc1.weight_orig"), matrix([n, m], ids(n * m)));
                tensors.insert(format!("{name}.{place}.fc1.weight_mask"), matrix([n, m], fc1_mask));
                tensors.insert(format!("{name}.{place}.fc2.weight_orig"), matrix([m, n], ids(n * m)));
                tensors.insert(format!("{name}.{place}.fc2.weight_mask"), matrix([m, n], fc2_mask));
            }
        }
    }
    let width = stages[stages.len() - 1].1;
    tensors.insert("head.weight".into(), one(&[5, width]));
    tensors.insert("head.bias".into(), one(&[5]));
    write_safetensors(path, &tensors);
}

#[test]
fn swin_cvt_and_t2t_are_mapped_to_sites() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staged.safetensors");
    let stages = [(1, 8), (2, 12), (1, 16)];
    type Case<'a> = (Family, BlockName, &'a [(usize, usize)]);
    let families: [Case<'_>; 3] = [
        (Family::Swin, |s, b| format!("layers.{s}.blocks.{b}"), &stages),
        (Family::Cvt, |s, b| format!("stage{s}.blocks.{b}"), &stages),
        (Family::T2t, |_, b| format!("blocks.{b}"), &[(4, 8)]),
    ];
    for (family, name, stages) in families {
        staged(&path, name, stages);
        let found = Found::read(&path).unwrap();
        assert_eq!((found.family, found.depth, found.head_width), (family, 4, stages[stages.len() - 1].1));
        assert!(found.notices.is_empty(), "{:?}", found.notices);
        let blocks = stages.iter().enumerate().flat_map(|(s, &(depth, m))| (0..depth).map(move |_| (s, m)));
        let expected: Vec<_> = blocks
            .enumerate()
            .flat_map(|(block, (s, m))| {
                [Place::Attn, Place::Mlp]
                    .map(|place| (Site::new(block, place), m, m / 2, (0..=s).collect::<Vec<_>>()))
            })
            .collect();
        let sites: Vec<_> =
            found.adapters.iter().map(|a| (a.site, a.block_width, a.neurons, a.live.clone())).collect();
        assert_eq!(sites, expected, "{family}");
        let last = &found.adapters[7];
        let ((m, n), (r, down, up)) = ((last.block_width, last.neurons), last.packed());
        // Elements are numbered from 1, row by row.
        assert_eq!((r, &down), (last.live.len(), &(1..=r * m).map(|i| i as f32).collect()));
        let columns = (0..m).flat_map(|i| (0..r).map(move |j| (i * n + j + 1) as f32));
        assert_eq!(up, columns.collect::<Vec<_>>(), "{family}");
    }
}

/// A fixture's model as the reference implementation lays it out: its backbone under the names that `rename` gives,
/// and its adapters with a dead neuron before the live ones.
fn reference_layout(
    fixture: &Fixture,
    rename: impl Fn(&str) -> String,
    (depths, block): (&[usize], BlockName),
) -> Tensors {
    let classifier = |name: &str| name.starts_with("head.") || name.starts_with("classifier.");
    let weights = fixture.under("weights/").into_iter().filter(|(name, _)| !classifier(name));
    let mut tensors: Tensors = weights.map(|(name, tensor)| (rename(&name), tensor)).collect();
    let blocks: Vec<_> = depths
        .iter()
        .enumerate()
        .flat_map(|(stage, &depth)| (0..depth).map(move |b| block(stage, b)))
        .collect();
    for (name, Tensor { shape, data }) in fixture.under("adapter/") {
        let Some((site, matrix)) = name.split_once(".adapter.") else {
            tensors.insert(name, Tensor { shape, data });
            continue;
        };
        let site = Site::parse(site).unwrap();
        let mlp = if site.place == Place::Attn { 1 } else { 2 };
        let is_down = matrix == "down.weight";
        let fc = format!("{}.parallel_mlp{mlp}.fc{}", blocks[site.block], if is_down { 1 } else { 2 });
        let (rows, columns) = if is_down { (shape[0] + 1, shape[1]) } else { (shape[0], shape[1] + 1) };
        let dead = |i: usize| if is_down { i < columns } else { i.is_multiple_of(columns) };
        let mut live = data.into_iter();
        let original =
            (0..rows * columns).map(|i| if dead(i) { 9.0 } else { live.next().unwrap() }).collect();
        let mask = (0..rows * columns).map(|i| f32::from(u8::from(!dead(i)))).collect();
        tensors.insert(format!("{fc}.weight_orig"), Tensor { shape: vec![rows, columns], data: original });
        tensors.insert(format!("{fc}.weight_mask"), Tensor { shape: vec![rows, columns], data: mask });
    }
    tensors
}

/// Converts a fixture's model in the reference's layout and compares logits with PyTorch's.
fn check_layout(name: &str, tensors: &Tensors) {
    let (world, fixture) = (World::of(name), Fixture::named(name));
    let report = world.import_tensors(tensors).unwrap();
    assert!(matches!(&report.frozen, Frozen::Compared { different, .. } if different.is_empty()));
    let pack = world.read(&report);
    let widths: BTreeMap<String, usize> = serde_json::from_value(fixture.json("adapter_widths")).unwrap();
    assert_eq!(pack.manifest.adapter_widths, widths, "{name}");
    assert!(report.sites.iter().all(|(_, before, after)| *before == after + 1), "{name}");
    let logits = world.logits(&pack, &fixture.tensors["input/pixels"]);
    assert_close(name, &logits, &fixture.tensors["expect/logits"].data, TOLERANCE);
}

#[test]
fn swins_packs_give_pytorchs_logits() {
    // Swin's own code keeps a merging with the stage it ends, timm with the one it begins.
    let rename = |name: &str| match name.split_once(".downsample.") {
        Some((stage, rest)) => {
            let stage: usize = stage.strip_prefix("layers.").unwrap().parse().unwrap();
            format!("layers.{}.downsample.{rest}", stage - 1)
        }
        None => name.to_owned(),
    };
    let layout: (&[usize], BlockName) = (&[2, 2, 2, 2], |s, b| format!("layers.{s}.blocks.{b}"));
    check_layout("adapted_swin", &reference_layout(&Fixture::named("adapted_swin"), rename, layout));
}

/// Microsoft's names of CvT's tensors for Hugging Face's.
fn microsofts(name: &str) -> String {
    let Some(rest) = name.strip_prefix("cvt.encoder.stages.") else {
        return name.replace("layernorm.", "norm.");
    };
    let pairs = [
        ("embedding.convolution_embeddings.projection", "patch_embed.proj"),
        ("embedding.convolution_embeddings.normalization", "patch_embed.norm"),
        ("attention.output.dense", "attn.proj"),
        ("attention.attention.", "attn."),
        ("convolution_projection.convolution.", "conv."),
        ("convolution_projection.normalization.", "bn."),
        ("convolution_projection_", "conv_proj_"),
        ("projection_", "proj_"),
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
        ("layers.", "blocks."),
    ];
    let name = pairs.iter().fold(rest.to_owned(), |name, (theirs, ours)| name.replace(theirs, ours));
    ["query", "key", "value"].iter().fold(format!("stage{name}"), |name, word| {
        name.replace(&format!("proj_{word}"), &format!("proj_{}", &word[..1]))
    })
}

#[test]
fn cvts_packs_give_pytorchs_logits() {
    let layout: (&[usize], BlockName) = (&[1, 2, 3], |s, b| format!("stage{s}.blocks.{b}"));
    let tensors = reference_layout(&Fixture::named("adapted_cvt"), microsofts, layout);
    assert!(tensors.contains_key("stage0.blocks.0.attn.conv_proj_q.bn.running_mean"), "{:?}", tensors.keys());
    check_layout("adapted_cvt", &tensors);
}

#[test]
fn import_backbone_reads_torch_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let request = mimi_server::import::backbone::Request {
        weights: fixtures().join("mimi_vit_pruned.pth"),
        name: "x".into(),
        out: dir.path().into(),
        ..Default::default()
    };
    // Its names are the reference implementation's, not those of a backbone's checkpoint; but they were read.
    let error = mimi_server::import::backbone::import(&request).unwrap_err().to_string();
    assert!(error.contains("no embeddings.patch_embeddings.projection.weight"), "{error}");
}
