//! A collector without grace beside publishers, on one store at once: whatever a pointer names can be fetched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mimi_server::shelf::{Digest, PackSource, Sweep};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::faulty::Faulty;
use super::{archive, objects, reading, stable, task};

const SWEEP: Sweep = Sweep { keep: 1, grace: Duration::ZERO, is_dry: false };
/// Publications of each task.
const ROUNDS: u64 = 30;

/// Publishes new bytes and, as often, some that were there before and may be going just now.
async fn publish(store: Arc<dyn ObjectStore>, name: &str) {
    let source = objects(&store);
    for round in 0..ROUNDS {
        let seed = if round % 2 == 0 { 1000 + round } else { rand::random_range(0..4) };
        source.publish(&task(name), archive(seed), stable(None)).await.unwrap();
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
    let is_over = Arc::new(AtomicBool::new(false));
    let collector = {
        let (store, is_over) = (Arc::clone(&store), Arc::clone(&is_over));
        tokio::spawn(async move {
            let (mut sweeps, mut blobs) = (0, 0);
            while !is_over.load(Ordering::SeqCst) {
                blobs += objects(&store).sweep(SWEEP).await.unwrap().blobs;
                sweeps += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (sweeps, blobs)
        })
    };
    tokio::join!(publish(Arc::clone(&store), "a"), publish(Arc::clone(&store), "b"));
    is_over.store(true, Ordering::SeqCst);
    let (sweeps, blobs) = collector.await.unwrap();
    assert!(sweeps >= 5 && blobs >= 15, "{sweeps} sweeps took {blobs} blobs");
    let store: Arc<dyn ObjectStore> = memory;
    all_that_is_named_can_be_fetched(&store).await;
    objects(&store).sweep(SWEEP).await.unwrap();
    objects(&store).sweep(SWEEP).await.unwrap();
    all_that_is_named_can_be_fetched(&store).await;
}
