//! One image under many packs: shared blocks run once, kept ones not at all, and nobody can tell by the answers.

mod header;
mod states;

use std::slice;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mimi_server::backbone::{ModuleSet, Place, Site};
use mimi_server::engine::{Answer, Cost, Engine, EngineOptions, Flow, ImageKey, Meter, Row, Share};
use mimi_server::graph::{Plan, plan_flops};
use mimi_server::metrics::Metrics;
use mimi_server::pack::Pack;

use crate::support::{self, FAMILIES, TinyBackbone, assert_close};

fn engine(tiny: &TinyBackbone, prefix_memory: u64) -> (Engine, Arc<Metrics>) {
    engine_of(tiny, (prefix_memory, crate::support::states_bytes(prefix_memory)), 1)
}

/// An engine that keeps as many bytes of prefixes on the host, and of states on the device.
fn engine_of(
    tiny: &TinyBackbone,
    (prefix_memory, states_memory): (u64, Option<u64>),
    workers: usize,
) -> (Engine, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let options = EngineOptions {
        max_batch: 4,
        max_wait: Duration::from_secs(5),
        queue_limit: 64,
        workers,
        max_programs: 16,
        prefix_memory,
        bank_memory: crate::support::bank_bytes(),
        states_memory,
        ..EngineOptions::default()
    };
    (Engine::start(tiny.resident(), Arc::clone(&metrics), &options).unwrap(), metrics)
}

/// Packs whose adapters begin at each block, one without any, and others like them.
fn packs(tiny: &TinyBackbone) -> Vec<Arc<Pack>> {
    let depth = tiny.config.depth();
    let blocks = (0..=depth).chain(1..=depth);
    let from = |block: usize| -> Vec<(Site, usize)> {
        let late = tiny.config.sites().into_iter().filter(|site| site.block >= block);
        late.zip([3, 8, 1, 5].into_iter().cycle()).collect()
    };
    blocks.zip(0..).map(|(block, seed)| tiny.pack(seed, &from(block), 3 + block)).collect()
}

struct Asked<'a> {
    pixels: &'a Arc<[f32]>,
    image: Option<ImageKey>,
    pack: &'a Arc<Pack>,
}

fn run(engine: &Engine, rows: &[Asked<'_>]) -> Vec<Answer> {
    run_of(engine, &[0], rows)
}

/// Runs rows that are, in turns, of these flows.
fn run_of(engine: &Engine, flows: &[u64], rows: &[Asked<'_>]) -> Vec<Answer> {
    let permits = engine.admit(Share::EVERYBODY, rows.len()).unwrap();
    let submit = |(i, (row, permit)): (usize, (&Asked<'_>, _))| {
        let (pixels, pack) = (Arc::clone(row.pixels), Arc::clone(row.pack));
        let share = Share::new(Flow::new(flows[i % flows.len()]), 1);
        let row = Row { image: row.image, share, ..Row::new(format!("t{i}").parse().unwrap(), pixels, pack) };
        engine.submit(row, permit)
    };
    let waiting: Vec<_> = rows.iter().zip(permits).enumerate().map(submit).collect();
    waiting.into_iter().map(|receiver| receiver.blocking_recv().unwrap().unwrap()).collect()
}

fn prepare(engine: &Engine, packs: &[Arc<Pack>]) {
    for pack in packs {
        engine.prepare(pack.modules).blocking_recv().unwrap().unwrap();
    }
    // Orders are filled one after another, so the cuts suggested before this one are there when it is.
    engine.prepare(ModuleSet::EMPTY).blocking_recv().unwrap().unwrap();
}

/// Images looked up among kept prefixes so far, by outcome.
fn lookups(metrics: &Metrics, outcome: &str) -> u64 {
    metrics.engine.prefix_lookups.with_label_values(&[outcome]).get()
}

fn assert_same(what: &str, got: &Answer, expected: &Answer) {
    let scale = expected.logits.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
    assert_close(what, &got.logits.to_vec(), &expected.logits.to_vec(), support::rounding() * scale);
}

#[test]
fn an_image_under_many_packs_equals_each_alone() {
    for family in FAMILIES {
        let tiny = TinyBackbone::from(family);
        let packs = packs(&tiny);
        let (plain, _) = engine(&tiny, 0);
        let (forking, metrics) = engine(&tiny, 0);
        prepare(&forking, &packs);
        let pixels = [tiny.pixels(1), tiny.pixels(2)];
        let all: Vec<Asked<'_>> = pixels
            .iter()
            .flat_map(|pixels| packs.iter().map(move |pack| Asked { pixels, image: None, pack }))
            .collect();
        let together = run(&forking, &all);
        for (i, (row, got)) in all.iter().zip(&together).enumerate() {
            let alone = Asked { pixels: row.pixels, image: None, pack: row.pack };
            assert_same(&format!("{family} row {i}"), got, &run(&plain, &[alone])[0]);
        }
        assert!(
            metrics.engine.rows_forked.get() > packs.len() as u64,
            "{family}: {}",
            metrics.engine.rows_forked.get()
        );
        assert_eq!(lookups(&metrics, "hit"), 0);
        assert!(together.iter().any(|answer| answer.batch_rows > 4), "branches of an image join its batch");
    }
}

#[test]
fn a_known_image_is_not_run_again_below_the_cut() {
    for states in [None, Some(1 << 20)] {
        known_image(states);
    }
}

fn known_image(states: Option<u64>) {
    let tiny = TinyBackbone::new();
    let packs = packs(&tiny);
    let (plain, _) = engine(&tiny, 0);
    let (keeping, metrics) = engine_of(&tiny, (1 << 26, states), 1);
    prepare(&keeping, &packs[2..]);
    let lookups = |outcome| lookups(&metrics, outcome);
    for seed in [1, 2] {
        let pixels = tiny.pixels(seed);
        let image = Some(ImageKey::new(&seed.to_le_bytes(), "tiny"));
        for (number, pack) in packs[2..].iter().chain(&packs[..1]).enumerate() {
            let got = run(&keeping, &[Asked { pixels: &pixels, image, pack }]);
            let alone = run(&plain, &[Asked { pixels: &pixels, image: None, pack }]);
            assert_same(&format!("image {seed} pack {number}"), &got[0], &alone[0]);
        }
    }
    assert!(lookups("hit") >= 2, "{} hits, {} misses", lookups("hit"), lookups("miss"));
    let kept = [metrics.engine.states_bytes.get() > 0, metrics.engine.prefix_bytes.get() > 0];
    assert_eq!(kept, [states.is_some(), states.is_none()]);
    let before = lookups("hit") + lookups("miss");
    let secret = Asked { pixels: &tiny.pixels(1), image: None, pack: &packs[2] };
    run(&keeping, &[secret]);
    assert_eq!(lookups("hit") + lookups("miss"), before, "a row without a key leaves no trace");
}

#[test]
fn flows_share_neither_batches_blocks_nor_kept_ones() {
    for states in [None, Some(1 << 20)] {
        flows(states);
    }
}

fn flows(states: Option<u64>) {
    let tiny = TinyBackbone::new();
    let packs = packs(&tiny);
    let (engine, metrics) = engine_of(&tiny, (1 << 26, states), 1);
    prepare(&engine, &packs[2..]);
    let lookups = |outcome| lookups(&metrics, outcome);
    let (pixels, pack) = (tiny.pixels(1), &packs[2]);
    let image = Some(ImageKey::new(b"one", "tiny"));
    let asked = || Asked { pixels: &pixels, image, pack };
    // Each flow's first row pays for all its blocks, whatever another flow asked about the same image.
    for flow in [1, 2, 3] {
        let first = run_of(&engine, &[flow], &[asked()]).remove(0);
        assert_eq!((first.flops, lookups("hit")), (pack.flops, flow - 1), "flow {flow}");
        let second = run_of(&engine, &[flow], &[asked()]).remove(0);
        assert!(second.flops < pack.flops && lookups("hit") == flow, "flow {flow}");
    }
    // In one batch too: by the image's key, and by the very pixels.
    let other = tiny.pixels(2);
    for image in [Some(ImageKey::new(b"two", "tiny")), None] {
        let rows: Vec<Asked<'_>> = (0..4).map(|_| Asked { pixels: &other, image, pack }).collect();
        let costs = |flows: &[u64]| -> Vec<u64> {
            run_of(&engine, flows, &rows).iter().map(|answer| answer.flops).collect()
        };
        assert_eq!(costs(&[11, 12, 13, 14]), [pack.flops; 4], "rows of four flows");
        let below = plan_flops(&tiny.config, &Plan::below(pack.modules.lowest_block().unwrap()), |_| 0);
        let two = costs(&[21, 22]).iter().sum::<u64>();
        assert_eq!(two, 4 * pack.flops - 2 * below.unwrap(), "two flows share two and two");
    }
}

#[test]
fn rows_cost_together_what_programs_ran() {
    for (family, states) in FAMILIES.into_iter().flat_map(|family| [(family, None), (family, Some(1 << 20))])
    {
        let tiny = TinyBackbone::from(family);
        let packs = packs(&tiny);
        let (engine, metrics) = engine_of(&tiny, (1 << 26, states), 1);
        prepare(&engine, &packs);
        let pixels = [tiny.pixels(1), tiny.pixels(2)];
        let mut sum = 0;
        for round in 0..3u32 {
            let all: Vec<Asked<'_>> = pixels
                .iter()
                .zip(0u32..)
                .flat_map(|(pixels, number)| {
                    let image = (number < round).then(|| ImageKey::new(&number.to_le_bytes(), "tiny"));
                    packs.iter().map(move |pack| Asked { pixels, image, pack })
                })
                .collect();
            let answers = run_of(&engine, &[1, 2], &all);
            assert!(answers.iter().zip(&all).all(|(answer, row)| answer.flops <= row.pack.flops));
            sum += answers.iter().map(|answer| answer.flops).sum::<u64>();
            assert_eq!(metrics.engine.engine_flops.get(), sum, "{family} round {round}");
        }
        let whole = 3 * 2 * packs.iter().map(|pack| pack.flops).sum::<u64>();
        assert!(sum < whole, "{family}: sharing saves FLOPs");
        assert_eq!(metrics.engine.unclaimed_flops.get(), 0);
    }
}

/// Drops its row's receiver when the row has run and is not answered yet.
struct Leaver(Mutex<mpsc::Receiver<mimi_server::engine::Reply>>);

impl Meter for Leaver {
    fn ran(&self, _: Cost) {
        drop(self.0.lock().unwrap().recv());
    }
}

#[test]
fn rows_that_nobody_waits_for_cost_what_they_ran() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 0);
    let pack = tiny.pack(1, &[], 2);
    let (leave, left) = mpsc::channel();
    let meter: Option<Arc<dyn Meter>> = Some(Arc::new(Leaver(Mutex::new(left))));
    let permit = engine.admit(Share::EVERYBODY, 1).unwrap().remove(0);
    let row = Row { meter, ..Row::new("t".parse().unwrap(), tiny.pixels(1), Arc::clone(&pack)) };
    leave.send(engine.submit(row, permit)).unwrap();
    engine.stop();
    assert!(pack.flops > 0);
    assert_eq!(
        (metrics.engine.engine_flops.get(), metrics.engine.unclaimed_flops.get()),
        (pack.flops, pack.flops)
    );
}

#[test]
fn only_rows_with_programs_for_their_cut_lengthen_a_batch() {
    let tiny = TinyBackbone::new();
    let (engine, _) = engine(&tiny, 0);
    let pack = tiny.pack(1, &[(Site::new(tiny.config.depth() - 1, Place::Mlp), 4)], 3);
    let pixels = tiny.pixels(1);
    let longest = || {
        let rows = (0..40).map(|_| Asked { pixels: &pixels, image: None, pack: &pack }).collect::<Vec<_>>();
        run(&engine, &rows).iter().map(|answer| answer.batch_rows).max()
    };
    assert_eq!(longest(), Some(4));
    prepare(&engine, slice::from_ref(&pack));
    assert!(longest() > Some(4));
}

#[test]
fn blocks_below_and_above_a_cut_cost_what_the_whole_costs() {
    for family in FAMILIES {
        let tiny = TinyBackbone::from(family);
        let (config, depth) = (&tiny.config, tiny.config.depth());
        let flops = |plan: &Plan| plan_flops(config, plan, |_| 3).unwrap();
        for cut in 1..depth {
            let above = Plan::above(config, cut, config.adapters());
            let whole = flops(&Plan::whole(config, above.modules));
            assert_eq!(flops(&Plan::below(cut)) + flops(&above), whole, "{family} {cut}");
        }
        assert_eq!(flops(&Plan::below(depth)), flops(&Plan::whole(config, ModuleSet::EMPTY)), "{family}");
    }
}

#[test]
fn keys_tell_images_and_preprocessings_apart() {
    let keys = [("a", "x"), ("b", "x"), ("a", "y"), ("xa", ""), ("", "xa")];
    let keys = keys.map(|(bytes, how)| ImageKey::new(bytes.as_bytes(), how));
    for (i, a) in keys.iter().enumerate() {
        assert_eq!(keys.iter().filter(|b| *b == a).count(), 1, "key {i}");
    }
}
