//! Copies of packs on this disk: whole though power was lost, bounded for all processes together, not removed while read.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use mimi_server::files::System;
use mimi_server::metrics::Metrics;
use mimi_server::pack::{self, CONFIG_FILE, WEIGHTS_FILE};
use mimi_server::shelf::{Cache, Digest, PackSource, Place};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::{archive, objects, reading, stable, task};

/// Seeds of [`archive`] that give copies of one size.
const SEEDS: std::ops::Range<u64> = 100..130;

fn digest(seed: u64) -> Digest {
    Digest::of(&archive(seed))
}

fn insert(cache: &Cache, seed: u64) -> Place {
    cache.insert(&archive(seed).into()).unwrap()
}

fn files_of(folder: &Path) -> u64 {
    [CONFIG_FILE, WEIGHTS_FILE].iter().map(|file| folder.join(file).metadata().unwrap().len()).sum()
}

/// Bytes of what is there.
fn bytes(root: &Path) -> u64 {
    let copies = std::fs::read_dir(root.join("packs")).unwrap();
    copies.map(|copy| files_of(&copy.unwrap().path())).sum()
}

/// Seeds of what is there.
fn seeds(root: &Path) -> BTreeSet<u64> {
    SEEDS.filter(|seed| root.join("packs").join(digest(*seed).as_str()).exists()).collect()
}

/// Bytes of one copy: all seeds have as many digits.
fn one() -> u64 {
    let folder = tempfile::tempdir().unwrap();
    pack::unpack(&mut &archive(SEEDS.start)[..], Path::new("one"), &folder.path().join("out")).unwrap();
    files_of(&folder.path().join("out"))
}

fn open(root: &Path, copies: u64) -> (Cache, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    (Cache::open(root, copies * one(), Arc::clone(&metrics)).unwrap(), metrics)
}

#[test]
fn copies_stay_within_the_bound_and_the_least_recently_used_goes_first() {
    let root = tempfile::tempdir().unwrap();
    let (cache, metrics) = open(root.path(), 16);
    for seed in SEEDS.take(16) {
        insert(&cache, seed);
    }
    assert_eq!(bytes(root.path()), 16 * one(), "there was room");
    // The first is used, so the second and the third make room.
    assert!(cache.get(&digest(100)).unwrap().is_some());
    insert(&cache, 116);
    assert_eq!(seeds(root.path()), [100].into_iter().chain(103..117).collect());
    for seed in SEEDS.skip(17) {
        insert(&cache, seed);
        assert!(bytes(root.path()) <= 16 * one());
        assert_eq!(metrics.store.cache_bytes.get(), bytes(root.path()) as i64);
    }
    assert_eq!(metrics.store.cache_evictions.get(), 30 - seeds(root.path()).len() as u64);
    // A smaller bound is kept to from the start.
    open(root.path(), 3);
    assert_eq!(seeds(root.path()), (128..130).collect());
}

#[test]
fn what_is_read_is_not_removed() {
    let root = tempfile::tempdir().unwrap();
    let (cache, _) = open(root.path(), 4);
    let (other, _) = open(root.path(), 4);
    let held: Vec<Place> = SEEDS.take(3).map(|seed| insert(&cache, seed)).collect();
    for seed in SEEDS.skip(3) {
        insert(&other, seed);
        cache.discard(&digest(100));
        for (place, seed) in held.iter().zip(SEEDS) {
            assert_eq!(pack::archive(&System, place.folder()).unwrap(), archive(seed));
        }
    }
    drop(held);
    insert(&other, 100);
    assert!(bytes(root.path()) <= 4 * one(), "what is read no more goes");
}

#[test]
fn processes_keep_to_one_bound_together() {
    let root = tempfile::tempdir().unwrap();
    let (one_process, other) = (open(root.path(), 8).0, open(root.path(), 8).0);
    for seed in SEEDS {
        insert(if seed % 2 == 0 { &one_process } else { &other }, seed);
        assert!(bytes(root.path()) <= 8 * one(), "{:?}", seeds(root.path()));
    }
    // At once, and of the same bytes too.
    let clone = one_process.clone();
    std::thread::scope(|scope| {
        for cache in [&one_process, &other, &clone] {
            scope.spawn(move || SEEDS.for_each(|seed| drop(insert(cache, seed))));
        }
    });
    insert(&other, 100);
    assert!(bytes(root.path()) <= 8 * one(), "{:?}", seeds(root.path()));
}

/// What is done to a copy's folder, in words and by a function.
type Tear = (&'static str, fn(&Path));

/// What a loss of power leaves of files that were not flushed.
fn torn() -> [Tear; 6] {
    [
        ("weights cut", |folder| cut_at(folder, WEIGHTS_FILE)),
        ("manifest cut", |folder| cut_at(folder, CONFIG_FILE)),
        ("weights zeroed", |folder| zero_at(folder, WEIGHTS_FILE)),
        ("manifest zeroed", |folder| zero_at(folder, CONFIG_FILE)),
        ("no weights", |folder| std::fs::remove_file(folder.join(WEIGHTS_FILE)).unwrap()),
        ("no files", |folder| {
            for file in [CONFIG_FILE, WEIGHTS_FILE] {
                std::fs::remove_file(folder.join(file)).unwrap();
            }
        }),
    ]
}

fn cut_at(folder: &Path, file: &str) {
    let file = std::fs::File::options().write(true).open(folder.join(file)).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn zero_at(folder: &Path, file: &str) {
    let path = folder.join(file);
    let length = path.metadata().unwrap().len();
    std::fs::write(path, vec![0; length as usize]).unwrap();
}

#[tokio::test]
async fn a_copy_that_lost_power_tore_is_fetched_again() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    objects(&store).publish(&task("t"), archive(100).into(), stable(None)).await.unwrap();
    let root = tempfile::tempdir().unwrap();
    for (what, tear) in torn() {
        let source = reading(&store, root.path());
        source.refresh(&task("t")).await.unwrap();
        let place = source.place(&task("t"), 1).await.unwrap();
        let folder = place.folder().to_owned();
        drop((source, place));
        tear(&folder);
        std::fs::write(root.path().join("bytes"), [0; 3]).unwrap();
        // Another process, after the power is back.
        let source = reading(&store, root.path());
        source.refresh(&task("t")).await.unwrap();
        let place = source.place(&task("t"), 1).await.expect(what);
        assert_eq!(pack::archive(&System, place.folder()).unwrap(), archive(100), "{what}");
    }
}
