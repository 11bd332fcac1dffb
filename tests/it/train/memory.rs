//! A bound of memory: kept to, by the formula; and nothing that is learned depends on where rows are kept.

use mimi_server::backbone::ModuleSet;
use mimi_server::graph::ops::{Add, Gelu};
use mimi_server::graph::training::training_graph;
use mimi_server::graph::{Dim, Direct, Fact, Graph, Plan, build};
use mimi_server::pack::WEIGHTS_FILE;
use mimi_server::train::{
    AugmentOptions, Fit, Images, Init, LinearOptions, Method, MimiOptions, Outcome, Progress, RowStore,
    StepOptions, Target, TaskOptions, train,
};
use proptest::prelude::*;

use super::{dataset, options, setup};
use crate::server::World;
use crate::support::{Random, TinyBackbone};

#[test]
fn a_value_lives_until_it_is_last_read() {
    let mut g = Graph::new("lives");
    let x = g.input("x", Fact::f32([Dim::Batch, Dim::Fixed(10)])).unwrap();
    let a = g.wire("a", Gelu, &[x]).unwrap();
    let b = g.wire("b", Gelu, &[a]).unwrap();
    let c = g.wire("c", Gelu, &[b]).unwrap();
    // Here a and c must both be there, and the sum; b is gone.
    let d = g.wire("d", Add, &[a, c]).unwrap();
    g.output("d", d);
    let bytes = |rows| g.peak_bytes(|dim| if dim == Dim::Batch { rows } else { 1 });
    assert_eq!((bytes(1), bytes(7)), (3 * 40, 7 * 3 * 40));
}

#[test]
fn a_step_takes_more_than_a_run_and_less_than_all_its_values() {
    let tiny = TinyBackbone::new();
    let plan = Plan::whole(&tiny.config, tiny.config.adapters());
    let (step, run) =
        (training_graph(&tiny.config, &plan, Direct::TRAINED).unwrap(), build(&tiny.config, &plan).unwrap());
    let bytes = |graph: &Graph, rows| graph.peak_bytes(|dim| if dim == Dim::Batch { rows } else { 4 });
    for rows in 1..9 {
        assert!(bytes(&run, rows) < bytes(&step, rows));
        assert!(bytes(&step, rows) < bytes(&step, rows + 1));
        // Activations grow with the rows, gradients of parameters do not.
        assert!(bytes(&step, rows + 1) <= bytes(&step, rows) * (rows + 1) / rows);
    }
    let bare = build(&tiny.config, &Plan::whole(&tiny.config, ModuleSet::EMPTY)).unwrap();
    assert!(bytes(&bare, 1) <= bytes(&run, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_are_the_same_in_memory_and_in_a_file(
        (size, next) in (1usize..6, 1usize..6),
        counts in proptest::collection::vec(0usize..5, 1..4),
        batch in 1usize..5,
        seed in 0u64..99,
    ) {
        let (dir, mut random) = (tempfile::tempdir().unwrap(), Random::new(seed));
        let memory = RowStore::in_memory(size, 3 * next.max(size));
        let file = RowStore::in_file(size, &dir.path().join("new/rows")).unwrap();
        prop_assert_eq!(std::fs::read_dir(dir.path().join("new")).unwrap().count(), 0, "the file has no name");
        let rows: Vec<Vec<f32>> = counts.iter().map(|count| random.floats(count * size, 1.0)).collect();
        let all = rows.concat();
        let change = |row: &[f32]| (0..next).map(|i| row[i % size] + i as f32).collect::<Vec<f32>>();
        let changed: Vec<f32> = all.chunks(size).flat_map(change).collect();
        for mut values in [memory, file] {
            rows.iter().for_each(|rows| values.push(rows).unwrap());
            prop_assert_eq!(values.len(), all.len() / size);
            prop_assert_eq!(&values.range(0..values.len()).unwrap(), &all);
            values
                .replace(next, batch, |rows| Ok(rows.chunks(size).flat_map(change).collect()))
                .unwrap();
            prop_assert_eq!(values.size(), next);
            prop_assert_eq!(&values.range(0..values.len()).unwrap(), &changed);
            let backwards: Vec<usize> = (0..values.len()).rev().collect();
            let expected: Vec<f32> = changed.chunks(next).rev().flatten().copied().collect();
            prop_assert_eq!(values.gather(&backwards).unwrap(), expected);
            if size > 1 {
                prop_assert!(values.push(&vec![0.0; next + 1]).is_err() || next == 1);
            }
        }
    }

    #[test]
    fn a_bound_is_kept_to_and_more_memory_is_never_used_worse(
        bound in 0u64..4_000_000,
        more in 0u64..4_000_000,
        (trained, held_out) in (1usize..200, 1usize..200),
        (micro_batch, batch) in (1usize..12, 1usize..12),
        (sigma, first_block, changed) in (1.0f64..16.0, 0usize..3, any::<bool>()),
    ) {
        let tiny = TinyBackbone::new();
        let step = StepOptions { micro_batch, ..MimiOptions::default().step };
        let augment = if changed { AugmentOptions::light() } else { AugmentOptions::none() };
        let mimi = MimiOptions { sigma, first_block, batch, step, augment, ..MimiOptions::default() };
        let images = Images { trained, held_out, classes: 3 };
        let (mimi, linear) = (Method::Mimi(mimi), Method::Linear(LinearOptions::default()));
        for method in [(&mimi, false), (&mimi, true), (&linear, false)] {
            let fit = |bound| Fit::within(bound, &tiny.config, method, images);
            match (fit(bound), fit(bound + more)) {
                (Ok(tight), Ok(loose)) => {
                    prop_assert!(tight.bytes <= bound && tight.micro_batch >= 1);
                    prop_assert!(loose.micro_batch >= tight.micro_batch);
                    prop_assert!(loose.micro_batch <= micro_batch.min(batch));
                    prop_assert!(tight.held_out_in_memory || !tight.train_in_memory);
                }
                (Ok(_), Err(error)) => prop_assert!(false, "more memory is too little: {error}"),
                (Err(error), _) => {
                    // The least that it names is enough, and what is less is not.
                    let text = error.to_string();
                    let least = text.split("takes ").nth(1).unwrap().split(' ').next().unwrap();
                    let least = least.parse::<u64>().unwrap() << 20;
                    prop_assert!(bound < least && fit(least).is_ok(), "{text}");
                }
            }
        }
        let [host, device] = [false, true].map(|at| Fit::within(1 << 40, &tiny.config, (&mimi, at), images).unwrap());
        prop_assert_eq!(host.micro_batch, micro_batch.min(batch));
        prop_assert!(device.bytes > host.bytes, "a device keeps more copies");
        let heads = [false, true].map(|at| Fit::within(1 << 40, &tiny.config, (&linear, at), images).unwrap());
        prop_assert_eq!(heads[0], heads[1], "heads learn on the host");
    }
}

/// The largest bound under which training rows do not fit, found by halving.
fn tight(world: &World, method: &Method, images: Images) -> u64 {
    let roomy = |bound| {
        Fit::within(bound, &world.tiny.config, (method, false), images).is_ok_and(|fit| fit.train_in_memory)
    };
    let (mut low, mut high) = (0, 1 << 30);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if roomy(middle) { high = middle } else { low = middle }
    }
    low
}

#[test]
fn rows_on_disk_give_the_same_pack() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let linear = options(&world, data.path());
    let mimi = MimiOptions {
        sigma: 4.0,
        target: Target::Sigma(96.0),
        epochs: 2,
        batch: 8,
        init: Init::KaimingUniform,
        step: StepOptions { micro_batch: 3, ..MimiOptions::default().step },
        ..MimiOptions::default()
    };
    // From pixels, and from the middle on: rows change their form on the way.
    let late = MimiOptions { first_block: 1, ..mimi.clone() };
    let variants = AugmentOptions { variants: 9, ..AugmentOptions::light() };
    let varied = MimiOptions { first_block: 1, augment: variants, ..mimi.clone() };
    let weights = |report: &Outcome| std::fs::read(report.folder.join(WEIGHTS_FILE)).unwrap();
    for method in [linear.method.clone(), Method::Mimi(mimi), Method::Mimi(late), Method::Mimi(varied)] {
        let free = TaskOptions { method, ..linear.clone() };
        let whole = train(&setup(&world), &free, &mut |_| {}).unwrap();
        let bound = tight(&world, &free.method, Images { trained: 23, held_out: 10, classes: 3 });
        let mut notes = Vec::new();
        let bounded = TaskOptions { memory: Some(bound), ..free.clone() };
        let report = train(&setup(&world), &bounded, &mut |progress| {
            if let Progress::Note(note) = progress {
                notes.push(note.to_owned());
            }
        });
        assert!(notes[0].ends_with("training rows on disk"), "{notes:?}");
        assert_eq!(weights(&report.unwrap()), weights(&whole), "{:?}", free.method);
        if let Some(folder) = free.checkpoint.parent().filter(|folder| folder.exists()) {
            let left = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
            assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("rows")));
        }
        let nothing = TaskOptions { memory: Some(1000), ..free };
        let error = train(&setup(&world), &nothing, &mut |_| {}).unwrap_err();
        assert!(format!("{error:#}").contains("of memory is not enough"), "{error:#}");
    }
}
