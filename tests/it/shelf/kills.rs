//! Killed at every request of publishing, taking back and collecting: readers see a whole state, and another run ends it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mimi_server::pack::TaskId;
use mimi_server::shelf::{Archive, Edit, Folder, PackSource, Sweep};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::faulty::Faulty;
use super::{archive, large_archive, objects, reading, stable, task};

static LARGE: OnceLock<Archive> = OnceLock::new();

const SWEEP: Sweep = Sweep { keep: 1, grace: Duration::ZERO, is_dry: false };

/// Four versions, of which the third answers, and a blob that nothing names.
async fn stocked() -> Arc<InMemory> {
    let memory = Arc::new(InMemory::new());
    let store: Arc<dyn ObjectStore> = Arc::clone(&memory) as _;
    let source = objects(&store);
    for seed in 1..=4 {
        source.publish(&task("t"), archive(seed).into(), stable(None)).await.unwrap();
    }
    source.edit(&task("t"), label(Some(3))).await.unwrap();
    memory
}

fn label(version: Option<u64>) -> Edit {
    Edit::Label { label: "stable".into(), version }
}

/// Every version that the pointer names can be read, and says which it is.
async fn is_whole(store: &Arc<dyn ObjectStore>, expected: &[u64]) {
    let cache = tempfile::tempdir().unwrap();
    let source = reading(store, cache.path());
    let pointer = source.refresh(&task("t")).await.unwrap().unwrap();
    assert!(expected.contains(&pointer.stable().unwrap()), "{pointer:?}");
    for version in pointer.versions.keys() {
        let place = source.place(&task("t"), *version).await.unwrap();
        assert!(place.folder().join("adapter_config.json").exists());
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Publish,
    /// One whose blob is written in parts.
    PublishInParts,
    Rollback,
    Sweep,
}

async fn act(source: &dyn PackSource, act: Act) -> Result<(), mimi_server::shelf::Error> {
    let t: TaskId = task("t");
    match act {
        Act::Publish => source.publish(&t, archive(5).into(), stable(5)).await.map(drop),
        Act::PublishInParts => {
            let large = LARGE.get_or_init(|| large_archive(9 << 20).into()).clone();
            source.publish(&t, large, stable(5)).await.map(drop)
        }
        Act::Rollback => source.edit(&t, label(Some(2))).await.map(drop),
        Act::Sweep => source.sweep(SWEEP).await.map(drop),
    }
}

#[tokio::test]
async fn a_kill_at_any_request_leaves_a_whole_store() {
    let mut kills = 0;
    for (what, after) in [(Act::Publish, 5), (Act::PublishInParts, 5), (Act::Rollback, 2), (Act::Sweep, 3)] {
        for takes_effect in [false, true] {
            for stop in 0.. {
                let memory = stocked().await;
                let faulty: Arc<dyn ObjectStore> =
                    Arc::new(Faulty::stopping(Arc::clone(&memory), stop, takes_effect));
                let store: Arc<dyn ObjectStore> = memory;
                let is_done = act(&objects(&faulty), what).await.is_ok();
                is_whole(&store, &[3, after]).await;
                // Another run ends what was begun.
                act(&objects(&store), what).await.unwrap();
                is_whole(&store, &[after]).await;
                if is_done {
                    break;
                }
                kills += 1;
            }
        }
    }
    assert!(kills > 50, "{kills} kills");
}

#[tokio::test]
async fn a_blob_whose_last_answer_is_lost_is_there() {
    // The requests are the upload's beginning, two parts, its end.
    for (lost, takes_effect, is_published) in
        [(1, true, false), (2, false, false), (3, false, false), (3, true, true)]
    {
        let memory = stocked().await;
        let faulty: Arc<dyn ObjectStore> = Arc::new(Faulty::losing(Arc::clone(&memory), lost, takes_effect));
        let published = act(&objects(&faulty), Act::PublishInParts).await;
        assert_eq!(published.is_ok(), is_published, "{lost} {takes_effect}: {published:?}");
        let store: Arc<dyn ObjectStore> = memory;
        is_whole(&store, &[if is_published { 5 } else { 3 }]).await;
    }
}

#[tokio::test]
async fn what_is_named_while_it_is_collected_is_not_lost() {
    for stop in 0..40 {
        let memory = stocked().await;
        let store: Arc<dyn ObjectStore> = Arc::clone(&memory) as _;
        // Version 4's blob is named no more: a publisher of the same bytes comes while it is taken away.
        objects(&store).edit(&task("t"), Edit::Keep { newest: 1 }).await.unwrap();
        let slow: Arc<dyn ObjectStore> = Arc::new(Faulty::stopping(memory, stop, true));
        // The collector stands still at a request, the publisher does all of its work, and the collector goes on.
        let _ = objects(&slow).sweep(SWEEP).await;
        objects(&store).publish(&task("t"), archive(1).into(), stable(None)).await.unwrap();
        objects(&store).sweep(SWEEP).await.unwrap();
        let cache = tempfile::tempdir().unwrap();
        let source = reading(&store, cache.path());
        let pointer = source.refresh(&task("t")).await.unwrap().unwrap();
        source.place(&task("t"), pointer.stable().unwrap()).await.unwrap();
    }
}

/// A copy of a folder of packs as a kill between two system calls would leave it: each name that changed may be new or old.
#[tokio::test]
async fn a_folder_keeps_whole_versions_and_labels() {
    let root = tempfile::tempdir().unwrap();
    let source = Folder::new(root.path().to_owned());
    for seed in 1..=3 {
        source.publish(&task("t"), archive(seed).into(), stable(None)).await.unwrap();
    }
    let labels = root.path().join("t/labels.json");
    assert!(!labels.exists(), "the newest answers without labels");
    source.edit(&task("t"), label(None)).await.unwrap();
    assert!(labels.exists());
    assert_eq!(source.pointer(&task("t")).await.unwrap().unwrap().stable(), Some(2));
    // What a killed publisher leaves is no version; a later run takes it away.
    std::fs::create_dir(root.path().join("t/.next.1.2.3.partial")).unwrap();
    std::fs::create_dir(root.path().join("t/9")).unwrap();
    assert_eq!(source.pointer(&task("t")).await.unwrap().unwrap().newest(), Some(3));
    std::fs::remove_dir(root.path().join("t/9")).unwrap();
    let swept = source.sweep(SWEEP).await.unwrap();
    assert_eq!((swept.versions, swept.blobs), (0, 1), "{swept:?}");
    source.publish(&task("t"), archive(4).into(), stable(None)).await.unwrap();
    let swept = source.sweep(SWEEP).await.unwrap();
    assert_eq!(swept.versions, 2, "the version before the stable one stays: {swept:?}");
    let pointer = source.pointer(&task("t")).await.unwrap().unwrap();
    assert_eq!((pointer.stable(), pointer.versions.len()), (Some(4), 2));
}
