//! A collector without grace beside publishers, on one store at once: whatever a pointer names can be fetched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mimi_server::shelf::{Digest, PackSource, Sweep};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::faulty::Faulty;
use super::{archive, objects, reading, stable, task};

const SWEEP: Sweep = Sweep { keep: 1, grace: Duration::ZERO, is_dry: false };
/// Fewest and most publications of each task: they go on until the collector has met enough of them.
const ROUNDS: u64 = 30;
const MOST_ROUNDS: u64 = 600;
/// Sweeps, and blobs that they take.
const ENOUGH: (usize, usize) = (5, 15);

/// What the collector has done.
#[derive(Default)]
struct Collected {
    sweeps: AtomicUsize,
    blobs: AtomicUsize,
    is_over: AtomicBool,
}

impl Collected {
    fn so_far(&self) -> (usize, usize) {
        (self.sweeps.load(Ordering::SeqCst), self.blobs.load(Ordering::SeqCst))
    }

    fn is_enough(&self) -> bool {
        let (sweeps, blobs) = self.so_far();
        sweeps >= ENOUGH.0 && blobs >= ENOUGH.1
    }
}

/// Publishes new bytes and, as often, some that were there before and may be going just now.
async fn publish(store: Arc<dyn ObjectStore>, name: &str, collected: &Collected) {
    let source = objects(&store);
    for round in 0..MOST_ROUNDS {
        if round >= ROUNDS && collected.is_enough() {
            return;
        }
        let seed = if round % 2 == 0 { 1000 + round } else { rand::random_range(0..4) };
        source.publish(&task(name), archive(seed).into(), stable(None)).await.unwrap();
    }
}

async fn all_that_is_named_can_be_fetched(store: &Arc<dyn ObjectStore>) {
    let cache = tempfile::tempdir().unwrap();
    let source = reading(store, cache.path());
    for name in ["a", "b"] {
        let pointer = source.refresh(&task(name)).await.unwrap().unwrap();
        assert!(pointer.stable().is_some());
        for (version, stored) in &pointer.versions {
            let place = source.place(&task(name), *version).await.unwrap();
            let archive = mimi_server::pack::archive(&mimi_server::files::System, place.folder()).unwrap();
            assert_eq!(Digest::of(&archive), stored.digest);
        }
    }
}

#[tokio::test]
async fn a_collector_beside_publishers_takes_nothing_that_is_named() {
    let memory = Arc::new(InMemory::new());
    let store: Arc<dyn ObjectStore> = Arc::new(Faulty::giving_way(Arc::clone(&memory)));
    let collected = Arc::new(Collected::default());
    let collector = {
        let (store, collected) = (Arc::clone(&store), Arc::clone(&collected));
        tokio::spawn(async move {
            while !collected.is_over.load(Ordering::SeqCst) {
                let blobs = objects(&store).sweep(SWEEP).await.unwrap().blobs;
                collected.blobs.fetch_add(blobs, Ordering::SeqCst);
                collected.sweeps.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    let publishing = |name| publish(Arc::clone(&store), name, &collected);
    tokio::join!(publishing("a"), publishing("b"));
    collected.is_over.store(true, Ordering::SeqCst);
    collector.await.unwrap();
    let (sweeps, blobs) = collected.so_far();
    assert!(collected.is_enough(), "{sweeps} sweeps took {blobs} blobs");
    let store: Arc<dyn ObjectStore> = memory;
    all_that_is_named_can_be_fetched(&store).await;
    objects(&store).sweep(SWEEP).await.unwrap();
    objects(&store).sweep(SWEEP).await.unwrap();
    all_that_is_named_can_be_fetched(&store).await;
}
