//! Images that come as samples answer as those that come as pixels.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mimi_server::backbone::{BlockRange, ModuleSet};
use mimi_server::engine::{Answer, Engine, EngineOptions, Pixels, Row, Samples, Share};
use mimi_server::graph::{DType, Graph, Plan, SAMPLES, build, sampled};
use mimi_server::image::{Preprocessing, ResizeMode, RgbImage};
use mimi_server::metrics::Metrics;
use mimi_server::pack::Pack;

use image::Rgb;

use crate::modules::{kinds, pack};
use crate::support::{FAMILIES, TinyBackbone, assert_close, rounding};

fn engine(tiny: &TinyBackbone, bank_memory: u64) -> Engine {
    let options = EngineOptions {
        max_batch: 16,
        max_wait: Duration::from_secs(5),
        queue_limit: 64,
        workers: 1,
        max_programs: 16,
        bank_memory,
        ..EngineOptions::default()
    };
    Engine::start(tiny.resident(), Arc::new(Metrics::new().unwrap()), &options).unwrap()
}

/// An image in which no two pixels or channels agree for long, darker where its number is higher.
fn picture(tiny: &TinyBackbone, number: usize) -> RgbImage {
    let side = tiny.config.image_size() as u32;
    let samples = (0..(side * side * 3) as usize).map(|at| (at * at % (251 - 20 * number)) as u8).collect();
    RgbImage::from_raw(side, side, samples).unwrap()
}

/// Such an image, as samples.
pub fn sampled_image(tiny: &TinyBackbone, number: usize) -> Pixels {
    of(&picture(tiny, number % 3), &tiny.config.preprocessing)
}

/// An image as samples, in memory of its own.
fn of(image: &RgbImage, preprocessing: &Preprocessing) -> Pixels {
    let levels = preprocessing.resize_rgb(image).unwrap().into_raw().into();
    Pixels::Sampled(Samples { levels, mean: preprocessing.mean, std: preprocessing.std })
}

/// What a pack wants whose means and deviations are its own.
fn other(preprocessing: &Preprocessing) -> Preprocessing {
    Preprocessing { mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.9], ..preprocessing.clone() }
}

fn run(engine: &Engine, rows: &[(Pixels, &Arc<Pack>)]) -> Vec<Answer> {
    let permits = engine.admit(Share::EVERYBODY, rows.len()).unwrap();
    let submit = |(i, ((pixels, pack), permit)): (usize, (&(Pixels, &Arc<Pack>), _))| {
        engine.submit(Row::new(format!("t{i}").parse().unwrap(), pixels.clone(), Arc::clone(pack)), permit)
    };
    let waiting: Vec<_> = rows.iter().zip(permits).enumerate().map(submit).collect();
    waiting.into_iter().map(|answer| answer.blocking_recv().unwrap().unwrap()).collect()
}

/// An image as samples, and as the pixels that a client would make of it.
fn both(image: &RgbImage, preprocessing: &Preprocessing) -> [Pixels; 2] {
    let pixels: Arc<[f32]> = preprocessing.apply(image).unwrap().into();
    [of(image, preprocessing), pixels.into()]
}

#[test]
fn samples_give_what_their_pixels_give_bit_for_bit() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let packs: Vec<Arc<Pack>> =
            kinds(&tiny.config).into_iter().zip(1..).map(|(kind, seed)| pack(&tiny, kind, seed)).collect();
        for bank in [0, 64 << 20] {
            let engine = engine(&tiny, bank);
            for (number, pack) in packs.iter().enumerate() {
                engine.cover(pack.modules).blocking_recv().unwrap().unwrap();
                for wanted in [tiny.config.preprocessing.clone(), other(&tiny.config.preprocessing)] {
                    let [samples, pixels] = both(&picture(&tiny, number % 3), &wanted);
                    let [samples, pixels] =
                        [samples, pixels].map(|own| run(&engine, &[(own, pack)]).remove(0));
                    assert_eq!(samples.logits, pixels.logits, "{fixture}, pack {number}, bank {bank}");
                }
            }
        }
    }
}

#[test]
fn rows_of_both_kinds_share_a_batch() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let packs: Vec<Arc<Pack>> = (0..3)
            .map(|seed| {
                tiny.pack(seed, &tiny.config.sites().into_iter().map(|site| (site, 3)).collect::<Vec<_>>(), 4)
            })
            .collect();
        let wanted = [tiny.config.preprocessing.clone(), other(&tiny.config.preprocessing)];
        // Pixels before samples, after them, and between them, under means in turns.
        let rows: Vec<(Pixels, &Arc<Pack>)> = [1, 0, 1, 0, 0, 1]
            .into_iter()
            .enumerate()
            .map(|(at, kind)| (both(&picture(&tiny, at), &wanted[at % 2])[kind].clone(), &packs[at % 3]))
            .collect();
        for bank in [0, 64 << 20] {
            let engine = engine(&tiny, bank);
            let together = run(&engine, &rows);
            for (at, (row, together)) in rows.clone().into_iter().zip(together).enumerate() {
                assert_eq!(together.batch_rows, 6);
                let alone = run(&engine, &[row]).remove(0).logits.to_vec();
                let largest = alone.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
                let what = format!("{fixture}, row {at}, bank {bank}");
                assert_close(&what, &together.logits.to_vec(), &alone, rounding() * largest);
            }
        }
    }
}

#[test]
fn one_image_under_two_means_is_two_images() {
    let tiny = TinyBackbone::new();
    let [first, second] = [0, 1].map(|seed| tiny.pack(seed, &[], 4));
    let image = picture(&tiny, 0);
    let Pixels::Sampled(samples) = of(&image, &tiny.config.preprocessing) else { panic!() };
    let theirs = Samples { mean: [0.1, 0.2, 0.3], ..samples.clone() };
    let engine = engine(&tiny, 0);
    let rows = [(Pixels::Sampled(samples), &first), (Pixels::Sampled(theirs), &second)];
    let together = run(&engine, &rows);
    for (row, together) in rows.into_iter().zip(together) {
        let alone = run(&engine, &[row]).remove(0).logits.to_vec();
        assert_close("a row", &together.logits.to_vec(), &alone, 1e-4);
    }
}

#[test]
fn a_graph_that_begins_later_reads_no_samples() {
    let tiny = TinyBackbone::new();
    let named = |graph: &Graph| -> Vec<String> {
        graph.inputs().iter().map(|&wire| graph.wire_name(wire).to_owned()).collect()
    };
    let whole = build(&tiny.config, &Plan::below(1)).unwrap();
    let first = sampled(&whole).unwrap();
    let wire = first.find_input(SAMPLES).unwrap();
    assert_eq!(first.fact(wire).dtype, DType::U8);
    assert_eq!(named(&sampled(&first).unwrap()), named(&first));
    let blocks = BlockRange { start: 1, end: tiny.config.depth() };
    let later = build(&tiny.config, &Plan { blocks, modules: ModuleSet::EMPTY }).unwrap();
    assert_eq!(named(&sampled(&later).unwrap()), named(&later));
}

/// An image on a canvas of the engine's.
fn drawn(engine: &Engine, image: &RgbImage, preprocessing: &Preprocessing) -> Samples {
    let Pixels::Sampled(samples) = engine.canvas().unwrap().pixels(image, preprocessing).unwrap() else {
        panic!("not sampled")
    };
    samples
}

#[test]
fn canvases_are_used_again_and_nothing_of_the_image_before_stays() {
    let tiny = TinyBackbone::new();
    let (engine, preprocessing) = (engine(&tiny, 0), &tiny.config.preprocessing);
    let wide = Preprocessing { resize: ResizeMode::LongSidePad, ..preprocessing.clone() };
    let mut places = HashSet::new();
    for number in 0..6 {
        // Bright all over, and then one that leaves most of its canvas black.
        let bright = RgbImage::from_pixel(40, 40, Rgb([250, 251, 252]));
        let (first, second) =
            (drawn(&engine, &bright, preprocessing), drawn(&engine, &bright, preprocessing));
        assert_ne!(first.levels.as_ptr(), second.levels.as_ptr(), "two images are there at once");
        assert!(first.levels.iter().all(|level| *level >= 250));
        places.extend([first.levels.as_ptr(), second.levels.as_ptr()].map(|place| place.addr()));
        drop(second);
        let flat = RgbImage::from_pixel(60, 3, Rgb([9, 8, 7]));
        let flat_levels = drawn(&engine, &flat, &wide).levels;
        assert_eq!(flat_levels, wide.resize_rgb(&flat).unwrap().into_raw(), "image {number}");
        assert!(places.contains(&flat_levels.as_ptr().addr()), "the second's memory");
    }
    assert_eq!(places.len(), 2);
    let other = Preprocessing { image_size: wide.image_size + 1, ..wide.clone() };
    let error = engine.canvas().unwrap().pixels(&picture(&tiny, 0), &other).unwrap_err().to_string();
    assert!(error.contains("image_size: 3072 samples are no square of 33 x 33 pixels"), "{error}");
    // Rows outlive their engine's canvases: the last of them frees its memory by itself.
    let last = drawn(&engine, &picture(&tiny, 1), preprocessing);
    drop(engine);
    assert_eq!(last.levels, preprocessing.resize_rgb(&picture(&tiny, 1)).unwrap().into_raw());
}
