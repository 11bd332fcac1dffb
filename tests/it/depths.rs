//! Heads that read several depths: their features, their packs, how they are trained, and what they share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mimi_server::backbone::{Architecture, BackboneConfig, Module, ModuleSet, Place, Pool, Precision, Site};
use mimi_server::engine::{Answer, Engine, EngineOptions, ImageKey, Row, Share};
use mimi_server::graph::{FEATURES, PIXELS, Plan, build};
use mimi_server::inspect;
use mimi_server::metrics::Metrics;
use mimi_server::pack::{self, Base, CONFIG_FILE, Contents, Pack, Weights, read_stored};
use mimi_server::runtime::Input;
use mimi_server::train::study::{Protocol, Settings};
use mimi_server::train::{DepthHeadOptions, LinearOptions, Method, TaskOptions, train};
use serde_json::{Value, json};

use crate::mimi::served_accuracy;
use crate::server::World;
use crate::support::{self, FAMILIES, Fixture, Random, Tensor, TinyBackbone, assert_close};
use crate::train::{dataset, options, setup, write_images};

fn contents(tiny: &TinyBackbone, depths: &[usize], seed: u64) -> Contents {
    let width = tiny.config.head_width(ModuleSet::reading(depths.iter().copied()));
    let head_weight = Random::new(seed).floats(4 * width, 0.3);
    Contents { depths: depths.to_vec(), head_weight, ..tiny.contents(seed, &[], 4) }
}

fn pack(tiny: &TinyBackbone, contents: &Contents) -> Arc<Pack> {
    let dir = tempfile::tempdir().unwrap();
    let folder = pack::write(&dir.path().join("task"), contents, &tiny.config).unwrap();
    Arc::new(pack::read(&folder, &tiny.config).unwrap().0)
}

/// The pooled feature and those of every depth, of some rows of pixels.
fn features(tiny: &TinyBackbone, shape: &[usize], pixels: &[f32]) -> Vec<Vec<f32>> {
    let graph = build(&tiny.config, &Plan::reading(&tiny.config)).unwrap();
    let mut program = tiny.resident().compile(&graph).unwrap();
    let given =
        program.run_named(&[Input { name: PIXELS, shape, data: pixels }]).unwrap().take(FEATURES).unwrap();
    given.data.chunks(given.data.len() / shape[0]).map(<[f32]>::to_vec).collect()
}

/// The mean of some tokens, without mean and of deviation 1.
fn reference(config: &BackboneConfig, block: usize, tokens: &[f32]) -> Vec<f32> {
    let d = config.block_width(block);
    let all: Vec<&[f32]> = tokens.chunks(d).collect();
    let read = match &config.architecture {
        Architecture::Vit(vit) => match vit.pool {
            Pool::Cls => &all[..1],
            Pool::ClassAndDistillation => &all[..2],
            _ => &all[vit.first_pooled_token()..],
        },
        Architecture::Swin(_) => &all[..],
        // The class token comes with the last stage.
        Architecture::Cvt(cvt) if cvt.class_tokens(cvt.block(block).unwrap().stage) > 0 => &all[..1],
        Architecture::Cvt(_) => &all[..],
    };
    let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
    let at = |i: usize| mean(&mut read.iter().map(|token| f64::from(token[i])), read.len());
    let pooled: Vec<f64> = (0..d).map(at).collect();
    let centre = mean(&mut pooled.iter().copied(), d);
    let variance = mean(&mut pooled.iter().map(|value| (value - centre).powi(2)), d);
    pooled.iter().map(|value| ((value - centre) / (variance + 1e-6).sqrt()) as f32).collect()
}

#[test]
fn features_of_depths_are_what_other_libraries_blocks_give() {
    for name in ["vit_timm", "vit_hf_clip", "vit_hf_dinov2", "swin_timm", "swin_hf", "cvt_hf"] {
        let (fixture, tiny) = (Fixture::named(name), TinyBackbone::from(name));
        let Tensor { shape, data } = &fixture.tensors["input/pixels"];
        let found = features(&tiny, shape, data);
        let pooled = &fixture.tensors["expect/features"].data;
        let d = tiny.config.feature_width();
        let columns = tiny.config.depth_columns(tiny.config.every_depth());
        assert_eq!(columns.len(), tiny.config.depth());
        for (row, found) in found.iter().enumerate() {
            assert_close(name, &found[..d], &pooled[row * d..][..d], 1e-4);
            for block in 0..tiny.config.depth() - 1 {
                let tokens = &fixture.tensors[&format!("expect/block.{block}")];
                let size = tokens.data.len() / shape[0];
                let expected = reference(&tiny.config, block, &tokens.data[row * size..][..size]);
                let own = &found[d..][columns[block].clone()];
                assert_close(&format!("{name} depth {}", block + 1), own, &expected, 1e-3);
            }
        }
    }
}

#[test]
fn the_last_depth_is_the_backbones_feature_before_its_scale_and_shift() {
    let (fixture, tiny) = (Fixture::named("vit_timm"), TinyBackbone::new());
    let Tensor { shape, data } = &fixture.tensors["input/pixels"];
    let [scale, shift] =
        ["weight", "bias"].map(|part| &fixture.tensors[&format!("weights/norm.{part}")].data);
    let d = tiny.config.feature_width();
    for row in features(&tiny, shape, data) {
        let last = &row[row.len() - d..];
        let again: Vec<f32> = (0..d).map(|i| last[i] * scale[i] + shift[i]).collect();
        assert_close("normed", &again, &row[..d], 1e-4);
    }
}

fn engine(tiny: &TinyBackbone, prefix_memory: u64) -> (Engine, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let options = EngineOptions {
        max_batch: 16,
        max_wait: Duration::from_secs(60),
        queue_limit: 64,
        workers: 1,
        max_programs: 4,
        prefix_memory,
        bank_memory: support::bank_bytes(),
        states_memory: support::states_bytes(prefix_memory),
        ..EngineOptions::default()
    };
    (Engine::start(tiny.resident(), Arc::clone(&metrics), &options).unwrap(), metrics)
}

/// Pixels under a pack.
type Asked<'a> = (&'a Arc<[f32]>, &'a Arc<Pack>);

/// Rows whose features are wanted, too.
fn run(engine: &Engine, image: Option<ImageKey>, rows: &[Asked<'_>]) -> Vec<Answer> {
    let permits = engine.admit(Share::EVERYBODY, rows.len()).unwrap();
    let submit = |(i, ((pixels, pack), permit)): (usize, (Asked<'_>, _))| {
        let row = Row::new(format!("t{i}").parse().unwrap(), Arc::clone(pixels), Arc::clone(pack));
        engine.submit(Row { image, wants_feature: true, ..row }, permit)
    };
    let waiting: Vec<_> = rows.iter().copied().zip(permits).enumerate().map(submit).collect();
    waiting.into_iter().map(|reply| reply.blocking_recv().unwrap().unwrap()).collect()
}

/// Heads of depths, heads alone, early and late adapters.
fn packs(tiny: &TinyBackbone, engine: &Engine) -> Vec<Arc<Pack>> {
    let last = tiny.config.depth();
    let adapter = |block, seed| tiny.pack(seed, &[(Site::new(block, Place::Mlp), 3)], 4);
    let packs = vec![
        pack(tiny, &contents(tiny, &[1, last], 1)),
        adapter(0, 2),
        pack(tiny, &contents(tiny, &[last], 3)),
        tiny.pack(4, &[], 3),
        adapter(last - 1, 5),
        pack(tiny, &contents(tiny, &(1..=last).collect::<Vec<_>>(), 6)),
    ];
    for pack in &packs {
        engine.prepare(pack.modules).blocking_recv().unwrap().unwrap();
    }
    packs
}

fn assert_same(what: &str, found: &Answer, logits: &[f32], tolerance: f32) {
    let scale = logits.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
    assert_close(what, &found.logits.to_vec(), logits, tolerance * scale);
}

#[test]
fn rows_of_all_kinds_together_answer_as_alone_and_as_the_formula_says() {
    for family in FAMILIES.into_iter().chain(["vit_timm_mean", "vit_timm_siglip"]) {
        let tiny = TinyBackbone::from(family);
        let (engine, _) = engine(&tiny, 0);
        let packs = packs(&tiny, &engine);
        let pixels = [tiny.pixels(1), tiny.pixels(2)];
        let rows: Vec<_> =
            pixels.iter().flat_map(|pixels| packs.iter().map(move |pack| (pixels, pack))).collect();
        let together = run(&engine, None, &rows);
        let shape = [&[1], &tiny.config.input_shape(0)[..]].concat();
        for (i, (row, found)) in rows.iter().zip(&together).enumerate() {
            let what = format!("{family} row {i}");
            assert_eq!(found.batch_rows, rows.len(), "{what}");
            let alone = run(&engine, None, &[*row]).remove(0);
            assert_same(&what, found, &alone.logits.to_vec(), support::rounding());
            let (own, other) = (found.feature.as_ref().unwrap(), alone.feature.as_ref().unwrap());
            assert_eq!(own.len(), tiny.config.feature_width(), "{what}");
            assert_close(&what, own, other, 1e-4);
            if row.1.modules.reads_depths() {
                let all = features(&tiny, &shape, row.0).remove(0);
                let depths = &all[tiny.config.feature_width()..];
                let columns = tiny.config.depth_columns(row.1.modules).into_iter();
                let read: Vec<f32> = columns.flat_map(|range| depths[range].to_vec()).collect();
                let class = |(weights, bias): (ndarray::ArrayView1<'_, f32>, &f32)| {
                    let product = weights.iter().zip(&read).map(|(w, x)| f64::from(*w) * f64::from(*x));
                    (product.sum::<f64>() + f64::from(*bias)) as f32
                };
                let head = &row.1.head;
                let expected: Vec<f32> = head.weight.rows().into_iter().zip(&head.bias).map(class).collect();
                assert_same(&what, found, &expected, 1e-4);
            }
        }
    }
}

#[test]
fn any_number_of_heads_share_one_pass_over_an_image_and_what_it_left() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 1 << 20);
    let packs = packs(&tiny, &engine);
    let (pixels, base) = (tiny.pixels(1), Base::new(Arc::clone(&tiny.config)).unwrap());
    let heads: Vec<_> =
        packs.iter().filter(|pack| pack.modules.is_empty()).map(|pack| (&pixels, pack)).collect();
    assert_eq!(heads.len(), 4);
    let cost = |answers: &[Answer]| answers.iter().map(|answer| answer.flops).sum::<u64>();
    let first = run(&engine, None, &heads);
    assert_eq!(cost(&first), base.flops(), "one pass for all of them");
    assert!(
        first.iter().all(|answer| answer.shared.rows == 4 && answer.shared.blocks == tiny.config.depth())
    );
    assert!(packs.iter().filter(|pack| pack.modules.is_empty()).all(|pack| pack.flops == base.flops()));
    let image = Some(ImageKey::new(b"one", "tiny"));
    assert_eq!(cost(&run(&engine, image, &heads[..1])), base.flops());
    let kept = run(&engine, image, &heads);
    assert_eq!(cost(&kept), 0, "an earlier request left it");
    for (kept, first) in kept.iter().zip(&first) {
        assert_eq!(kept.logits, first.logits);
    }
    let all: Vec<_> = packs.iter().map(|pack| (&pixels, pack)).collect();
    let before = metrics.engine.engine_flops.get();
    let together = cost(&run(&engine, None, &all));
    assert_eq!(metrics.engine.engine_flops.get() - before, together, "rows cost together what ran");
}

#[test]
fn a_lone_row_shares_nothing_and_what_it_leaves_serves_a_plain_head() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 1 << 20);
    let packs = packs(&tiny, &engine);
    let (pixels, cost) = (tiny.pixels(1), Base::new(Arc::clone(&tiny.config)).unwrap().flops());
    let (reader, plain) = ((&pixels, &packs[0]), (&pixels, &packs[3]));
    let lone = run(&engine, None, &[reader]).remove(0);
    assert_eq!((lone.shared, metrics.engine.rows_forked.get()), (Default::default(), 0));
    let image = Some(ImageKey::new(b"one", "tiny"));
    let kept = run(&engine, image, &[reader]).remove(0);
    assert_eq!((kept.flops, kept.shared.rows, metrics.engine.rows_forked.get()), (cost, 1, 1));
    let found = run(&engine, image, &[plain]).remove(0);
    assert_eq!(
        (found.flops, found.shared.is_kept),
        (0, true),
        "the pooled feature stands before the depths'"
    );
    assert_same("plain", &found, &run(&engine, None, &[plain])[0].logits.to_vec(), support::rounding());
    // The reverse: what a plain head left serves it again, and a reader beside it pays its pass alone.
    let other = Some(ImageKey::new(b"two", "tiny"));
    run(&engine, other, &[plain]);
    let both = run(&engine, other, &[plain, reader]);
    assert_eq!([both[0].flops, both[1].flops], [0, cost]);
}

#[test]
fn heads_of_depths_are_served_at_every_precision() {
    for precision in [Precision::Int8, Precision::Fp16] {
        let tiny = TinyBackbone::new().at(precision);
        let (engine, _) = engine(&tiny, 0);
        let packs = packs(&tiny, &engine);
        let pixels = tiny.pixels(1);
        let rows: Vec<_> = packs.iter().map(|pack| (&pixels, pack)).collect();
        for (row, found) in rows.iter().zip(run(&engine, None, &rows)) {
            let alone = run(&engine, None, &[*row]).remove(0);
            match precision {
                Precision::Int8 => assert_eq!(found.logits, alone.logits, "bit for bit"),
                _ => assert_same(&format!("{precision}"), &found, &alone.logits.to_vec(), 3e-2),
            }
        }
    }
}

/// What a pack with another manifest is refused for.
fn refused(tiny: &TinyBackbone, folder: &Path, change: impl Fn(&mut Value)) -> String {
    let path = folder.join(CONFIG_FILE);
    let whole = std::fs::read_to_string(&path).unwrap();
    let mut manifest: Value = serde_json::from_str(&whole).unwrap();
    change(&mut manifest);
    std::fs::write(&path, manifest.to_string()).unwrap();
    let error = pack::read(folder, &tiny.config).unwrap_err().to_string();
    std::fs::write(&path, whole).unwrap();
    error
}

#[test]
fn a_pack_says_which_depths_it_reads_and_others_are_refused_with_operands() {
    let (tiny, dir) = (TinyBackbone::new(), tempfile::tempdir().unwrap());
    let written = contents(&tiny, &[1, 3], 1);
    let folder = pack::write(&dir.path().join("task"), &written, &tiny.config).unwrap();
    let base = Base::new(Arc::clone(&tiny.config)).unwrap();
    let (stored, _) = read_stored(&folder, &base).unwrap();
    assert_eq!((stored.manifest.format_version, &stored.manifest.depths[..]), (4, &[1, 3][..]));
    assert_eq!(stored.head.weight.dim(), (4, 2 * tiny.config.feature_width()));
    let told = inspect::pack(&stored, &tiny.config).unwrap();
    for line in ["head reads        depths 1, 3 of 3", "starts at         the head: every block is shared"] {
        assert!(told.contains(line), "{told}");
    }
    let pack = stored.pack(&base).unwrap();
    assert_eq!(pack.modules, ModuleSet::reading([1, 3]));
    let set = |depths: Value| refused(&tiny, &folder, move |manifest| manifest["depths"] = depths.clone());
    for (found, words) in [
        (set(json!([1, 4])), "depths = 4: expected 1 to 3, the backbone's blocks"),
        (set(json!([0, 3])), "depths = 0: expected 1 to 3"),
        (set(json!([1, 1])), "depths = 1, 1: expected each once, ascending"),
        (set(json!([3, 1])), "depths = 3, 1: expected each once, ascending"),
        (set(json!([1, 2, 3])), "tensor head.weight is F32 [4, 96], expected F32 [4, 144]"),
        (set(json!([])), "tensor head.weight is F32 [4, 96], expected F32 [4, 48]"),
        (set(json!([-1, 3])), "invalid value"),
        (refused(&tiny, &folder, |json| json["format_version"] = json!(3)), "what only format 4 has"),
    ] {
        assert!(found.contains(words), "{words}: {found}");
    }
    let site = Site::new(1, Place::Mlp);
    let adapter = Weights::adapter(1, &[0.1; 48], &[0.1; 48]);
    let both = Contents { weights: [(Module::adapter(site), adapter)].into(), ..written };
    let error = pack::write(&dir.path().join("both"), &both, &tiny.config).unwrap_err().to_string();
    assert!(
        error.contains("depths = 1, 3: a head of depths stands alone, and the pack has 1 module(s)"),
        "{error}"
    );
}

fn own(lasso: f64) -> DepthHeadOptions {
    let head = LinearOptions { epochs: 30, batch: 8, ..LinearOptions::default() };
    DepthHeadOptions { head, depths: Some(vec![1, 2, 3]), lasso }
}

#[test]
fn training_drops_depths_and_the_engine_serves_what_was_measured() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let trained = |own: DepthHeadOptions| {
        train(
            &setup(&world),
            &TaskOptions { method: Method::DepthHead(own), ..options(&world, data.path()) },
            &mut |_| {},
        )
    };
    let width = |lasso: f64| {
        let report = trained(own(lasso)).ok()?;
        Some(world.tiny.read(&report.folder).manifest.depths.len())
    };
    let few =
        (1..20).map(|part| f64::from(part) / 20.0).find(|&lasso| width(lasso).is_some_and(|own| own < 3));
    let few = few.expect("some strength drops some depths and not all");
    let mut widths = Vec::new();
    for (lasso, bits) in [(0.0, None), (few, None), (few, Some(pack::Bits::Eight))] {
        let plain = own(lasso);
        let report = trained(DepthHeadOptions {
            head: LinearOptions { head_bits: bits, ..plain.head.clone() },
            ..plain
        })
        .unwrap();
        assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out);
        assert!(report.accuracies.held_out > 0.8, "{report:?}");
        let manifest = world.tiny.read(&report.folder).manifest.clone();
        assert_eq!(manifest.provenance.method, "depth-head");
        assert_eq!(
            (manifest.self_test.images, &manifest.provenance.details["depths"]),
            (2, &json!([1, 2, 3]))
        );
        widths.push(manifest.depths.len());
    }
    assert_eq!(widths[0], 3, "without a penalty none goes");
    assert!((1..3).contains(&widths[1]) && widths[1] == widths[2], "{widths:?}");
    let none = trained(own(20.0)).unwrap_err().to_string();
    assert!(none.contains("lasso = 20 drops every depth of [1, 2, 3]"), "{none}");
}

/// The bias alone explains that a class is rare. A strength by slopes that do not know it drowns the rare class.
#[test]
fn a_rare_class_is_found_however_weakly_it_differs() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    write_images(data.path(), "red", [140, 120, 120], (90, 1));
    write_images(data.path(), "blue", [120, 120, 140], (10, 2));
    let head = LinearOptions { epochs: 30, ..LinearOptions::default() };
    let method = Method::DepthHead(DepthHeadOptions { head, ..own(0.2) });
    let report =
        train(&setup(&world), &TaskOptions { method, ..options(&world, data.path()) }, &mut |_| {}).unwrap();
    // Those who always answer "red" have exactly so many.
    let majority = 0.9;
    assert!(report.accuracies.held_out > majority, "{:?}", report.accuracies);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trained_pack_passes_its_self_test_in_a_server() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let method = Method::DepthHead(DepthHeadOptions { depths: Some(vec![1, 3]), ..own(0.0) });
    let options = TaskOptions { method, ..options(&world, data.path()) };
    tokio::task::block_in_place(|| train(&setup(&world), &options, &mut |_| {})).unwrap();
    let server = world.server().await;
    let answer = crate::server::post(&server.app(), "/v1/tasks/colours/reload", "application/json", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let image = std::fs::read(data.path().join("blue/0.png")).unwrap();
    let shown = crate::server::classify(&server.app(), "colours", image).await;
    assert_eq!(shown.json()["predictions"][0]["label"], "blue", "{}", shown.text());
}

#[test]
fn what_cannot_be_trained_is_refused_with_operands() {
    let world = World::new();
    let data = tempfile::tempdir().unwrap();
    dataset(data.path());
    let refused = |typed: &[&str]| {
        let mut own = own(0.0);
        typed.iter().try_for_each(|typed| own.set(typed))?;
        let options = TaskOptions { method: Method::DepthHead(own), ..options(&world, data.path()) };
        train(&setup(&world), &options, &mut |_| {}).map(drop)
    };
    for (typed, words) in [
        ("depths=1,4", "depth 4: expected 1 to 3"),
        ("depths=0,1", "depth 0: expected 1 to 3"),
        ("depths=2,1", "depths [2, 1]: expected each once, ascending"),
        ("depths=1,1", "depths [1, 1]: expected each once, ascending"),
        ("depths=", "depth-head: depths = \"\""),
        ("depths=one", "depth-head: depths = \"one\""),
        ("lasso=-1", "lasso is -1, expected 0 or more"),
        ("lasso=NaN", "lasso is NaN"),
        ("sigma=3", "depth-head has no setting \"sigma\": it has depths and lasso"),
    ] {
        let found = format!("{:#}", refused(&[typed]).unwrap_err());
        assert!(found.contains(words), "{typed}: {found}");
    }
}

#[test]
fn a_studys_arm_reads_depths_by_its_own_settings() {
    let text = std::fs::read_to_string(support::repository().join("studies/front/protocol.json")).unwrap();
    let protocol = Protocol::parse(&text).unwrap();
    let arm = protocol.arms.iter().find(|arm| arm.name == "depth-head").unwrap();
    assert_eq!((arm.method.as_str(), &arm.settings), ("depth-head", &Settings::default()));
}
