//! Comparisons: who takes part, on what terms, and what is made of the results.

use std::path::Path;

use mimi_server::train::study::{CompareOptions, Contender, Gain, Point, compare, plot, summarise};
use mimi_server::train::{AugmentOptions, Init, LinearOptions, MimiOptions, Origin, Progress, Target};

use crate::server::World;
use crate::train::{dataset, origin, setup};

const ALL: [Contender; 26] = [
    Contender::Probe,
    Contender::Adapters,
    Contender::Uniform,
    Contender::Wide,
    Contender::Mimi,
    Contender::Local,
    Contender::Unscaled,
    Contender::Widths,
    Contender::DownOnly,
    Contender::Gradient,
    Contender::Random,
    Contender::Product,
    Contender::Taylor,
    Contender::Activation,
    Contender::Contribution,
    Contender::FrontFirst,
    Contender::Gates,
    Contender::Snip,
    Contender::SnipNeurons,
    Contender::Grasp,
    Contender::GraspNeurons,
    Contender::SparseAdapter,
    Contender::SparseAdapterNeurons,
    Contender::Full,
    Contender::Attention,
    Contender::Mlp,
];

fn options(data: &Path, out: &Path) -> CompareOptions {
    CompareOptions {
        images: Origin { per_class: Some(6), held_out_per_class: Some(2), ..origin(data) },
        mimi: MimiOptions {
            sigma: 4.0,
            target: Target::Sigma(16.0),
            epochs: 2,
            batch: 8,
            rate: 5e-3,
            init: Init::KaimingUniform,
            ..MimiOptions::default()
        },
        linear: LinearOptions { epochs: 5, ..LinearOptions::default() },
        contenders: ALL.to_vec(),
        memory: None,
        seeds: vec![0, 1],
        results: out.join("results.json"),
    }
}

#[test]
fn augmentation_changes_what_adapters_see_but_not_the_head_alone() {
    let (world, data, out) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let plain = CompareOptions {
        contenders: vec![Contender::Probe, Contender::Adapters],
        seeds: vec![0],
        ..options(data.path(), out.path())
    };
    let augment = AugmentOptions { crop: 0.5, flip: 0.5, ..AugmentOptions::none() };
    let mimi = MimiOptions { augment, ..plain.mimi.clone() };
    let (before, _) = run(&world, &plain);
    let augmented = CompareOptions { mimi, results: out.path().join("augmented.json"), ..plain };
    let (after, _) = run(&world, &augmented);
    assert_eq!(before[0], after[0], "the head alone");
    assert_ne!(before[1].loss, after[1].loss, "adapters");
    assert_eq!(before[1].adapter_parameters, after[1].adapter_parameters);
}

fn run(world: &World, options: &CompareOptions) -> (Vec<Point>, usize) {
    let mut made = 0;
    let results = compare(&setup(world), options, &mut |_| {}, &mut |_| made += 1).unwrap();
    (results.points().to_vec(), made)
}

#[test]
fn contenders_meet_on_equal_terms_and_what_was_run_is_not_run_again() {
    let (world, data, out) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let all = options(data.path(), out.path());
    let (some, _) = run(&world, &CompareOptions { contenders: ALL[..2].to_vec(), ..all.clone() });
    let (points, made) = run(&world, &all);
    assert_eq!(points[..some.len()], some[..], "earlier runs stay as they were");
    assert_eq!(points.len(), some.len() + made);
    assert_eq!(run(&world, &all).1, 0, "nothing is left to run");
    let end = |who, seed| {
        let own = points.iter().filter(|point| point.contender == who && point.seed == seed);
        own.max_by_key(|point| point.cycle).unwrap()
    };
    for seed in [0, 1] {
        let mimi = end(Contender::Mimi, seed);
        assert_eq!((mimi.cycle, mimi.epochs), (2, 6), "two prunings, three trainings");
        for who in &ALL[1..] {
            assert_eq!(end(*who, seed).epochs, 6, "{who} trains as long");
        }
        for who in
            [Contender::Adapters, Contender::Uniform, Contender::Local, Contender::Random, Contender::Gates]
        {
            assert_eq!(end(who, seed).adapter_parameters, mimi.adapter_parameters, "{who} is as large");
        }
        let wide = end(Contender::Wide, seed);
        for who in [Contender::SnipNeurons, Contender::GraspNeurons, Contender::SparseAdapterNeurons] {
            assert_eq!(end(who, seed).adapter_parameters, mimi.adapter_parameters, "{who} is as large");
            assert!(end(who, seed).flops < wide.flops, "{who} gets faster");
        }
        for who in [Contender::Snip, Contender::Grasp, Contender::SparseAdapter] {
            assert_eq!(end(who, seed).adapter_parameters, mimi.adapter_parameters, "{who} is as large");
            assert_eq!(end(who, seed).flops, wide.flops, "{who} gets no faster");
        }
        // Three blocks of width 48, MLPs of 96.
        let (attention, mlps) = (3 * (4 * 48 * 48 + 4 * 48), 3 * (2 * 48 * 96 + 48 + 96));
        assert_eq!(end(Contender::Attention, seed).adapter_parameters, attention);
        assert_eq!(end(Contender::Mlp, seed).adapter_parameters, mlps);
        assert!(end(Contender::Full, seed).adapter_parameters > attention + mlps);
        assert_eq!(end(Contender::Full, seed).flops, end(Contender::Probe, seed).flops);
        assert_eq!(end(Contender::Wide, seed).adapter_parameters, 4 * mimi.adapter_parameters);
        assert_eq!(end(Contender::Probe, seed).adapter_parameters, 0);
        assert!(end(Contender::Probe, seed).flops < mimi.flops);
    }
    assert_ne!(end(Contender::Mimi, 0).loss, end(Contender::Mimi, 1).loss, "seeds differ");
    let other = CompareOptions { images: Origin { holdout: 0.4, ..all.images.clone() }, ..all };
    let error = compare(&setup(&world), &other, &mut |_| {}, &mut |_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("another comparison"), "{error:#}");
}

#[test]
fn a_run_again_gives_the_same_numbers() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = |out: &Path| CompareOptions { contenders: ALL[3..5].to_vec(), ..options(data.path(), out) };
    assert_eq!(run(&world, &options(a.path())).0, run(&world, &options(b.path())).0);
}

fn point(contender: Contender, seed: u64, (cycle, accuracy): (usize, f64)) -> Point {
    Point {
        contender,
        seed,
        cycle,
        epochs: 10 * (cycle + 1),
        neurons: 8,
        adapters: 4 - cycle,
        adapter_parameters: 1000 >> cycle,
        flops: 2_000_000_000,
        train_accuracy: 1.0,
        accuracy,
        loss: 0.5,
    }
}

#[test]
fn means_deviations_and_gains_are_those_of_the_points() {
    let points = [
        point(Contender::Mimi, 0, (0, 0.5)),
        point(Contender::Mimi, 0, (1, 0.8)),
        point(Contender::Mimi, 1, (0, 0.7)),
        point(Contender::Mimi, 1, (1, 0.6)),
        point(Contender::Adapters, 0, (0, 0.5)),
        point(Contender::Adapters, 1, (0, 0.4)),
    ];
    let summary = summarise(&points);
    let line = summary.lines.iter().find(|line| line.contender == Contender::Mimi && line.last).unwrap();
    // Mean 0.7; deviation √(2 · 0.1² / 1).
    assert!((line.mean - 0.7).abs() < 1e-12 && (line.deviation - 0.02_f64.sqrt()).abs() < 1e-12, "{line:?}");
    assert_eq!((line.seeds, line.epochs, line.adapter_parameters), (2, 20, 500.0));
    // Differences 0.3 and 0.2: mean 0.25, deviation 0.0707, error 0.05.
    let Gain { over: who, mean: gain, error } = summary.gains[0];
    assert!(who == Contender::Adapters && (gain - 0.25).abs() < 1e-12 && (error - 0.05).abs() < 1e-12);
    let table = summary.to_string();
    assert!(table.contains("| mimi | 20 | 500 | 3.0 | 2.000 | 70.00 ± 14.14 | 2 |"), "{table}");
    assert!(table.contains("mimi − adapters: +25.00 ± 5.00 points"), "{table}");
    let svg = plot(&summary, "a < b").unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("mimi") && svg.contains("a &lt; b"), "{svg}");
}

#[test]
fn names_are_read_as_they_are_written() {
    for contender in ALL {
        assert_eq!(contender.to_string().parse(), Ok(contender));
        assert_eq!(serde_json::to_value(contender).unwrap(), contender.to_string());
    }
    assert!("nobody".parse::<Contender>().unwrap_err().contains("mimi"));
}

#[test]
fn memory_is_told_before_training_and_refused_where_it_does_not_suffice() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let compared = |memory| {
        let out = tempfile::tempdir().unwrap();
        let contenders = vec![Contender::Full];
        let options =
            CompareOptions { contenders, seeds: vec![0], memory, ..options(data.path(), out.path()) };
        let mut told = String::new();
        let result = compare(
            &setup(&world),
            &options,
            &mut |progress| {
                if let Progress::Note(note) = progress {
                    told += note;
                }
            },
            &mut |_| {},
        );
        (told, result)
    };
    let (told, result) = compared(None);
    assert!(told.contains("of weights, gradients and moments") && told.contains("8 image(s)"), "{told}");
    let whole = result.unwrap().points().to_vec();
    // Fewer images run together give nearly the same, within rounding.
    let (told, result) = compared(Some(2 << 20));
    assert!(told.contains(" image(s) run together") && !told.contains("8 image(s)"), "{told}");
    assert!((result.unwrap().points()[0].loss - whole[0].loss).abs() < 1e-3);
    let error = compared(Some(1 << 20)).1.unwrap_err().to_string();
    assert!(error.contains("1 MiB of memory is not enough for full fine-tuning"), "{error}");
}
