//! States that stay on the device give the answers of those that go by the host, whatever else uses the device meanwhile.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mimi_server::engine::{Answer, Engine, EngineOptions, Error, ImageKey, Pixels, Row, Samples, Share};
use mimi_server::metrics::Metrics;
use mimi_server::pack::Pack;

use super::{Asked, engine, engine_of, lookups, packs, prepare, run};
use crate::support::{FAMILIES, TinyBackbone};

/// Bytes of so many states of the ViT.
fn states(tiny: &TinyBackbone, count: usize) -> Option<u64> {
    Some(4 * (count * tiny.config.input_shape(1).iter().product::<usize>()) as u64)
}

fn key(number: usize) -> Option<ImageKey> {
    Some(ImageKey::new(&number.to_le_bytes(), "tiny"))
}

fn logits(answers: &[Answer]) -> Vec<Vec<f32>> {
    answers.iter().map(|answer| answer.logits.to_vec()).collect()
}

#[test]
fn answers_are_those_of_states_that_go_by_the_host() {
    for family in FAMILIES {
        let tiny = TinyBackbone::from(family);
        let packs = packs(&tiny);
        let (host, _) = engine_of(&tiny, (0, None), 1);
        let (device, metrics) = engine_of(&tiny, (0, Some(0)), 1);
        let images: Vec<Arc<[f32]>> = (1..=3).map(|seed| tiny.pixels(seed)).collect();
        let all: Vec<Asked<'_>> = images
            .iter()
            .flat_map(|pixels| packs.iter().map(move |pack| Asked { pixels, image: None, pack }))
            .collect();
        for engine in [&host, &device] {
            prepare(engine, &packs);
        }
        for (number, (there, here)) in run(&device, &all).iter().zip(run(&host, &all)).enumerate() {
            super::assert_same(&format!("{family} row {number}"), there, &here);
        }
        assert!(metrics.engine.states_bytes.get() > 0, "{family}");
        assert_eq!(metrics.engine.states_by_host.get(), 0, "{family}");
    }
}

#[test]
fn what_is_overwritten_is_run_again() {
    let tiny = TinyBackbone::new();
    let packs = packs(&tiny);
    let (plain, _) = engine(&tiny, 0);
    let (keeping, metrics) = engine_of(&tiny, (1 << 26, states(&tiny, 8)), 1);
    prepare(&keeping, &packs[2..]);
    let misses = || lookups(&metrics, "miss");
    let ask = |number: usize| {
        let (pixels, pack) = (tiny.pixels(number as u64), &packs[2]);
        let got = run(&keeping, &[Asked { pixels: &pixels, image: key(number), pack }]).remove(0);
        let alone = run(&plain, &[Asked { pixels: &pixels, image: None, pack }]).remove(0);
        super::assert_same(&format!("image {number}"), &got, &alone);
        got.flops < pack.flops
    };
    // Eight entries: the first of nine images is gone, the last is there.
    assert!((0..9).all(|number| !ask(number)));
    assert!(ask(8) && ask(1) && !ask(0));
    // Images that nobody keeps take no entry away.
    for number in 20..40 {
        let pixels = tiny.pixels(number);
        let row = || Asked { pixels: &pixels, image: None, pack: &packs[2] };
        run(&keeping, &[row(), row()]);
    }
    assert!(ask(8) && ask(0));
    // Nor where both kinds run in one batch.
    for number in 40..60 {
        let pixels = [tiny.pixels(number), tiny.pixels(8)];
        let row =
            |at: usize| Asked { pixels: &pixels[at], image: key(8).filter(|_| at == 1), pack: &packs[2] };
        run(&keeping, &[row(0), row(1)]);
    }
    assert!(ask(8) && ask(0));
    assert_eq!((misses(), metrics.engine.states_by_host.get()), (10, 0));
}

#[test]
fn workers_share_the_states_of_their_device() {
    let tiny = TinyBackbone::new();
    let packs = packs(&tiny);
    let (engine, metrics) = engine_of(&tiny, (1 << 26, states(&tiny, 16)), 3);
    prepare(&engine, &packs[2..]);
    let (plain, _) = super::engine(&tiny, 0);
    let images: Vec<Arc<[f32]>> = (0..40).map(|seed| tiny.pixels(seed)).collect();
    let expected: Vec<Vec<Answer>> =
        images.iter().map(|pixels| run(&plain, &[Asked { pixels, image: None, pack: &packs[2] }])).collect();
    let work = |thread: usize| {
        for turn in 0..60 {
            // Some images come again soon, by other threads too, and some long after they were overwritten.
            let number = (turn * (1 + thread % 3) + thread) % images.len();
            let keyed = !(turn + thread).is_multiple_of(4);
            let row =
                Asked { pixels: &images[number], image: key(number).filter(|_| keyed), pack: &packs[2] };
            super::assert_same(&format!("image {number}"), &run(&engine, &[row])[0], &expected[number][0]);
        }
    };
    thread::scope(|scope| {
        for thread in 0..6 {
            scope.spawn(move || work(thread));
        }
    });
    assert!(lookups(&metrics, "hit") > 0);
}

#[test]
fn a_batch_of_more_images_than_have_room_goes_by_the_host() {
    let tiny = TinyBackbone::new();
    let packs = packs(&tiny);
    let metrics = Arc::new(Metrics::new().unwrap());
    let options = EngineOptions {
        max_batch: 200,
        max_wait: Duration::from_secs(1),
        queue_limit: 200,
        workers: 1,
        max_programs: 16,
        states_memory: Some(0),
        ..EngineOptions::default()
    };
    let engine = Engine::start(tiny.resident(), Arc::clone(&metrics), &options).unwrap();
    prepare(&engine, &packs[2..]);
    // Two rows of each of a hundred images, of which a third comes as samples.
    let images: Vec<Pixels> = (0..100).map(|number| entering(&tiny, number)).collect();
    let permits = engine.admit(Share::EVERYBODY, 200).unwrap();
    let submit = |(number, permit): (usize, _)| {
        let row = Row::new("t".parse().unwrap(), images[number / 2].clone(), Arc::clone(&packs[2]));
        engine.submit(row, permit)
    };
    let waiting: Vec<_> = permits.into_iter().enumerate().map(submit).collect();
    let answers: Vec<Answer> = waiting.into_iter().map(|one| one.blocking_recv().unwrap().unwrap()).collect();
    assert_eq!((answers[0].batch_rows, metrics.engine.states_by_host.get()), (200, 1));
    // Eight images at once have room.
    let permits = engine.admit(Share::EVERYBODY, 16).unwrap();
    let waiting: Vec<_> = permits.into_iter().enumerate().map(submit).collect();
    for (number, one) in waiting.into_iter().enumerate() {
        let again = one.blocking_recv().unwrap().unwrap();
        super::assert_same(&format!("row {number}"), &again, &answers[number]);
    }
    assert_eq!(metrics.engine.states_by_host.get(), 1);
}

/// An image as samples or as pixels.
fn entering(tiny: &TinyBackbone, number: usize) -> Pixels {
    let size: usize = tiny.config.input_shape(0).iter().product();
    match number % 3 {
        0 => {
            let levels: Vec<u8> = (0..size).map(|at| (at * (number + 7)) as u8).collect();
            let preprocessing = &tiny.config.preprocessing;
            let (mean, std) = (preprocessing.mean, preprocessing.std);
            Pixels::Sampled(Samples { levels: levels.into(), mean, std })
        }
        _ => Pixels::Prepared(tiny.pixels(number as u64)),
    }
}

#[test]
fn a_device_without_room_to_keep_states_runs_batches_all_the_same() {
    let tiny = TinyBackbone::new();
    let packs = packs(&tiny);
    // More than any machine has.
    let (engine, metrics) = engine_of(&tiny, (1 << 26, Some(1 << 60)), 1);
    prepare(&engine, &packs[2..]);
    let expected = ask(&engine, &tiny, (1, &packs[2])).unwrap();
    let again = ask(&engine, &tiny, (1, &packs[2])).unwrap();
    assert_eq!(logits(&[again]), logits(&[expected]));
    let hits = lookups(&metrics, "hit");
    // The first batch finds that there is no room to keep states, and goes by the host, which keeps them.
    assert_eq!((hits, metrics.engine.states_by_host.get()), (1, 1));
    assert!(metrics.engine.states_bytes.get() > 0 && metrics.engine.prefix_bytes.get() > 0);
}

fn ask(engine: &Engine, tiny: &TinyBackbone, (number, pack): (usize, &Arc<Pack>)) -> Result<Answer, Error> {
    let permit = engine.admit(Share::EVERYBODY, 1)?.remove(0);
    let row = Row::new("t".parse().unwrap(), tiny.pixels(number as u64), Arc::clone(pack));
    engine.submit(Row { image: key(number), ..row }, permit).blocking_recv().unwrap()
}

#[test]
fn a_run_that_fails_leaves_no_state_behind() {
    let tiny = TinyBackbone::new();
    let packs = packs(&tiny);
    let (engine, metrics) = engine_of(&tiny, (1 << 26, Some(1 << 20)), 1);
    prepare(&engine, &packs[2..]);
    let hits = || lookups(&metrics, "hit");
    let expected = ask(&engine, &tiny, (1, &packs[2])).unwrap();
    engine.break_device(0, 1);
    assert!(matches!(ask(&engine, &tiny, (2, &packs[2])), Err(Error::Runtime(_))));
    let after = ask(&engine, &tiny, (2, &packs[2])).unwrap();
    assert_eq!((after.flops, hits()), (packs[2].flops, 0), "what failed was not kept");
    let again = ask(&engine, &tiny, (1, &packs[2])).unwrap();
    assert_eq!((logits(&[again]), hits()), (logits(&[expected]), 1));
}
