//! Commands on a folder that are killed at any time: readers see whole versions, and another run ends what was begun.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mimi_server::files::System;
use mimi_server::pack;
use mimi_server::shelf::{Digest, Folder, LABELS_FILE, PackSource, Sweep};

use super::{archive, stable, task};
use crate::support::command;

/// Commands that are killed.
const ROUNDS: u32 = 30;
/// How much later than the one before a command of its kind is killed. A version is written within 20 ms or so.
const STEP: Duration = Duration::from_micros(200);
const SWEEP: Sweep = Sweep { keep: 1, grace: Duration::ZERO, is_dry: false };

/// Every version has the bytes of one that was published, and one of them answers.
async fn is_whole(root: &Path, known: &BTreeSet<Digest>) {
    for entry in std::fs::read_dir(root.join("t")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name == LABELS_FILE {
            continue;
        }
        let archive = pack::archive(&System, &path).unwrap();
        assert!(known.contains(&Digest::of(&archive)), "{name}");
    }
    let pointer = Folder::new(root.to_owned()).pointer(&task("t")).await.unwrap().unwrap();
    assert!(pointer.stable().is_some(), "{pointer:?}");
}

/// A file that is published in a round.
fn file(root: &Path, round: u32) -> PathBuf {
    let file = root.join(format!("{round}.mipack"));
    std::fs::write(&file, archive(100 + u64::from(round))).unwrap();
    file
}

/// Runs one of three commands and kills it `delay` after it has begun to change the folder. Returns whether it was killed.
fn run(packs: &Path, file: &Path, (round, delay): (u32, Duration)) -> bool {
    let (folder, before) = (packs.join("t"), names(&packs.join("t")));
    let (packs, file) = (packs.display().to_string(), file.display().to_string());
    let args = match round % 3 {
        0 => vec!["publish", "--to", &packs, "--task", "t", &file],
        1 => vec!["rollback", "--in", &packs, "--task", "t"],
        _ => vec!["gc", "--in", &packs, "--keep", "2", "--grace-hours", "0"],
    };
    let mut child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while names(&folder) == before && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_micros(100));
    }
    std::thread::sleep(delay);
    let _ = child.kill();
    child.wait().unwrap().signal().is_some()
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[tokio::test]
async fn commands_on_a_folder_may_be_killed_at_any_time() {
    let root = tempfile::tempdir().unwrap();
    let packs = root.path().join("packs");
    let source = Folder::new(packs.clone());
    let mut known = BTreeSet::new();
    for seed in 1..=3 {
        known.insert(source.publish(&task("t"), archive(seed).into(), stable(None)).await.unwrap().digest);
    }
    let mut killed = 0;
    for round in 0..ROUNDS {
        known.insert(Digest::of(&archive(100 + u64::from(round))));
        let file = file(root.path(), round);
        killed += u32::from(run(&packs, &file, (round, STEP * (round / 3))));
        is_whole(&packs, &known).await;
    }
    assert!(killed > 0, "{killed} of {ROUNDS} were killed");
    let last = source.publish(&task("t"), archive(999).into(), stable(None)).await.unwrap();
    source.sweep(SWEEP).await.unwrap();
    let pointer = source.pointer(&task("t")).await.unwrap().unwrap();
    assert_eq!(pointer.stable(), Some(last.done.version()));
    let left = std::fs::read_dir(packs.join("t")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".partial")));
}
