//! Hostile pointers and feeds: refused by name, and what was known stays.

use std::sync::Arc;

use mimi_server::shelf::{Changes, MAX_POINTER_BYTES, PackSource, Pointer};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use super::{archive, objects, stable, task};

fn good() -> Value {
    let digest = "a".repeat(64);
    json!({"format": 1, "task": "t", "seq": 3, "labels": {"stable": 1}, "versions": {"1": {"digest": digest, "bytes": 9}}})
}

fn hostile() -> Vec<String> {
    let mut all = Vec::new();
    let mut with = |path: &str, value: Value| {
        let mut made = good();
        *made.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        all.push(made.to_string());
    };
    with("/format", json!(2));
    with("/task", json!("other"));
    with("/task", json!("../t"));
    with("/seq", json!(-1));
    with("/seq", json!(u64::MAX));
    with("/labels", json!({"stable": 2}));
    with("/labels", json!({"stable": "canary", "canary": "stable"}));
    with("/labels", json!({"stable": -1}));
    with("/labels", json!({"stable": 1.5}));
    with("/labels", json!({"../stable": 1}));
    with("/labels", json!({"x".repeat(33): 1}));
    with("/labels", json!((0..17).map(|i| (format!("l{i}"), json!(1))).collect::<serde_json::Map<_, _>>()));
    for version in ["0", "-1", "01", "1.0", "../1", "", "18446744073709551616", "9223372036854775808"] {
        with("/versions", json!({"1": good()["versions"]["1"], version: good()["versions"]["1"]}));
    }
    for digest in ["", "../../etc/passwd", &"A".repeat(64), &"g".repeat(64), &"a".repeat(63), &"a".repeat(65)]
    {
        with("/versions/1/digest", json!(digest));
    }
    for bytes in [json!(0), json!(-5), json!(10u64 << 30), json!("9")] {
        with("/versions/1/bytes", bytes);
    }
    let many = (1..=1025).map(|i| (i.to_string(), good()["versions"]["1"].clone()));
    with("/versions", many.collect::<serde_json::Map<_, _>>().into());
    let text = good().to_string();
    all.extend([
        String::new(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        text[..text.len() - 1].into(),
        format!("{text}{text}"),
        text.replace("\"stable\":1", "\"stable\":1,\"stable\":1"),
        text.replace("\"1\":{", "\"1\":{\"digest\":\"b\",\"bytes\":1},\"1\":{"),
        text.replace("\"seq\":3", "\"seq\":3,\"seq\":4"),
        "[".repeat(100_000),
        format!("{text}{}", " ".repeat(MAX_POINTER_BYTES as usize)),
    ]);
    all
}

#[test]
fn hostile_pointers_are_refused_by_name() {
    Pointer::parse(&task("t"), good().to_string().as_bytes()).unwrap();
    let all = hostile();
    assert!(all.len() >= 40, "{}", all.len());
    for text in all {
        let shown: String = text.chars().take(200).collect();
        let error = Pointer::parse(&task("t"), text.as_bytes()).expect_err(&shown).to_string();
        assert!(error.starts_with("pointer of task t: ") && error.len() < 400, "{shown}: {error}");
    }
}

#[test]
fn what_a_newer_program_keeps_in_a_pointer_stays() {
    let mut value = good();
    value["canary"] = json!({"percent": 5});
    value["versions"]["1"]["signature"] = json!("s");
    let pointer = Pointer::parse(&task("t"), value.to_string().as_bytes()).unwrap();
    let written: Value = serde_json::from_slice(&pointer.bytes(&task("t")).unwrap()).unwrap();
    assert_eq!(written, value);
}

#[tokio::test]
async fn a_wrong_pointer_or_feed_leaves_what_is_known() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let source = objects(&store);
    source.publish(&task("t"), archive(1).into(), stable(None)).await.unwrap();
    let before = source.refresh(&task("t")).await.unwrap().unwrap();
    let listed: Vec<_> = futures::StreamExt::collect(store.list(None)).await;
    let path = |part: &str| {
        let found = listed.iter().map(|meta| meta.as_ref().unwrap().location.clone());
        found.into_iter().find(|path| path.to_string().contains(part)).unwrap()
    };
    for text in hostile() {
        store.put(&path("tasks/"), text.into()).await.unwrap();
        assert!(source.refresh(&task("t")).await.is_err());
        assert_eq!(source.known(&task("t")), Some(Arc::clone(&before)));
        assert!(
            source.publish(&task("t"), archive(2).into(), stable(None)).await.is_err(),
            "nothing is written over it"
        );
    }
    assert_eq!(source.changed().await.unwrap(), Changes::Anything);
    for text in ["", "{}", "{\"seq\":1,\"segment\":5}", "{\"seq\":-1,\"segment\":0}", "[]", &" ".repeat(5000)]
    {
        store.put(&path("head.json"), text.to_owned().into()).await.unwrap();
        assert!(source.changed().await.is_err(), "{text}");
    }
    store.put(&path("head.json"), "{\"seq\":9,\"segment\":0}".into()).await.unwrap();
    for text in ["{", "{\"seq\":2,\"task\":\"../t\"}\n", "{\"seq\":2}\n"] {
        store.put(&path(".jsonl"), text.into()).await.unwrap();
        assert_eq!(source.changed().await.unwrap(), Changes::Anything, "{text}");
        store.put(&path("head.json"), "{\"seq\":1,\"segment\":0}".into()).await.unwrap();
        source.changed().await.unwrap();
        store.put(&path("head.json"), "{\"seq\":9,\"segment\":0}".into()).await.unwrap();
    }
    // A feed that jumps ahead: whoever follows looks at everything.
    store.put(&path("head.json"), "{\"seq\":90000,\"segment\":90}".into()).await.unwrap();
    assert_eq!(source.changed().await.unwrap(), Changes::Anything);
}
