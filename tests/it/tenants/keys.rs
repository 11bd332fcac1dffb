//! `server keys`: what it prints, what it writes, and what it never does.

use std::io::Write;
use std::process::{Output, Stdio};

use mimi_server::tenants;

use super::Written;
use crate::support;

const FILE: &str = "# Kept by hand.\nversion = 1\n\n[tenants.acme]   # the shop\ntasks = [\"acme.*\"]\n\n\
                    [tenants.\"b.c\"]\nuses = [\"acme.*\"]\n";

fn keys(args: &[&str], input: &str) -> Output {
    let mut command = support::command(&[&["keys"], args].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses its arguments ends before it reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_key_is_made_listed_hashed_and_revoked_and_comments_stay() {
    let file = Written::new(FILE);
    let path = file.path.to_str().unwrap();
    let made = keys(
        &[
            "new",
            "--tenants",
            path,
            "--tenant",
            "acme",
            "--scopes",
            "infer,read",
            "--expires",
            "2999-01-31",
            "--note",
            "CI",
        ],
        "",
    );
    assert!(made.status.success(), "{}", text(&made.stderr));
    let key = text(&made.stdout).trim().to_owned();
    let id = key.split('_').nth(1).unwrap().to_owned();
    let secret = key.splitn(3, '_').nth(2).unwrap();
    let written = std::fs::read_to_string(&file.path).unwrap();
    assert!(
        written.starts_with(FILE.split("\n\n").next().unwrap()) && written.contains("# the shop"),
        "{written}"
    );
    assert!(!written.contains(secret) && !text(&made.stderr).contains(secret));
    let hashed = keys(&["hash"], &format!("{key}\n"));
    assert!(written.contains(text(&hashed.stdout).lines().nth(1).unwrap()), "{}", text(&hashed.stdout));
    let other =
        keys(&["new", "--tenants", path, "--tenant", "b.c", "--scopes", "infer", "--id", "other"], "");
    assert!(other.status.success(), "{}", text(&other.stderr));
    let listed = text(&keys(&["list", "--tenants", path], "").stdout).replace(&id, "ID");
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["acme", "ID", "infer,read", "2999-01-31T00:00:00Z", "CI"], "{listed}");
    assert_eq!(rows[2], ["b.c", "other", "infer", "never"], "{listed}");
    let revoked = keys(&["revoke", "--tenants", path, &id, "other"], "");
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    let left = tenants::check(&file.path).unwrap();
    assert!(left.tenants.values().all(|tenant| tenant.keys.is_empty()));
    assert!(std::fs::read_to_string(&file.path).unwrap().contains("# the shop"));
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let file = Written::new(FILE);
    let path = file.path.to_str().unwrap();
    for (args, told) in [
        (
            &["new", "--tenants", path, "--tenant", "nobody", "--scopes", "read"][..],
            "tenant nobody: not in the file",
        ),
        (&["new", "--tenants", path, "--tenant", "acme", "--scopes", "write"], "expected infer, read"),
        (
            &["new", "--tenants", path, "--tenant", "acme", "--scopes", "read", "--id", "A"],
            "a key's id is not",
        ),
        (
            &["new", "--tenants", path, "--tenant", "acme", "--scopes", "read", "--expires", "soon"],
            "expected a day such as 2027",
        ),
        (&["revoke", "--tenants", path, "abcd"], "no tenant has a key abcd"),
        (&["list", "--tenants", "/nowhere/tenants.toml"], "/nowhere/tenants.toml"),
        (&["hash"], "not a key"),
    ] {
        let done = keys(args, "TOPSECRET");
        assert!(!done.status.success(), "{args:?}");
        let said = text(&done.stderr);
        assert!(said.contains(told) && !said.contains("TOPSECRET"), "{args:?}: {said}");
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), FILE);
    }
}

/// Several hands at once lose nothing, through a link too.
#[test]
fn keys_made_at_once_are_all_written() {
    let file = Written::new(FILE);
    let link = file.path.with_file_name("link.toml");
    std::os::unix::fs::symlink(&file.path, &link).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let link = &link;
            scope.spawn(move || {
                let id = format!("key{number}");
                let path = link.to_str().unwrap();
                let done = keys(
                    &["new", "--tenants", path, "--tenant", "acme", "--scopes", "read", "--id", &id],
                    "",
                );
                assert!(done.status.success(), "{}", text(&done.stderr));
            });
        }
    });
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(tenants::check(&file.path).unwrap().tenants["acme"].keys.len(), 8);
}

#[test]
fn without_a_file_the_lines_for_it_are_printed() {
    let done = keys(&["new", "--tenant", "b.c", "--scopes", "metrics"], "");
    let lines: String = text(&done.stderr)
        .lines()
        .filter(|line| !line.starts_with("These"))
        .map(|l| format!("{l}\n"))
        .collect();
    let file = Written::new(&format!("version = 1\n{lines}"));
    let read = tenants::check(&file.path).unwrap();
    let digest = tenants::Digest::of(text(&done.stdout).trim()).to_string();
    assert_eq!(read.tenants["b.c"].keys.values().next().unwrap().sha256, digest);
}
