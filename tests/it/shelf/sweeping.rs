//! Collecting by the S3 protocol, and in stores with objects that belong to nobody.

use std::sync::Arc;
use std::time::Duration;

use mimi_server::metrics::Metrics;
use mimi_server::shelf::{Edit, Objects, PackSource, Settings, Sweep};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::s3::{SECRET, serve, settings};
use super::{archive, objects, stable, task};

const SWEEP: Sweep = Sweep { keep: 1, grace: Duration::ZERO, is_dry: false };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lists_fractions_of_seconds_is_collected() {
    let root = tempfile::tempdir().unwrap();
    let endpoint = serve(root.path()).await;
    let all = Settings::new(settings(&endpoint, SECRET));
    let source = Objects::open("s3://bucket", &all, None, Arc::new(Metrics::new().unwrap())).unwrap();
    for seed in 1..=4 {
        source.publish(&task("t"), archive(seed).into(), stable(None)).await.unwrap();
    }
    let swept = source.sweep(SWEEP).await.unwrap();
    // The newest stays, which is stable, and the one before it.
    assert_eq!((swept.tasks, swept.versions, swept.blobs), (1, 2, 2), "{swept:?}");
    let swept = source.sweep(SWEEP).await.unwrap();
    assert_eq!((swept.versions, swept.blobs), (0, 0), "{swept:?}");
}

#[tokio::test]
async fn a_pointer_that_cannot_be_read_keeps_every_blob_and_stops_no_other_task() {
    let names = ["tasks/00/spoiled.json", "tasks/00/no pointer.txt", "tasks/00/u.json"];
    for (name, words) in names.into_iter().zip(["spoiled", "no pointer", "u.json"]) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let source = objects(&store);
        for seed in 1..=4 {
            source.publish(&task("t"), archive(seed).into(), stable(None)).await.unwrap();
        }
        store.put(&Path::from(format!("packs/{name}")), "{".into()).await.unwrap();
        let error = source.sweep(SWEEP).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        let pointer = source.refresh(&task("t")).await.unwrap().unwrap();
        assert_eq!(pointer.versions.len(), 2, "{name}: versions are taken out all the same");
        let blobs = |of: &'static str| {
            let store = Arc::clone(&store);
            async move { futures::StreamExt::count(store.list(Some(&Path::from(of)))).await }
        };
        assert_eq!((blobs("packs/blobs").await, blobs("packs/trash").await), (4, 0), "{name}");
    }
}

#[tokio::test]
async fn a_pointer_that_is_wrong_in_its_place_is_told_by_its_task() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let source = objects(&store);
    for name in ["a", "b"] {
        source.publish(&task(name), archive(1).into(), stable(None)).await.unwrap();
        source.publish(&task(name), archive(2).into(), stable(None)).await.unwrap();
        source.publish(&task(name), archive(3).into(), stable(None)).await.unwrap();
    }
    let listed: Vec<_> = futures::StreamExt::collect(store.list(None)).await;
    let listed = listed.into_iter().map(|meta| meta.unwrap().location);
    let path = listed.into_iter().find(|path| path.as_ref().ends_with("/a.json")).unwrap();
    store.put(&path, "{".into()).await.unwrap();
    let error = source.sweep(SWEEP).await.unwrap_err().to_string();
    assert!(error.contains("pointer of task a"), "{error}");
    assert_eq!(source.refresh(&task("b")).await.unwrap().unwrap().versions.len(), 2);
    source.edit(&task("b"), Edit::Label { label: "stable".into(), version: None }).await.unwrap();
}
