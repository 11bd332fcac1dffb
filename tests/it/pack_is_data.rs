//! A pack is data: nothing in its folder reaches outside it, and nothing in it keeps the server waiting.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use mimi_server::pack::{self, CONFIG_FILE, WEIGHTS_FILE};

use crate::server::{World, classify, image};

/// Does something to a version's folder, of which `outside` is a copy elsewhere.
type Trick = fn(&Path, &Path);

fn replace(dir: &Path, name: &str, by: impl FnOnce(&Path)) {
    fs::remove_file(dir.join(name)).unwrap();
    by(&dir.join(name));
}

fn fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

const TRICKS: [(&str, Trick, &str); 10] = [
    (
        "manifest elsewhere",
        |dir, outside| replace(dir, CONFIG_FILE, |at| symlink(outside.join(CONFIG_FILE), at).unwrap()),
        "outside its folder",
    ),
    (
        "weights elsewhere",
        |dir, outside| replace(dir, WEIGHTS_FILE, |at| symlink(outside.join(WEIGHTS_FILE), at).unwrap()),
        "outside its folder",
    ),
    (
        "a relative way out",
        |dir, outside| {
            let task = outside.parent().unwrap().file_name().unwrap();
            let way = Path::new("../..").join(task).join("1").join(WEIGHTS_FILE);
            replace(dir, WEIGHTS_FILE, |at| symlink(way, at).unwrap());
        },
        "outside its folder",
    ),
    (
        "a way out through a folder",
        |dir, outside| {
            symlink(outside, dir.join("inner")).unwrap();
            replace(dir, WEIGHTS_FILE, |at| symlink(format!("inner/{WEIGHTS_FILE}"), at).unwrap());
        },
        "outside its folder",
    ),
    (
        "a secret as manifest",
        |dir, _| replace(dir, CONFIG_FILE, |at| symlink("/etc/passwd", at).unwrap()),
        "outside its folder",
    ),
    (
        "a process's memory",
        |dir, _| replace(dir, WEIGHTS_FILE, |at| symlink("/proc/self/mem", at).unwrap()),
        "outside its folder",
    ),
    (
        "endless zeros",
        |dir, _| replace(dir, WEIGHTS_FILE, |at| symlink("/dev/zero", at).unwrap()),
        "outside its folder",
    ),
    ("a pipe that nobody writes to", |dir, _| replace(dir, CONFIG_FILE, fifo), "not a regular file"),
    (
        "a sparse terabyte",
        |dir, _| {
            fs::File::options().write(true).open(dir.join(WEIGHTS_FILE)).unwrap().set_len(1 << 40).unwrap();
        },
        "1099511627776",
    ),
    (
        "a folder",
        |dir, _| replace(dir, WEIGHTS_FILE, |at| fs::create_dir(at).unwrap()),
        "a folder, not a file",
    ),
];

#[test]
fn no_trick_reaches_outside_or_waits() {
    let world = World::new();
    for (name, trick, told) in TRICKS {
        let task = name.replace([' ', '\''], "-");
        let dir = world.publish(&task, &world.contents(1, 2));
        let outside = world.publish(&format!("{task}-elsewhere"), &world.contents(1, 2));
        trick(&dir, &outside);
        let start = Instant::now();
        let error = pack::read(&dir, &world.tiny.config).err().unwrap_or_else(|| panic!("{name} is read"));
        assert!(error.to_string().contains(told), "{name}: {error}");
        assert!(start.elapsed() < Duration::from_secs(2), "{name}: {:?}", start.elapsed());
    }
}

/// What a mounted Kubernetes volume looks like: links that stay inside.
#[test]
fn links_inside_a_folder_are_followed() {
    let world = World::new();
    let dir = world.publish("t", &world.contents(1, 2));
    fs::create_dir(dir.join("..2026_11")).unwrap();
    for name in [CONFIG_FILE, WEIGHTS_FILE] {
        fs::rename(dir.join(name), dir.join("..2026_11").join(name)).unwrap();
        symlink(format!("..data/{name}"), dir.join(name)).unwrap();
    }
    symlink("..2026_11", dir.join("..data")).unwrap();
    pack::read(&dir, &world.tiny.config).unwrap();
}

/// A server goes on with what works, and tells a client nothing of what a link leads to.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_beside_tricks() {
    let world = World::new();
    world.publish("good", &world.contents(1, 2));
    for (number, (_, trick, _)) in TRICKS.into_iter().enumerate() {
        let dir = world.publish(&format!("t{number}"), &world.contents(1, 2));
        let outside = world.publish(&format!("t{number}-elsewhere"), &world.contents(1, 2));
        trick(&dir, &outside);
    }
    let app = world.server().await.app();
    for number in 0..TRICKS.len() {
        let answer = classify(&app, &format!("t{number}"), image("rgb.png")).await;
        assert!([500, 503].contains(&answer.status.as_u16()), "{number}: {}", answer.text());
        assert!(!answer.text().contains("root:"), "{}", answer.text());
        assert_eq!(classify(&app, "good", image("rgb.png")).await.status, 200);
    }
}
