//! Modules of every form: their gradients, their packs, and batches of several kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use mimi_server::backbone::{BackboneConfig, BlockRange, Form, Module, ModuleSet, Part, Place, Site, Source};
use mimi_server::engine::{Answer, Engine, EngineOptions, Row, Share};
use mimi_server::graph::{Plan, module_flops, plan_flops};
use mimi_server::metrics::Metrics;
use mimi_server::pack::{self, CONFIG_FILE, Contents, Pack, Weights};

use crate::support::{FAMILIES, Random, TinyBackbone};

/// Every module that a backbone's blocks may have, prompts apart, which stand alone.
pub fn every(config: &BackboneConfig) -> ModuleSet {
    let sites = (0..config.depth()).flat_map(|block| Place::ALL.map(|place| Site::new(block, place)));
    let modules = sites.flat_map(|site| Form::all().map(move |form| Module { site, form }));
    let here = modules.filter(|module| module.form.fits(module.site.place) && module.form != Form::Prompts);
    here.filter(|module| config.refuses(*module).is_none()).collect()
}

/// Random tensors of a module.
fn weights(config: &BackboneConfig, module: Module, width: usize, random: &mut Random) -> Weights {
    let width = if module.form.has_width() { width } else { 0 };
    let part = |&part: &Part| {
        let count = config.part_shape(module, part, width).unwrap().iter().product();
        let values = random.floats(count, 0.2);
        (part, if part == Part::Scale { values.iter().map(|v| 1.0 + v).collect() } else { values })
    };
    let parts: Vec<_> = module.form.parts().iter().map(part).collect();
    Weights::new(width, parts)
}

fn contents(tiny: &TinyBackbone, modules: ModuleSet, seed: u64) -> Contents {
    let mut random = Random::new(seed);
    let widths = (1..).map(|i| 1 + (i + seed as usize) % 4);
    let of = |(module, width)| (module, weights(&tiny.config, module, width, &mut random));
    Contents { weights: modules.iter().zip(widths).map(of).collect(), ..tiny.contents(seed, &[], 4) }
}

pub fn pack(tiny: &TinyBackbone, modules: ModuleSet, seed: u64) -> Arc<Pack> {
    let dir = tempfile::tempdir().unwrap();
    let folder = pack::write(&dir.path().join("t"), &contents(tiny, modules, seed), &tiny.config).unwrap();
    Arc::new(pack::read(&folder, &tiny.config).unwrap().0)
}

/// Modules of the given forms at their places, in the blocks from `first` on.
fn kind(config: &BackboneConfig, first: usize, forms: &[(Place, Form)]) -> ModuleSet {
    let blocks = BlockRange { start: first, end: config.depth() };
    let one = |&(place, form)| Module { site: Site::new(first, place), form };
    config.spread(forms.iter().map(one).collect(), blocks)
}

/// Kinds as methods make them, from different blocks on; on backbones without prefixes or prompts some are empty.
pub fn kinds(config: &BackboneConfig) -> Vec<ModuleSet> {
    let bypass = |source, activation| Form::Bypass { source, activation };
    let gelu = Some(mimi_server::backbone::Activation::Gelu);
    let relu = Some(mimi_server::backbone::Activation::Relu);
    let linear = bypass(Source::Input, None);
    vec![
        ModuleSet::EMPTY,
        config.adapters(),
        kind(config, 0, &[(Place::Q, linear), (Place::V, linear)]),
        kind(config, 1, &[(Place::Mlp, bypass(Source::Input, relu))]),
        kind(config, 1, &[(Place::Out, bypass(Source::Output, gelu))]),
        kind(
            config,
            0,
            &[(Place::Norm1, Form::Shift), (Place::Fc1, Form::Shift), (Place::Scores, Form::Shift)],
        ),
        kind(
            config,
            1,
            &[(Place::Norm2, Form::Affine), (Place::K, Form::Affine), (Place::Fc2, Form::Affine)],
        ),
        kind(config, 0, &[(Place::Fc1, linear), (Place::Fc2, linear), (Place::Proj, linear)]),
        kind(config, 0, &[(Place::Attn, Form::Prefix)]),
        kind(config, 1, &[(Place::Attn, Form::Prefix)]),
        kind(config, 0, &[(Place::Tokens, Form::Prompts)]),
        kind(config, 0, &[(Place::Tokens, Form::Prompts)]),
    ]
}

pub fn engine(tiny: &TinyBackbone, max_programs: usize) -> (Engine, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let options = EngineOptions {
        max_batch: 12,
        max_wait: std::time::Duration::from_secs(5),
        queue_limit: 16,
        workers: 1,
        max_programs,
        bank_memory: crate::support::bank_bytes(),
        states_memory: crate::support::states_bytes(0),
        ..EngineOptions::default()
    };
    (Engine::start(tiny.resident(), Arc::clone(&metrics), &options).unwrap(), metrics)
}

/// Answers of rows that run together.
pub fn run(engine: &Engine, tiny: &TinyBackbone, packs: &[&Arc<Pack>]) -> Vec<Answer> {
    let permits = engine.admit(Share::EVERYBODY, packs.len()).unwrap();
    let submit = |(i, (pack, permit)): (usize, (&&Arc<Pack>, _))| {
        let row = Row::new(format!("t{i}").parse().unwrap(), tiny.pixels(i as u64), Arc::clone(pack));
        engine.submit(row, permit)
    };
    let receivers: Vec<_> = packs.iter().zip(permits).enumerate().map(submit).collect();
    receivers.into_iter().map(|receiver| receiver.blocking_recv().unwrap().unwrap()).collect()
}

#[test]
fn rows_of_every_kind_in_one_batch_answer_as_they_do_alone() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let kinds = kinds(&tiny.config);
        let packs: Vec<Arc<Pack>> =
            kinds.iter().zip(1..).map(|(kind, seed)| pack(&tiny, *kind, seed)).collect();
        let (mixed, _) = engine(&tiny, 0);
        for pack in &packs {
            mixed.cover(pack.modules).blocking_recv().unwrap().unwrap();
        }
        let together = run(&mixed, &tiny, &packs.iter().collect::<Vec<_>>());
        assert!(together.iter().all(|answer| answer.batch_rows == 12), "{fixture}");
        for (i, pack) in packs.iter().enumerate() {
            let (alone, _) = engine(&tiny, 1);
            alone.prepare(pack.modules).blocking_recv().unwrap().unwrap();
            let row = Row::new("t".parse().unwrap(), tiny.pixels(i as u64), Arc::clone(pack));
            let permit = alone.admit(Share::EVERYBODY, 1).unwrap().pop().unwrap();
            let expected = alone.submit(row, permit).blocking_recv().unwrap().unwrap().logits;
            let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            for (a, b) in together[i].logits.iter().zip(&expected) {
                assert!(
                    (a - b).abs() <= crate::support::rounding() * largest,
                    "{fixture} kind {i}: {a} and {b}"
                );
            }
        }
    }
}

#[test]
fn each_module_has_an_effect_and_flops_of_its_own() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let config = &tiny.config;
        let bare = plan_flops(config, &Plan::whole(config, ModuleSet::EMPTY), |_| 0).unwrap();
        let (engine, _) = engine(&tiny, 4);
        let all = every(config).filter(|module| module.site.block < 2);
        engine.cover(all).blocking_recv().unwrap().unwrap();
        let without = pack(&tiny, ModuleSet::EMPTY, 1);
        let packs: Vec<Arc<Pack>> =
            all.iter().map(|module| pack(&tiny, [module].into_iter().collect(), 1)).collect();
        for (module, pack) in all.iter().zip(&packs) {
            let plan = Plan::whole(config, pack.modules);
            let width = pack.weights[&module].width;
            assert_eq!(plan_flops(config, &plan, |_| width).unwrap(), pack.flops, "{fixture} {module}");
            let own = module_flops(config, module, width).unwrap();
            assert_eq!(pack.flops, bare + own, "{fixture} {module}");
        }
        for some in packs.chunks(6) {
            let rows: Vec<&Arc<Pack>> = some.iter().chain([&without]).collect();
            let plain = run(&engine, &tiny, &vec![&without; some.len()]);
            for (i, (pack, answer)) in some.iter().zip(run(&engine, &tiny, &rows)).enumerate() {
                let name = pack.modules.iter().next().unwrap();
                // The key bias adds the same number to all scores of a query, which the softmax takes away.
                let is_nothing = name.site.place == Place::K && name.form == Form::Shift;
                let is_changed =
                    plain[i].logits.iter().zip(&answer.logits).any(|(a, b)| (a - b).abs() > 1e-4);
                assert_eq!(is_changed, !is_nothing, "{fixture} {name}");
            }
        }
    }
}

#[test]
fn a_server_of_adapters_alone_compiles_nothing_for_other_forms() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 4);
    let adapters = pack(&tiny, tiny.config.adapters(), 1);
    engine.cover(adapters.modules).blocking_recv().unwrap().unwrap();
    run(&engine, &tiny, &[&adapters]);
    assert_eq!((metrics.engine.programs_compiled.get(), metrics.engine.programs_resident.get()), (1, 1));
    let kinds = kinds(&tiny.config);
    engine.cover(kinds[2]).blocking_recv().unwrap().unwrap();
    assert_eq!(metrics.engine.programs_resident.get(), 2);
    engine.cover(kinds[3]).blocking_recv().unwrap().unwrap();
    assert_eq!(metrics.engine.programs_resident.get(), 2, "a wider program replaces the one before");
}

#[test]
fn a_row_that_nothing_covers_fails_alone() {
    let tiny = TinyBackbone::new();
    let (engine, _) = engine(&tiny, 4);
    let kinds = kinds(&tiny.config);
    let (strange, usual) = (pack(&tiny, kinds[2], 1), pack(&tiny, kinds[1], 2));
    let permits = engine.admit(Share::EVERYBODY, 2).unwrap();
    let rows =
        [&strange, &usual].map(|pack| Row::new("t".parse().unwrap(), tiny.pixels(0), Arc::clone(pack)));
    let receivers: Vec<_> =
        rows.into_iter().zip(permits).map(|(row, permit)| engine.submit(row, permit)).collect();
    let answers: Vec<_> = receivers.into_iter().map(|receiver| receiver.blocking_recv().unwrap()).collect();
    assert!(answers[0].is_err() && answers[1].is_ok());
}

#[test]
fn a_row_without_a_program_for_its_cut_keeps_no_other_from_forking() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 8);
    let late = |form| kind(&tiny.config, 2, &[(Place::Attn, form)]);
    let (usual, strange) = (pack(&tiny, late(Form::Adapter), 1), pack(&tiny, late(Form::Prefix), 2));
    engine.prepare(usual.modules).blocking_recv().unwrap().unwrap();
    // Covered, but without a program above its first block.
    engine.cover(strange.modules).blocking_recv().unwrap().unwrap();
    let pixels = tiny.pixels(3);
    let permits = engine.admit(Share::EVERYBODY, 4).unwrap();
    let submit = |(pack, permit)| {
        engine.submit(Row::new("t".parse().unwrap(), Arc::clone(&pixels), Arc::clone(pack)), permit)
    };
    let waiting: Vec<_> = [&usual, &usual, &usual, &strange].into_iter().zip(permits).map(submit).collect();
    let answers: Vec<_> = waiting.into_iter().map(|row| row.blocking_recv().unwrap().unwrap()).collect();
    assert_eq!((answers[0].batch_rows, metrics.engine.rows_forked.get()), (4, 3));
}

#[test]
fn prompts_cost_as_many_more_tokens_and_stand_alone() {
    let tiny = TinyBackbone::new();
    let prompts = kind(&tiny.config, 0, &[(Place::Tokens, Form::Prompts)]);
    let module = prompts.iter().next().unwrap();
    let flops = |width| plan_flops(&tiny.config, &Plan::whole(&tiny.config, prompts), |_| width).unwrap();
    let own = pack(&tiny, prompts, 1);
    assert_eq!(own.flops, flops(own.prompts()));
    assert_eq!(module_flops(&tiny.config, module, 3).unwrap(), flops(3) - flops(0));
    let dir = tempfile::tempdir().unwrap();
    let both = prompts.union(tiny.config.adapters());
    let error = pack::write(&dir.path().join("t"), &contents(&tiny, both, 1), &tiny.config).unwrap_err();
    assert!(error.to_string().contains("prompts stand alone"), "{error}");
    for fixture in ["swin_timm", "cvt_hf"] {
        let refused = TinyBackbone::from(fixture).config.refuses(module).unwrap();
        assert!(refused.contains("prompts"), "{refused}");
    }
}

#[test]
fn packs_of_every_module_are_read_as_they_were_written() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let dir = tempfile::tempdir().unwrap();
        let contents = contents(&tiny, every(&tiny.config), 3);
        let folder = pack::write(&dir.path().join("t"), &contents, &tiny.config).unwrap();
        let (read, _) = pack::read(&folder, &tiny.config).unwrap();
        assert_eq!(read.weights, contents.weights, "{fixture}");
        assert_eq!(read.modules, every(&tiny.config));
        assert_eq!(read.manifest.format_version, 2);
        let base = pack::Base::new(Arc::clone(&tiny.config)).unwrap();
        let (stored, _) = pack::read_stored(&folder, &base).unwrap();
        let text = mimi_server::inspect::pack(&stored, &tiny.config).unwrap();
        for module in read.weights.keys().filter(|module| module.form != Form::Adapter) {
            assert!(text.contains(&module.to_string()), "{module} is not in\n{text}");
        }
    }
}

#[test]
fn adapters_alone_are_written_in_the_first_format() {
    let tiny = TinyBackbone::new();
    let read = pack(&tiny, tiny.config.adapters(), 1);
    assert_eq!(read.manifest.format_version, 1);
    let text = serde_json::to_string(&read.manifest).unwrap();
    assert!(!text.contains("\"modules\""), "an older server refuses what it does not know: {text}");
}

#[test]
fn manifests_with_impossible_modules_are_refused_by_name() {
    let tiny = TinyBackbone::new();
    let dir = tempfile::tempdir().unwrap();
    let shift = [Module { site: Site::new(1, Place::Q), form: Form::Shift }].into_iter().collect();
    let folder = pack::write(&dir.path().join("t"), &contents(&tiny, shift, 1), &tiny.config).unwrap();
    let path = folder.join(CONFIG_FILE);
    let good: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let error = |modules: BTreeMap<&str, usize>, version: u32| {
        let mut manifest = good.clone();
        manifest["modules"] = serde_json::to_value(modules).unwrap();
        manifest["format_version"] = version.into();
        std::fs::write(&path, manifest.to_string()).unwrap();
        pack::read(&folder, &tiny.config).unwrap_err().to_string()
    };
    let cases = [
        ("blocks.1.q.lokr", 0, 2, "computes no such module"),
        ("blocks.1.attn.adapter", 3, 2, "adapter_widths"),
        ("blocks.77.q.shift", 0, 2, "has no place blocks.77.q"),
        ("blocks.1.scores.shift", 0, 2, "has no place blocks.1.scores"),
        ("blocks.1.q.shift", 3, 2, "expected a width of 0 to 0"),
        ("blocks.1.q.bypass_input_none", 0, 2, "expected a width of 1"),
        ("blocks.1.q.bypass_input_none", 100_000, 2, "expected a width of 1"),
        ("blocks.1.attn.prefix", 257, 2, "expected a width of 1 to 256"),
        ("blocks.0.tokens.prompts", 257, 2, "expected a width of 1 to 256"),
        ("blocks.1.tokens.prompts", 1, 2, "has no place blocks.1.tokens"),
        ("blocks.1.q.affine", 0, 2, "blocks.1.q.affine.scale"),
        ("blocks.1.q.shift", 0, 1, "only format 2 has"),
        ("blocks.1.q.shift", 0, 5, "reads versions 1 to 4"),
    ];
    for (name, width, version, reason) in cases {
        let error = error(BTreeMap::from([(name, width)]), version);
        assert!(error.contains(reason), "{name}: {error}");
    }
}
