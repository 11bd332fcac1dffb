//! Packs whose tensors lie in the bank answer as packs do whose tensors come with every batch.

use std::sync::Arc;
use std::time::Duration;

use mimi_server::engine::{Answer, Engine, EngineOptions, Row, Share};
use mimi_server::metrics::Metrics;
use mimi_server::pack::Pack;

use crate::modules::{kinds, pack, run};
use crate::support::{FAMILIES, TinyBackbone, assert_close, rounding};

/// Room for every pack of a test.
const ROOM: u64 = 64 << 20;
/// Room for packs of widths up to 64, but not of all widths at once.
const BUDGET: u64 = 1 << 20;
/// Room for as few packs as a bank can have: one more than there are workers.
const NARROW: u64 = 1;

fn options(bank_memory: u64) -> EngineOptions {
    EngineOptions {
        max_batch: 12,
        max_wait: Duration::from_secs(5),
        queue_limit: 16,
        max_programs: 4,
        bank_memory,
        ..EngineOptions::default()
    }
}

fn started(tiny: &TinyBackbone, options: EngineOptions) -> (Engine, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    (Engine::start(tiny.resident(), Arc::clone(&metrics), &options).unwrap(), metrics)
}

fn engine(tiny: &TinyBackbone, bank_memory: u64) -> Engine {
    started(tiny, options(bank_memory)).0
}

/// Compares two answers up to rounding.
fn assert_near(expected: &Answer, found: &Answer, what: &str) {
    let (expected, found) = (expected.logits.to_vec(), found.logits.to_vec());
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert_close(what, &found, &expected, rounding() * largest);
}

/// Compares answers of batches of `packs` through a bank with those without one.
fn compare(tiny: &TinyBackbone, batches: &[Vec<&Arc<Pack>>], bank_memory: u64, what: &str) {
    let (plain, banked) = (engine(tiny, 0), engine(tiny, bank_memory));
    for pack in batches.iter().flatten() {
        for engine in [&plain, &banked] {
            engine.cover(pack.modules).blocking_recv().unwrap().unwrap();
        }
    }
    for (number, batch) in batches.iter().enumerate() {
        let answers = run(&plain, tiny, batch).into_iter().zip(run(&banked, tiny, batch));
        for (row, (expected, found)) in answers.enumerate() {
            assert_near(&expected, &found, &format!("{what}, batch {number}, row {row}"));
        }
    }
}

#[test]
fn rows_of_every_kind_answer_as_without_a_bank() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let kinds = kinds(&tiny.config);
        let packs: Vec<Arc<Pack>> =
            kinds.iter().zip(1..).map(|(kind, seed)| pack(&tiny, *kind, seed)).collect();
        let all: Vec<&Arc<Pack>> = packs.iter().collect();
        let reversed: Vec<&Arc<Pack>> = packs.iter().rev().collect();
        compare(&tiny, &[all.clone(), reversed.clone(), all.clone()], ROOM, fixture);
        compare(&tiny, &[all, reversed], NARROW, fixture);
    }
}

#[test]
fn a_place_that_another_pack_had_keeps_nothing_of_it() {
    let tiny = TinyBackbone::new();
    let sites = tiny.config.sites();
    let wide = |seed| tiny.pack(seed, &sites.iter().map(|&site| (site, 8)).collect::<Vec<_>>(), 4);
    let packs: Vec<Arc<Pack>> = (0..4).map(wide).collect();
    let few = tiny.pack(9, &[(sites[1], 5)], 4);
    // Each batch takes the places of the one before; the last has modules at one site alone.
    let mut batches: Vec<Vec<&Arc<Pack>>> = packs.chunks(2).map(|two| two.iter().collect()).collect();
    batches.push(vec![&few, &packs[0]]);
    batches.push(vec![&few, &few, &packs[3]]);
    compare(&tiny, &batches, NARROW, "places");
}

#[test]
fn packs_of_any_width_share_a_batch() {
    let tiny = TinyBackbone::new();
    let sites = tiny.config.sites();
    let of = |(seed, width): (u64, usize)| {
        let widths: Vec<_> = sites.iter().zip([width, 1, width.div_ceil(2)].into_iter().cycle()).collect();
        tiny.pack(seed, &widths.iter().map(|(site, width)| (**site, *width)).collect::<Vec<_>>(), 3)
    };
    let packs: Vec<Arc<Pack>> = (1..).zip([4, 5, 8, 17, 32, 1, 9, 16]).map(of).collect();
    let one_by_one = packs.iter().map(|pack| vec![pack]);
    let together = packs.iter().collect::<Vec<_>>();
    let batches: Vec<Vec<&Arc<Pack>>> =
        one_by_one.chain([together.clone(), vec![&packs[5]], together]).collect();
    compare(&tiny, &batches, ROOM, "widths");
}

#[test]
fn a_pack_that_was_replaced_is_read_no_more() {
    let tiny = TinyBackbone::new();
    let sites: Vec<_> = tiny.config.sites().into_iter().map(|site| (site, 4)).collect();
    let (plain, banked) = (engine(&tiny, 0), engine(&tiny, NARROW));
    for seed in 0..20 {
        // The pack before is gone, so a new one may lie where it lay.
        let pack = tiny.pack(seed, &sites, 3);
        let [a, b] = [&plain, &banked].map(|engine| run(engine, &tiny, &[&pack]).pop().unwrap());
        assert_near(&a, &b, &format!("seed {seed}"));
    }
}

#[test]
fn a_pack_is_copied_once_however_many_batches_read_it() {
    let tiny = TinyBackbone::new();
    let sites: Vec<_> = tiny.config.sites().into_iter().map(|site| (site, 4)).collect();
    let packs: Vec<Arc<Pack>> = (0..4).map(|seed| tiny.pack(seed, &sites, 3)).collect();
    let (engine, metrics) = started(&tiny, options(ROOM));
    let rows: Vec<&Arc<Pack>> = packs.iter().chain(&packs).collect();
    run(&engine, &tiny, &rows);
    run(&engine, &tiny, &rows);
    assert_eq!(metrics.engine.bank_packs_copied.get(), 4);
    let narrow = started(&tiny, options(NARROW));
    run(&narrow.0, &tiny, &rows);
    assert!(narrow.1.engine.bank_packs_copied.get() > 4, "two packs have room");
}

#[test]
fn a_bank_grows_until_every_pack_has_its_place() {
    let tiny = TinyBackbone::new();
    let sites: Vec<_> = tiny.config.sites().into_iter().map(|site| (site, 4)).collect();
    let packs: Vec<Arc<Pack>> = (0..90).map(|seed| tiny.pack(seed, &sites, 3)).collect();
    let (engine, metrics) = started(&tiny, options(ROOM));
    let all =
        || packs.chunks(12).for_each(|some| drop(run(&engine, &tiny, &some.iter().collect::<Vec<_>>())));
    all();
    all();
    let copied = metrics.engine.bank_packs_copied.get();
    assert!((90..=270).contains(&copied), "{copied}");
    all();
    assert_eq!(metrics.engine.bank_packs_copied.get(), copied);
}

#[test]
fn packs_of_every_class_stay_within_the_memory() {
    let tiny = TinyBackbone::new();
    let sites = tiny.config.sites();
    let (engine, metrics) = started(&tiny, options(BUDGET));
    for (seed, width) in (0..).zip([4, 8, 16, 32, 4, 16, 8, 32, 64, 4, 64]) {
        let pack = tiny.pack(seed, &sites.iter().map(|&site| (site, width)).collect::<Vec<_>>(), 3);
        run(&engine, &tiny, &[&pack]);
        let bytes = metrics.engine.bank_bytes.get();
        assert!(bytes > 0 && bytes as u64 <= BUDGET, "width {width}: {bytes} bytes of {BUDGET}");
    }
}

#[test]
fn workers_that_read_the_narrowest_bank_at_once_all_find_room() {
    let tiny = TinyBackbone::new();
    let sites: Vec<_> = tiny.config.sites().into_iter().map(|site| (site, 4)).collect();
    let packs: Vec<Arc<Pack>> = (0..8).map(|seed| tiny.pack(seed, &sites, 3)).collect();
    let plain = engine(&tiny, 0);
    let expected: Vec<_> = packs.iter().map(|pack| run(&plain, &tiny, &[pack]).pop().unwrap()).collect();
    let options = EngineOptions { workers: 2, max_batch: 3, queue_limit: 64, ..options(NARROW) };
    let (engine, _) = started(&tiny, options);
    for _ in 0..5 {
        let permits = engine.admit(Share::EVERYBODY, 64).unwrap();
        let submit = |(i, permit)| {
            let row = Row::new("t".parse().unwrap(), tiny.pixels(0), Arc::clone(&packs[i % packs.len()]));
            engine.submit(row, permit)
        };
        let waiting: Vec<_> = permits.into_iter().enumerate().map(submit).collect();
        for (i, answer) in waiting.into_iter().enumerate() {
            let (found, expected) = (answer.blocking_recv().unwrap().unwrap(), &expected[i % packs.len()]);
            assert_near(expected, &found, &format!("row {i}"));
        }
    }
}

#[test]
fn devices_with_one_queue_answer_as_one_device_does() {
    let tiny = TinyBackbone::new();
    let sites: Vec<_> = tiny.config.sites().into_iter().skip(2).map(|site| (site, 4)).collect();
    let packs: Vec<Arc<Pack>> = (0..8).map(|seed| tiny.pack(seed, &sites, 3)).collect();
    let one = engine(&tiny, 0);
    let options = EngineOptions { max_batch: 1, ..options(ROOM) };
    let metrics = Arc::new(Metrics::new().unwrap());
    let resident = (tiny.resident(), vec![tiny.resident()]);
    let both = Engine::start_on(resident, Arc::clone(&metrics), &options).unwrap();
    assert_eq!((both.devices().len(), metrics.engine.programs_compiled.get()), (2, 2));
    both.prepare(packs[0].modules).blocking_recv().unwrap().unwrap();
    // Orders are filled one after another: when this one is, the programs that the first one suggested are there.
    both.prepare(packs[0].modules).blocking_recv().unwrap().unwrap();
    assert_eq!(metrics.engine.programs_compiled.get() % 2, 0, "each device has each program");
    assert!(metrics.engine.programs_compiled.get() >= 4);
    let rows: Vec<&Arc<Pack>> = packs.iter().collect();
    for (a, b) in run(&one, &tiny, &rows).into_iter().zip(run(&both, &tiny, &rows)) {
        assert_near(&a, &b, "devices");
    }
    // Each device copies what its own rows read.
    assert!(metrics.engine.bank_packs_copied.get() >= 8);
}
