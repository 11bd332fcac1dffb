//! `server verify` over a store.

use mimi_server::metrics::Metrics;
use mimi_server::shelf::{Naming, Objects, PackSource, Settings};

use super::s3::{SECRET, serve, settings};
use super::{Shop, stable, task};
use crate::publish::prepared;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_verified_and_a_named_cache_stays() {
    let (root, shop) = (tempfile::tempdir().unwrap(), Shop::new());
    let endpoint = serve(root.path()).await;
    let metrics = std::sync::Arc::new(Metrics::new().unwrap());
    let all = Settings::new(settings(&endpoint, SECRET));
    let source = Objects::open("s3://bucket/packs", &all, None, metrics).unwrap();
    source.publish(&task("t"), shop.archive(1, 1).into(), stable(None)).await.unwrap();
    // Nothing of the other answers yet.
    let quiet = Naming { version: None, label: None };
    source.publish(&task("u"), shop.archive(2, 2).into(), quiet).await.unwrap();
    let (named, temporary) = (shop.cache.path().join("named"), root.path().join("temporary"));
    std::fs::create_dir(&temporary).unwrap();
    for named in [Some(named.display().to_string()), None] {
        let mut more = vec!["--in".to_owned(), "s3://bucket/packs".to_owned()];
        more.extend(named.iter().flat_map(|named| ["--pack-cache".to_owned(), named.clone()]));
        let mut command = prepared(&shop.world, root.path(), "verify");
        command.args(&more).envs(settings(&endpoint, SECRET)).env("TMPDIR", &temporary);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let told = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert!(told.contains("2 tasks, 2 versions: 2 good, 0 wrong"), "{told}");
        let left = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("verify")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(std::fs::read_dir(named.join("packs")).unwrap().count(), 2);
}
