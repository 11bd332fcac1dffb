//! Publishers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use mimi_server::shelf::{Edit, Folder, PackSource};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::{archive, objects, stable, task};

/// Two publishers, each with so many versions.
async fn race(one: Arc<dyn PackSource>, other: Arc<dyn PackSource>, each: u64) -> BTreeSet<u64> {
    let publisher = |source: Arc<dyn PackSource>, from: u64| async move {
        let mut numbers = Vec::new();
        for seed in from..from + each {
            let published = source.publish(&task("t"), archive(seed).into(), stable(None)).await.unwrap();
            numbers.push(published.done.version());
            if seed % 100 == 99 {
                source.edit(&task("t"), Edit::Keep { newest: 200 }).await.unwrap();
            }
        }
        numbers
    };
    let (one, other) = (tokio::spawn(publisher(one, 0)), tokio::spawn(publisher(other, 1_000_000)));
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    for numbers in [&one, &other] {
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "versions increase");
    }
    one.into_iter().chain(other).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_race_a_thousand_times_and_nothing_is_lost() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let numbers = race(Arc::new(objects(&store)), Arc::new(objects(&store)), 500).await;
    assert_eq!(numbers, (1..=1000).collect());
    let pointer = objects(&store).refresh(&task("t")).await.unwrap().unwrap();
    assert_eq!((pointer.newest(), pointer.stable()), (Some(1000), Some(1000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_race_in_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let source = || Arc::new(Folder::new(root.path().to_owned()));
    let numbers = race(source(), source(), 20).await;
    assert_eq!(numbers, (1..=40).collect());
    assert_eq!(source().pointer(&task("t")).await.unwrap().unwrap().stable(), Some(40));
}

#[tokio::test]
async fn the_same_bytes_are_the_same_version() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (source, t) = (objects(&store), task("t"));
    assert!(source.publish(&t, archive(1).into(), stable(None)).await.unwrap().done.is_change());
    let again = source.publish(&t, archive(1).into(), stable(1)).await.unwrap();
    assert_eq!((again.done.version(), again.done.is_change()), (1, false));
    let other = source.publish(&t, archive(2).into(), stable(1)).await.unwrap_err();
    assert!(other.to_string().contains("versions never change"), "{other}");
    for wrong in [0, u64::MAX] {
        assert!(source.publish(&t, archive(3).into(), stable(wrong)).await.is_err());
    }
}
