//! Batches that are replayed answer as others do, whatever lay in their places before.
//!
//! On a GPU (`MIMI_TEST_DEVICE`) they are captured as CUDA graphs. A CPU captures nothing, but the places are the same.

use std::sync::Arc;
use std::time::Duration;

use mimi_server::backbone::ModuleSet;
use mimi_server::engine::{Answer, Engine, EngineOptions, ImageKey, Pixels, Row, Samples, Share};
use mimi_server::metrics::Metrics;
use mimi_server::pack::Pack;

use crate::modules::{kinds, pack};
use crate::support::{FAMILIES, TinyBackbone, assert_close, rounding, states_bytes};

/// Most rows of a batch that is replayed.
const MOST: usize = 8;

fn engine(tiny: &TinyBackbone, replayed_rows: usize, states_memory: Option<u64>) -> (Engine, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let options = EngineOptions {
        max_batch: 16,
        max_wait: Duration::from_secs(5),
        queue_limit: 64,
        max_programs: 16,
        prefix_memory: states_memory.unwrap_or(0),
        bank_memory: 64 << 20,
        states_memory,
        replayed_rows,
        ..EngineOptions::default()
    };
    (Engine::start(tiny.resident(), Arc::clone(&metrics), &options).unwrap(), metrics)
}

struct Asked<'a> {
    pixels: Pixels,
    image: Option<ImageKey>,
    pack: &'a Arc<Pack>,
}

/// Runs that were captured or replayed.
fn runs(metrics: &Metrics) -> u64 {
    metrics.engine.graphs_captured.get() + metrics.engine.batches_replayed.get()
}

/// Answers of rows that run together.
fn run(engine: &Engine, rows: &[Asked<'_>]) -> Vec<Answer> {
    let permits = engine.admit(Share::EVERYBODY, rows.len()).unwrap();
    let submit = |(row, permit): (&Asked<'_>, _)| {
        let own = Row::new("t".parse().unwrap(), row.pixels.clone(), Arc::clone(row.pack));
        engine.submit(Row { image: row.image, ..own }, permit)
    };
    let waiting: Vec<_> = rows.iter().zip(permits).map(submit).collect();
    waiting.into_iter().map(|one| one.blocking_recv().unwrap().unwrap()).collect()
}

/// Compares answers of two engines.
fn compare(engines: [&Engine; 2], rows: &[Asked<'_>], what: &str) {
    let [expected, found] = engines.map(|engine| run(engine, rows));
    for (row, (expected, found)) in expected.iter().zip(&found).enumerate() {
        let (expected, found) = (expected.logits.to_vec(), found.logits.to_vec());
        let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        assert_close(&format!("{what}, row {row}"), &found, &expected, rounding() * largest);
    }
}

/// An image as samples or as pixels.
fn image(tiny: &TinyBackbone, number: usize, is_sampled: bool) -> Pixels {
    match is_sampled {
        // Each with means and deviations of its own.
        true => match crate::samples::sampled_image(tiny, number) {
            Pixels::Sampled(own) => Pixels::Sampled(Samples { mean: [0.1 * number as f32, 0.2, 0.3], ..own }),
            prepared => prepared,
        },
        false => tiny.pixels(number as u64).into(),
    }
}

/// Whether a family's programs are captured: convolutions are not.
fn is_captured(fixture: &str) -> bool {
    !fixture.starts_with("cvt")
}

#[test]
fn small_batches_answer_as_they_do_without() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        // Those behind have prefixes and prompts.
        let kinds = kinds(&tiny.config).into_iter().take(8);
        let packs: Vec<Arc<Pack>> = kinds.zip(1..).map(|(kind, seed)| pack(&tiny, kind, seed)).collect();
        let ((plain, none), (replayed, some)) = (engine(&tiny, 0, None), engine(&tiny, MOST, None));
        for engine in [&plain, &replayed] {
            packs.iter().for_each(|pack| engine.cover(pack.modules).blocking_recv().unwrap().unwrap());
        }
        // Sizes go up and down, so that rows that fill up find what others left.
        for (turn, rows) in [1, 5, 3, 8, 2, 7, 1, 4, 6, 12, 3].into_iter().enumerate() {
            for is_sampled in [true, false] {
                let row = |at: usize| {
                    let pack = &packs[(at * 5 + turn) % packs.len()];
                    Asked { pixels: image(&tiny, turn + at, is_sampled), image: None, pack }
                };
                let before = runs(&some);
                let what = format!("{fixture}, turn {turn}");
                compare([&plain, &replayed], &(0..rows).map(row).collect::<Vec<_>>(), &what);
                let runs = runs(&some) - before;
                assert_eq!(
                    runs > 0,
                    is_captured(fixture) && is_sampled && rows <= MOST,
                    "{what}, {rows} rows"
                );
            }
        }
        // Four sizes, of either program at the least. What was captured is not captured again.
        let again = || {
            for rows in [2, 8, 3, 1, 5] {
                let row = |at: usize| Asked { pixels: image(&tiny, at, true), image: None, pack: &packs[at] };
                compare([&plain, &replayed], &(0..rows).map(row).collect::<Vec<_>>(), fixture);
            }
            some.engine.graphs_captured.get()
        };
        let captured = again();
        assert_eq!((captured >= 4, again()), (is_captured(fixture), captured), "{fixture}");
        assert_eq!(runs(&none), 0);
    }
}

#[test]
fn what_cannot_be_captured_answers_all_the_same() {
    let tiny = TinyBackbone::new();
    let kinds = kinds(&tiny.config).into_iter();
    let packs: Vec<Arc<Pack>> = kinds.zip(1..).map(|(kind, seed)| pack(&tiny, kind, seed)).collect();
    let ((plain, _), (replayed, metrics)) = (engine(&tiny, 0, None), engine(&tiny, MOST, None));
    let row =
        |at: usize| Asked { pixels: image(&tiny, at, at.is_multiple_of(2)), image: None, pack: &packs[1] };
    compare([&plain, &replayed], &[row(0), row(1), row(2)], "images of both kinds");
    assert_eq!(runs(&metrics), 0);
    compare([&plain, &replayed], &[row(0), row(2), row(4)], "samples");
    assert_eq!(runs(&metrics), 1);
    for engine in [&plain, &replayed] {
        packs.iter().for_each(|pack| engine.cover(pack.modules).blocking_recv().unwrap().unwrap());
    }
    // Prefixes are as long as a pack likes, and so is what all rows run on now.
    let row = |at: usize| Asked { pixels: image(&tiny, at, true), image: None, pack: &packs[at] };
    compare([&plain, &replayed], &[row(1), row(8), row(10)], "a prefix, and prompts");
    assert_eq!(runs(&metrics), 1);
}

#[test]
fn forks_answer_as_they_do_without_and_keep_what_they_ran() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let late = tiny.config.sites().into_iter().filter(|site| site.block >= 1).collect::<Vec<_>>();
        let packs: Vec<Arc<Pack>> = (1..=6)
            .map(|seed| {
                tiny.pack(seed, &late.iter().map(|&site| (site, seed as usize)).collect::<Vec<_>>(), 3)
            })
            .collect();
        let ((plain, _), (replayed, metrics)) =
            (engine(&tiny, 0, states_bytes(1 << 20)), engine(&tiny, MOST, Some(1 << 20)));
        for engine in [&plain, &replayed] {
            engine.prepare(packs[0].modules).blocking_recv().unwrap().unwrap();
            engine.prepare(ModuleSet::EMPTY).blocking_recv().unwrap().unwrap();
        }
        let images: Vec<Pixels> = (0..3).map(|number| image(&tiny, number, true)).collect();
        for turn in 0..4usize {
            let row = |at: usize| {
                let number = (turn + at / 3) % 3;
                let image = Some(ImageKey::new(&number.to_le_bytes(), "tiny")).filter(|_| turn % 2 == 0);
                Asked { pixels: images[number].clone(), image, pack: &packs[(at + turn) % packs.len()] }
            };
            compare(
                [&plain, &replayed],
                &(0..6).map(row).collect::<Vec<_>>(),
                &format!("{fixture}, turn {turn}"),
            );
        }
        // Each batch ran below the cut, and above it.
        let expected = if is_captured(fixture) { 8 } else { 0 };
        assert_eq!(runs(&metrics), expected, "{fixture}");
        assert_eq!(metrics.engine.states_by_host.get(), 0, "{fixture}");
    }
}
