//! Versions that come file by file, by link or by rename.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use mimi_server::audit::Who;
use mimi_server::pack::{CONFIG_FILE, WEIGHTS_FILE};

use super::disk::{EIO, Op};
use super::{Watching, eventually, publish, some_looks, world};

const FILES: [&str; 2] = [CONFIG_FILE, WEIGHTS_FILE];

/// A server with version 1 of `t`, and a whole version elsewhere that prefers class 2.
async fn before_a_copy() -> (Watching, PathBuf) {
    let world = world();
    publish(&world, "t", 1);
    let source = world.publish("elsewhere", &world.contents(2, 2));
    let watching = Watching::over(world, |_| ()).await;
    assert_eq!(watching.label("t").await, (1, "class-1".into()));
    (watching, source)
}

async fn failure(watching: &Watching) -> String {
    watching.task("t").await["failure"]["state"].as_str().unwrap_or_default().to_owned()
}

async fn is_live(watching: &Watching, version: u64) {
    eventually("the version", || async { watching.live("t").await == Some(version) }).await;
    assert_eq!(watching.label("t").await, (version, "class-2".into()));
    assert!(watching.task("t").await["failure"].is_null());
}

/// A file written in pieces, with some looks between them.
async fn in_pieces(watching: &Watching, from: &Path, to: &Path) {
    let bytes = fs::read(from).unwrap();
    let mut file = fs::File::create(to).unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(3)) {
        some_looks(watching).await;
        file.write_all(piece).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_version_copied_in_any_order_is_published_once_it_is_whole() {
    let (watching, source) = before_a_copy().await;
    for (version, order) in [(2, [CONFIG_FILE, WEIGHTS_FILE]), (3, [WEIGHTS_FILE, CONFIG_FILE])] {
        // `kubectl cp`, `cp` and `tar` write under the final names.
        let target = watching.packs.join(format!("t/{version}"));
        fs::create_dir(&target).unwrap();
        for name in order {
            in_pieces(&watching, &source.join(name), &target.join(name)).await;
            if name == order[0] {
                eventually("its state", || async { failure(&watching).await == "incomplete" }).await;
                assert_eq!(watching.live("t").await, Some(version - 1));
            }
        }
        is_live(&watching, version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_rsync_renames_each_file_and_sets_its_times_back() {
    let (watching, source) = before_a_copy().await;
    let target = watching.packs.join("t/2");
    fs::create_dir(&target).unwrap();
    for name in [WEIGHTS_FILE, CONFIG_FILE] {
        let partial = target.join(format!(".{name}.X7f2aQ"));
        in_pieces(&watching, &source.join(name), &partial).await;
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::open(&partial).unwrap().set_modified(long_ago).unwrap();
        fs::rename(&partial, target.join(name)).unwrap();
    }
    is_live(&watching, 2).await;
    // The same again over what is live, as a second rsync without --times does: nothing happens.
    for name in [WEIGHTS_FILE, CONFIG_FILE] {
        fs::copy(target.join(name), target.join(".partial")).unwrap();
        fs::rename(target.join(".partial"), target.join(name)).unwrap();
    }
    some_looks(&watching).await;
    assert!(watching.task("t").await["rewritten"].is_null());
    assert_eq!(watching.server.metrics().packs.packs_rewritten.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_whole_version_renamed_onto_a_failed_number_is_published() {
    let (watching, source) = before_a_copy().await;
    let target = watching.packs.join("t/2");
    fs::create_dir(&target).unwrap();
    fs::write(target.join(CONFIG_FILE), "{}").unwrap();
    fs::write(target.join(WEIGHTS_FILE), "no weights").unwrap();
    eventually("the failure", || async { !watching.task("t").await["failure"].is_null() }).await;
    some_looks(&watching).await;
    fs::remove_dir_all(&target).unwrap();
    fs::rename(&source, &target).unwrap();
    is_live(&watching, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_where_times_are_coarse_a_change_of_the_same_size_is_seen() {
    let (watching, source) = before_a_copy().await;
    watching.disk.make_times_coarse();
    let target = watching.packs.join("t/2");
    let (config, weights) =
        (fs::read(source.join(CONFIG_FILE)).unwrap(), fs::read(source.join(WEIGHTS_FILE)).unwrap());
    let aside = watching.world.task("aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join(CONFIG_FILE), &config).unwrap();
    // As large as it will be, as copying by several threads leaves it: only the digest tells.
    fs::write(aside.join(WEIGHTS_FILE), vec![0; weights.len()]).unwrap();
    fs::rename(&aside, &target).unwrap();
    eventually("the failure", || async { failure(&watching).await == "incomplete" }).await;
    let mut file = fs::OpenOptions::new().write(true).open(target.join(WEIGHTS_FILE)).unwrap();
    file.write_all(&weights).unwrap();
    is_live(&watching, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_version_that_could_not_be_read_is_tried_again_by_itself() {
    let (watching, source) = before_a_copy().await;
    watching.disk.fail(&watching.packs.join("t/2"), &[Op::Read], EIO);
    fs::rename(&source, watching.packs.join("t/2")).unwrap();
    eventually("the failure", || async { failure(&watching).await == "unreadable" }).await;
    some_looks(&watching).await;
    assert_eq!(watching.label("t").await, (1, "class-1".into()));
    let failed = watching.server.metrics().packs.pack_reloads.with_label_values(&["failed"]).get();
    assert_eq!(failed, 1, "told once");
    watching.disk.heal();
    is_live(&watching, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_broken_version_is_read_twice_and_then_left_alone() {
    let (watching, _) = before_a_copy().await;
    let target = watching.packs.join("t/2");
    fs::create_dir(&target).unwrap();
    fs::write(target.join(CONFIG_FILE), "[]").unwrap();
    eventually("the failure", || async { failure(&watching).await == "broken" }).await;
    // Once more when its times can be relied upon, which takes three seconds.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let reads = watching.disk.reads();
    some_looks(&watching).await;
    assert_eq!(watching.disk.reads(), reads);
    fs::remove_dir_all(&target).unwrap();
    eventually("no failure without its version", || async { failure(&watching).await.is_empty() }).await;
}

/// A folder of packs as Kubernetes makes a volume of a ConfigMap, a Secret or a projection: `t` is a link by way of
/// `..data` into a folder that is replaced as a whole.
fn swap(packs: &Path, stamp: &str, versions: &[(&str, &Path)]) {
    let folder = packs.join(format!("..{stamp}"));
    for (version, source) in versions {
        let target = folder.join("t").join(version);
        fs::create_dir_all(&target).unwrap();
        for name in [CONFIG_FILE, WEIGHTS_FILE] {
            fs::copy(source.join(name), target.join(name)).unwrap();
        }
    }
    symlink(format!("..{stamp}"), packs.join("..data_tmp")).unwrap();
    let before = fs::read_link(packs.join("..data")).ok();
    fs::rename(packs.join("..data_tmp"), packs.join("..data")).unwrap();
    if let Some(before) = before {
        fs::remove_dir_all(packs.join(before)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_of_the_data_link_are_seen_and_lose_nothing() {
    let world = world();
    let (one, two) =
        (world.publish("one", &world.contents(1, 1)), world.publish("two", &world.contents(2, 2)));
    let packs = world.task("packs");
    swap(&packs, "2026_01", &[("1", &one)]);
    symlink("..data/t", packs.join("t")).unwrap();
    let watching = Watching::over(world, |_| ()).await;
    assert_eq!(watching.label("t").await, (1, "class-1".into()));
    swap(&packs, "2026_02", &[("1", &one), ("2", &two)]);
    is_live(&watching, 2).await;
    // The same files under other inodes are no rewriting.
    swap(&packs, "2026_03", &[("1", &one), ("2", &two)]);
    some_looks(&watching).await;
    assert!(watching.task("t").await["rewritten"].is_null());
    swap(&packs, "2026_04", &[("1", &one)]);
    eventually("the roll-back", || async { watching.live("t").await == Some(1) }).await;
    swap(&packs, "2026_05", &[("1", &two)]);
    eventually("the rewriting", || async { !watching.task("t").await["rewritten"].is_null() }).await;
    assert_eq!(watching.label("t").await, (1, "class-1".into()));
    assert!(watching.folder().await["passed_over"] == 0, "{}", watching.folder().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_what_is_shown_of_a_rewritten_version_is_what_is_served() {
    let (watching, source) = before_a_copy().await;
    let target = watching.packs.join("t/1");
    let copy = |from: &Path, to: &Path, name: &str| {
        fs::copy(from.join(name), to.join(name)).unwrap();
    };
    let copy_all = |from: &Path, to: &Path| FILES.into_iter().for_each(|name| copy(from, to, name));
    let before = watching.world.task("before");
    fs::create_dir(&before).unwrap();
    copy_all(&target, &before);
    let digest = async || watching.task("t").await["manifest"]["weights_sha256"].clone();
    let shown = digest().await;
    let rewritten = watching.server.metrics().packs.packs_rewritten.clone();
    // First half of it, then all of it.
    copy(&source, &target, CONFIG_FILE);
    eventually("the news", || async { !watching.task("t").await["rewritten"].is_null() }).await;
    copy(&source, &target, WEIGHTS_FILE);
    some_looks(&watching).await;
    assert_eq!(watching.label("t").await, (1, "class-1".into()));
    assert_eq!(digest().await, shown);
    assert_eq!(rewritten.get(), 1);
    copy_all(&before, &target);
    eventually("its end", || async { watching.task("t").await["rewritten"].is_null() }).await;
    // Asked to, the server takes the new files, all of them.
    copy_all(&source, &target);
    assert_eq!(watching.server.reloader().reload(&"t".parse().unwrap(), &Who::default()).await.unwrap(), 1);
    assert_eq!(watching.label("t").await, (1, "class-2".into()));
    assert_ne!(digest().await, shown);
    assert!(watching.task("t").await["rewritten"].is_null());
}
