//! Every kind of pack on backbones below fp32.

use std::sync::Arc;

use mimi_server::backbone::Precision;
use mimi_server::pack::Pack;
use mimi_server::train::{Adaptation, MimiOptions, train};

use crate::methods::quick;
use crate::mimi::{served_accuracy, task};
use crate::modules::{engine, kinds, pack, run};
use crate::server::{World, post};
use crate::support::{FAMILIES, TinyBackbone, assert_close};
use crate::train::{dataset, setup};

/// Of the largest logit: a last bit may move an activation to the next of 255 steps.
const BETWEEN_PROGRAMS: f32 = 3e-2;

#[test]
fn kinds_share_a_batch_at_every_precision() {
    for precision in [Precision::Int8, Precision::Fp16] {
        for fixture in FAMILIES {
            let tiny = TinyBackbone::from(fixture).at(precision);
            let packs: Vec<Arc<Pack>> = kinds(&tiny.config)
                .into_iter()
                .zip(1..)
                .map(|(kind, seed)| pack(&tiny, kind, seed))
                .collect();
            let (mixed, _) = engine(&tiny, 0);
            for pack in &packs {
                mixed.cover(pack.modules).blocking_recv().unwrap().unwrap();
            }
            let together = run(&mixed, &tiny, &packs.iter().collect::<Vec<_>>());
            for (i, pack) in packs.iter().enumerate() {
                let others = vec![pack; i + 1];
                let alone = run(&mixed, &tiny, &others).pop().unwrap().logits.to_vec();
                let largest = alone.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                let what = format!("{fixture} at {precision}, kind {i}");
                assert_close(&what, &together[i].logits.to_vec(), &alone, BETWEEN_PROGRAMS * largest);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn factors_are_expanded_at_the_precision_they_were_trained_at() {
    for (precision, method) in [
        (Precision::Int8, "vpt-deep"),
        (Precision::Int8, "vpt-shallow"),
        (Precision::Int8, "phm"),
        (Precision::Fp16, "vpt-deep"),
    ] {
        let mut world = World::new();
        world.tiny = world.tiny.at(precision);
        let data = tempfile::tempdir().unwrap();
        dataset(data.path());
        let own = MimiOptions { epochs: 4, ..quick(Adaptation::named(method).unwrap()) };
        let options = task(&world, data.path(), own);
        let (report, served) = tokio::task::block_in_place(|| {
            let report = train(&setup(&world), &options, &mut |_| {}).unwrap();
            let served = served_accuracy(&world, &report, data.path());
            (report, served)
        });
        assert_eq!(served, report.accuracies.held_out, "{method} at {precision}");
        let server = world.server().await;
        let answer = post(&server.app(), "/v1/tasks/colours/reload", "application/json", "").await;
        assert_eq!(answer.status, 200, "{method} at {precision}: {}", answer.text());
    }
}
