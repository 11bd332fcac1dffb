//! A row's answer does not depend on its neighbours.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mimi_server::backbone::{Module, Part, Place, Site};
use mimi_server::engine::{Answer, Engine, EngineOptions, Error, Flow, Row, Share, Want};
use mimi_server::metrics::Metrics;
use mimi_server::pack::{Pack, Weights};
use tracing::field::Empty;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{self, FAMILIES, TinyBackbone, assert_close};

pub fn engine(tiny: &TinyBackbone, max_batch: usize) -> (Engine, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let options = EngineOptions {
        max_batch,
        max_wait: Duration::from_secs(600),
        queue_limit: 64,
        workers: 1,
        max_programs: 4,
        bank_memory: crate::support::bank_bytes(),
        states_memory: crate::support::states_bytes(0),
        ..EngineOptions::default()
    };
    (Engine::start(tiny.resident(), Arc::clone(&metrics), &options).unwrap(), metrics)
}

/// Runs rows that were admitted together, and so share batches.
pub fn run(engine: &Engine, rows: &[(Arc<[f32]>, Arc<Pack>)]) -> Vec<Answer> {
    let permits = engine.admit(Share::EVERYBODY, rows.len()).unwrap();
    let receivers: Vec<_> = rows
        .iter()
        .zip(permits)
        .enumerate()
        .map(|(i, ((pixels, pack), permit))| {
            let task = format!("task-{i}").parse().unwrap();
            engine.submit(Row::new(task, Arc::clone(pixels), Arc::clone(pack)), permit)
        })
        .collect();
    receivers.into_iter().map(|receiver| receiver.blocking_recv().unwrap().unwrap()).collect()
}

/// Eight tasks: no adapter, one site, several sites, all sites, of different widths and class counts.
pub fn packs(tiny: &TinyBackbone) -> Vec<Arc<Pack>> {
    let site = |block, place| Site::new(block, place);
    let all: Vec<(Site, usize)> =
        tiny.config.sites().into_iter().zip([8, 1, 3, 16, 2, 5].into_iter().cycle()).collect();
    vec![
        tiny.pack(1, &[], 3),
        tiny.pack(2, &[(site(0, Place::Attn), 4)], 2),
        tiny.pack(3, &[(site(2, Place::Mlp), 8)], 7),
        tiny.pack(4, &[(site(1, Place::Attn), 1), (site(1, Place::Mlp), 12)], 4),
        tiny.pack(5, &all, 5),
        tiny.pack(6, &all[2..], 3),
        tiny.pack(7, &all[..1], 9),
        tiny.pack(8, &all, 2),
    ]
}

fn assert_same(what: &str, mixed: &Answer, alone: &Answer) {
    let scale = alone.logits.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
    let (mixed, alone) = (mixed.logits.to_vec(), alone.logits.to_vec());
    assert_close(what, &mixed, &alone, support::rounding() * scale);
}

#[test]
fn a_mixed_batch_equals_its_rows_alone() {
    for fixture in FAMILIES.into_iter().chain(["vit_hf_clip", "vit_hf_dinov2"]) {
        let tiny = TinyBackbone::from(fixture);
        let (engine, metrics) = engine(&tiny, 8);
        let rows: Vec<_> =
            packs(&tiny).into_iter().enumerate().map(|(i, p)| (tiny.pixels(i as u64), p)).collect();
        let mixed = run(&engine, &rows);
        assert!(mixed.iter().all(|answer| answer.batch_rows == 8), "the rows must have shared a batch");
        assert_eq!(metrics.engine.batch_packs.get_sample_sum(), 8.0);
        for (i, (row, mixed)) in rows.iter().zip(&mixed).enumerate() {
            let alone = run(&engine, std::slice::from_ref(row)).remove(0);
            assert_eq!(alone.batch_rows, 1);
            assert_same(&format!("{fixture} row {i}"), mixed, &alone);
        }
    }
}

#[test]
fn an_exact_program_answers_as_the_covering_one() {
    for fixture in FAMILIES {
        let tiny = TinyBackbone::from(fixture);
        let (engine, metrics) = engine(&tiny, 8);
        for (i, pack) in packs(&tiny).into_iter().enumerate() {
            let row = [(tiny.pixels(i as u64), Arc::clone(&pack))];
            let covering = run(&engine, &row).remove(0);
            engine.prepare(pack.modules).blocking_recv().unwrap().unwrap();
            let exact = run(&engine, &row).remove(0);
            assert_same(&format!("{fixture} pack {i}"), &exact, &covering);
        }
        // Eight packs have six distinct site sets, one of which is the covering program's; four are kept.
        assert_eq!(metrics.engine.programs_compiled.get(), 6);
        assert_eq!(metrics.engine.programs_resident.get(), 5);
    }
}

#[test]
fn adapters_change_the_answer_and_padding_does_not() {
    let tiny = TinyBackbone::new();
    let (engine, _) = engine(&tiny, 4);
    let site = Site::new(1, Place::Mlp);
    let mut contents = tiny.contents(9, &[(site, 3)], 4);
    let pack = |contents: &_| {
        let dir = tempfile::tempdir().unwrap();
        let folder = mimi_server::pack::write(&dir.path().join("t"), contents, &tiny.config).unwrap();
        Arc::new(mimi_server::pack::read(&folder, &tiny.config).unwrap().0)
    };
    let narrow = pack(&contents);
    // The same adapter with four dead neurons: zero columns in down, zero rows in up.
    let module = Module::adapter(site);
    let own = contents.weights[&module].clone();
    let down = own.part(Part::Down).chunks(3).flat_map(|row| [row, &[0.0; 4]].concat()).collect();
    let up = [own.part(Part::Up), &vec![0.0; 4 * tiny.config.block_width(1)]].concat();
    contents.weights.insert(module, Weights::new(7, [(Part::Down, down), (Part::Up, up)]));
    let wide = pack(&contents);
    contents.weights.clear();
    let without = pack(&contents);
    let pixels = tiny.pixels(3);
    let of = |pack: &Arc<Pack>| run(&engine, &[(Arc::clone(&pixels), Arc::clone(pack))]).remove(0).logits;
    assert_eq!(of(&narrow), of(&wide), "padding must be exact");
    assert_ne!(of(&narrow), of(&without), "an adapter must have an effect");
}

#[test]
fn a_lone_row_does_not_wait_for_company() {
    let tiny = TinyBackbone::new();
    // A wait for company takes ten minutes.
    let (engine, _) = engine(&tiny, 8);
    let started = std::time::Instant::now();
    run(&engine, &[(tiny.pixels(1), tiny.pack(1, &[], 2))]);
    assert!(started.elapsed() < Duration::from_secs(300));
}

#[test]
fn overload_is_refused_and_room_comes_back() {
    let tiny = TinyBackbone::new();
    let (engine, _) = engine(&tiny, 8);
    let all = engine.admit(Share::EVERYBODY, 64).unwrap();
    let refused = engine.admit(Share::EVERYBODY, 1).err().unwrap();
    assert!(matches!(refused, Error::Overloaded { admitted: 64, asked: 1, limit: 64, .. }));
    drop(all);
    assert_eq!(engine.admit(Share::EVERYBODY, 64).unwrap().len(), 64);
}

#[test]
fn a_flow_leaves_places_and_gets_others_when_its_rows_are_gone() {
    let tiny = TinyBackbone::new();
    let (engine, _) = engine(&tiny, 8);
    let share = |flow| Share::new(Flow::new(flow), 1);
    let mut held = Vec::new();
    while let Ok(permits) = engine.admit(share(1), 1) {
        held.extend(permits);
    }
    assert!((48..64).contains(&held.len()), "most of 64: {}", held.len());
    let refused = engine.admit(share(1), 1).err().unwrap();
    assert!(matches!(refused, Error::Crowded { asked: 1, .. }) && refused.retry_after().is_some());
    let other = engine.admit(share(2), 4).unwrap();
    assert!(!refused.to_string().contains("64"), "nothing of others is told: {refused}");
    drop((held, other));
    assert_eq!(engine.admit(Share::EVERYBODY, 64).unwrap().len(), 64);
}

#[test]
fn what_cannot_have_its_turn_in_time_is_refused_once_speed_was_measured() {
    let tiny = TinyBackbone::new();
    let (engine, _) = engine(&tiny, 1);
    let pack = tiny.pack(1, &[], 2);
    let want = |flops| Want { task: "t".parse().unwrap(), flops };
    let now = std::time::Instant::now;
    let held = engine.admit_by(Share::EVERYBODY, &[want(u64::MAX)], now()).unwrap();
    assert!(engine.admit_by(Share::EVERYBODY, &[want(1)], now()).is_ok(), "nothing was measured");
    drop(held);
    for seed in 0..10 {
        run(&engine, &[(tiny.pixels(seed), Arc::clone(&pack))]);
    }
    let held = engine.admit_by(Share::EVERYBODY, &[want(u64::MAX)], now()).unwrap();
    let soon = now() + Duration::from_secs(5);
    let refused = engine.admit_by(Share::EVERYBODY, &[want(1)], soon).err().unwrap();
    let Error::TooLate { turn, left } = refused else { panic!("{refused}") };
    assert!(turn > left && left <= Duration::from_secs(5));
    let other = Share::new(Flow::new(7), 1);
    assert!(engine.admit_by(other, &[want(1)], soon).is_ok(), "another flow's backlog is its own");
    drop(held);
    assert!(engine.admit_by(Share::EVERYBODY, &[want(1)], soon).is_ok());
}

#[test]
fn expired_and_abandoned_rows_cost_no_run() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 8);
    let pack = tiny.pack(1, &[], 2);
    let row =
        |deadline| Row { deadline, ..Row::new("t".parse().unwrap(), tiny.pixels(1), Arc::clone(&pack)) };
    // The third permit keeps the batch from starting while the two rows are made dead.
    let mut permits = engine.admit(Share::EVERYBODY, 3).unwrap();
    let expired = engine.submit(row(Some(std::time::Instant::now())), permits.pop().unwrap());
    drop(engine.submit(row(None), permits.pop().unwrap()));
    drop(permits);
    assert!(matches!(expired.blocking_recv().unwrap(), Err(Error::DeadlineExceeded)));
    engine.stop();
    assert_eq!(metrics.engine.rows_dropped.with_label_values(&["expired"]).get(), 1);
    assert_eq!(metrics.engine.rows_dropped.with_label_values(&["abandoned"]).get(), 1);
    assert_eq!(metrics.engine.batch_rows.get_sample_count(), 0);
}

#[test]
fn stopping_serves_what_was_admitted_and_admits_nobody_more() {
    let tiny = TinyBackbone::new();
    let (engine, _) = engine(&tiny, 2);
    let pack = tiny.pack(1, &[], 2);
    let permits = engine.admit(Share::EVERYBODY, 8).unwrap();
    let stopping = std::thread::spawn({
        let engine = engine.clone();
        move || engine.stop()
    });
    while engine.admit(Share::EVERYBODY, 1).is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let row = |i| Row::new("t".parse().unwrap(), tiny.pixels(i), Arc::clone(&pack));
    let answers: Vec<_> = permits.into_iter().zip(0..).map(|(p, i)| engine.submit(row(i), p)).collect();
    stopping.join().unwrap();
    assert!(answers.into_iter().all(|answer| answer.blocking_recv().unwrap().is_ok()));
    assert!(matches!(engine.admit(Share::EVERYBODY, 1), Err(Error::ShuttingDown)));
}

#[test]
fn suggested_programs_take_no_others_place() {
    let tiny = TinyBackbone::new();
    let (engine, metrics) = engine(&tiny, 8);
    let sites = tiny.config.sites();
    for site in &sites {
        engine.suggest([*site].into_iter().collect());
    }
    // Orders are filled one after another, so this one's end is the end of all before it.
    engine.prepare(tiny.config.adapters()).blocking_recv().unwrap().unwrap();
    assert!(sites.len() > 4);
    assert_eq!((metrics.engine.programs_compiled.get(), metrics.engine.programs_resident.get()), (5, 5));
}

/// Notes what is recorded on spans: the field, and the thread that records it.
struct Recorder(Arc<Mutex<BTreeSet<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Recorder {
    fn on_record(
        &self,
        _: &tracing::span::Id,
        values: &tracing::span::Record<'_>,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let mut recorded = self.0.lock().unwrap();
        values.record(&mut |field: &tracing::field::Field, _: &dyn std::fmt::Debug| {
            recorded.insert(format!("{thread} {field}"));
        });
    }
}

#[test]
fn a_rows_span_survives_the_hop_to_the_engines_thread() {
    let tiny = TinyBackbone::new();
    let (engine, _) = engine(&tiny, 1);
    let recorded = Arc::new(Mutex::new(BTreeSet::new()));
    let subscriber = tracing_subscriber::registry().with(Recorder(Arc::clone(&recorded)));
    let span = tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("row", queued_us = Empty, run_us = Empty, batch_rows = Empty)
    });
    let row = Row { span, ..Row::new("t".parse().unwrap(), tiny.pixels(1), tiny.pack(1, &[], 2)) };
    let permit = engine.admit(Share::EVERYBODY, 1).unwrap().pop().unwrap();
    engine.submit(row, permit).blocking_recv().unwrap().unwrap();
    let expected = ["engine-0 batch_rows", "engine-0 queued_us", "engine-0 run_us"];
    assert!(recorded.lock().unwrap().iter().eq(expected));
}
