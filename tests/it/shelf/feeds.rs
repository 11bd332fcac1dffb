//! Feeds that others spoiled: what can be read is followed, and publishing goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use mimi_server::pack::TaskId;
use mimi_server::shelf::{Changes, Objects, PackSource};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{archive, objects, stable, task};

async fn put(store: &Arc<dyn ObjectStore>, path: &str, text: impl Into<Bytes>) {
    store.put(&Path::from(format!("packs/changes/{path}")), text.into().into()).await.unwrap();
}

async fn text(store: &Arc<dyn ObjectStore>, path: &str) -> String {
    let got = store.get(&Path::from(format!("packs/changes/{path}"))).await.unwrap();
    String::from_utf8(got.bytes().await.unwrap().to_vec()).unwrap()
}

async fn publish(source: &Objects, name: &str, seed: u64) {
    source.publish(&task(name), archive(seed).into(), stable(None)).await.unwrap();
}

fn tasks(names: &[&str]) -> Changes {
    Changes::Tasks(names.iter().map(|name| task(name)).collect::<BTreeSet<TaskId>>())
}

#[tokio::test]
async fn a_spoiled_line_stops_neither_followers_nor_publishers() {
    for spoiled in [
        "{\"seq\":2,\"task\":\"../t\"}\n",
        "{\"seq\":2}\n",
        "{",
        "{\"seq\":2,\"task\":\"t\"}{\"seq\":3,\"task\":\"t\"}\n",
        "\u{fffd}\n\n\n",
        "{\"seq\":0,\"task\":\"t\"}\n",
        "{\"seq\":18446744073709551615,\"task\":\"t\"}\n",
    ] {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let source = objects(&store);
        publish(&source, "a", 1).await;
        assert_eq!(source.changed().await.unwrap(), Changes::Anything);
        let good = text(&store, "0.jsonl").await;
        put(&store, "0.jsonl", format!("{good}{spoiled}")).await;
        put(&store, "head.json", "{\"seq\":3,\"segment\":0}").await;
        assert_eq!(source.changed().await.unwrap(), Changes::Anything, "{spoiled}: any may have changed");
        publish(&source, "b", 2).await;
        let changes = source.changed().await.unwrap();
        let is_told = |task: &TaskId| match &changes {
            Changes::Tasks(tasks) => tasks.contains(task),
            Changes::Anything => true,
        };
        assert!(is_told(&task("b")), "{spoiled}: {changes:?}");
        // It is behind what was seen, and told no more.
        publish(&source, "c", 3).await;
        assert_eq!(source.changed().await.unwrap(), tasks(&["c"]), "{spoiled}");
        let other = objects(&store);
        assert_eq!(other.changed().await.unwrap(), Changes::Anything, "{spoiled}");
        publish(&source, "d", 4).await;
        assert_eq!(other.changed().await.unwrap(), tasks(&["d"]), "{spoiled}");
    }
}

#[tokio::test]
async fn a_segment_that_is_too_large_is_left_behind() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let source = objects(&store);
    put(&store, "0.jsonl", " ".repeat(1 << 20)).await;
    publish(&source, "a", 1).await;
    assert_eq!(source.changed().await.unwrap(), Changes::Anything);
    publish(&source, "b", 2).await;
    assert_eq!(source.changed().await.unwrap(), tasks(&["b"]));
    assert_eq!(text(&store, "head.json").await, "{\"seq\":2,\"segment\":1}");
}

/// Lines of a segment that is full.
fn full(segment: u64) -> String {
    let line = |seq: u64| format!("{{\"seq\":{seq},\"task\":\"t\"}}\n");
    (segment * 1000 + 1..=segment * 1000 + 1000).map(line).collect()
}

#[tokio::test]
async fn numbers_are_not_given_twice_where_a_segment_ends() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let source = objects(&store);
    put(&store, "0.jsonl", full(0)).await;
    // The publisher of change 1000 was killed before it moved the head.
    put(&store, "head.json", "{\"seq\":998,\"segment\":0}").await;
    assert_eq!(source.changed().await.unwrap(), Changes::Anything);
    publish(&source, "a", 1).await;
    assert_eq!(text(&store, "1.jsonl").await, "{\"seq\":1001,\"task\":\"a\"}\n");
    assert_eq!(source.changed().await.unwrap(), tasks(&["a", "t"]));
    publish(&source, "b", 2).await;
    assert_eq!(source.changed().await.unwrap(), tasks(&["b"]), "it goes on in the next segment");
}

#[tokio::test]
async fn what_was_seen_before_the_head_told_it_is_no_step_back() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let source = objects(&store);
    publish(&source, "a", 1).await;
    assert_eq!(source.changed().await.unwrap(), Changes::Anything);
    let lines = |last: u64| {
        (1..=last).map(|seq| format!("{{\"seq\":{seq},\"task\":\"t{seq}\"}}\n")).collect::<String>()
    };
    put(&store, "0.jsonl", lines(4)).await;
    put(&store, "head.json", "{\"seq\":2,\"segment\":0}").await;
    assert_eq!(source.changed().await.unwrap(), tasks(&["t2", "t3", "t4"]));
    put(&store, "0.jsonl", lines(5)).await;
    put(&store, "head.json", "{\"seq\":3,\"segment\":0}").await;
    assert_eq!(source.changed().await.unwrap(), tasks(&["t5"]));
}

#[tokio::test]
async fn numbers_do_not_wrap() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let source = objects(&store);
    for seq in [u64::MAX, u64::MAX / 2 + 1, u64::MAX / 2] {
        put(&store, "head.json", format!("{{\"seq\":{seq},\"segment\":0}}")).await;
        let failed =
            source.publish(&task("t"), archive(seq).into(), stable(None)).await.unwrap_err().to_string();
        assert!(failed.contains("change feed"), "{failed}");
    }
}
