//! Hostile archives and blobs: refused by name, and nothing replaced.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use mimi_server::pack::{self, CONFIG_FILE, WEIGHTS_FILE};
use mimi_server::shelf::{Digest, PackSource};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{archive, objects, reading, stable, task};

#[test]
fn an_archive_is_tar_and_gives_back_its_files() {
    let (bytes, folder) = (archive(7), tempfile::tempdir().unwrap());
    let file = folder.path().join("p.mipack");
    std::fs::write(&file, &bytes).unwrap();
    let listed = Command::new("tar").arg("tf").arg(&file).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), format!("{CONFIG_FILE}\n{WEIGHTS_FILE}\n"));
    let out = folder.path().join("out");
    pack::unpack(&mut &bytes[..], &file, &out).unwrap();
    assert_eq!(pack::archive(&mimi_server::files::System, &out).unwrap(), bytes);
}

/// A name for what is done, and the bytes.
fn hostile() -> Vec<(String, Vec<u8>)> {
    let good = archive(7).to_vec();
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut put = |what: &str, at: usize, bytes: &[u8]| {
        let mut made = good.clone();
        made[at..at + bytes.len()].copy_from_slice(bytes);
        // With its sum made right, so that the sum alone does not refuse it.
        let block = at / 512 * 512;
        if at % 512 < 345 {
            made[block + 148..block + 156].copy_from_slice(b"        ");
            let sum: u32 = made[block..block + 512].iter().map(|byte| u32::from(*byte)).sum();
            made[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        all.push((what.to_owned(), made));
    };
    for name in [
        "../../etc/passwd\0",
        "/etc/passwd\0",
        "adapter_model.safetensors\0",
        "a/adapter_config.json\0",
        "\0",
    ] {
        put(&format!("name {name:?}"), 0, name.as_bytes());
    }
    for kind in [b"1", b"2", b"3", b"5", b"6", b"x", b"g", b"L", b"S"] {
        put(&format!("kind {kind:?}"), 156, kind);
    }
    put("link target", 157, b"/etc/passwd");
    put("setuid", 100, b"0004755\0");
    put("an owner", 108, b"0001750\0");
    put("a time", 136, b"00000000001\0");
    put("a prefix", 345, b"..");
    for size in ["77777777777\0", "00000000000\0", "-0000000001\0", "00000000x01\0", "           \0"] {
        put(&format!("size {size:?}"), 124, size.as_bytes());
    }
    put("size in base 256", 124, &[0x80, 0, 0, 0, 0, 0, 0, 0x02, 0x54, 0x0b, 0xe4, 0]);
    for (what, end) in [("nothing", 0), ("half a header", 100), ("a header", 512), ("no end", good.len() - 1)]
    {
        all.push((what.into(), good[..end].to_vec()));
    }
    all.push(("more behind".into(), [&good[..], b"x"].concat()));
    all.push(("twice".into(), [&good[..], &good].concat()));
    all.push(("zip".into(), b"PK\x03\x04".repeat(200)));
    let mut swapped = good.clone();
    swapped.rotate_left(1024);
    all.push(("other order".into(), swapped));
    let mut padding = good.clone();
    let at = padding.len() - 1025;
    padding[at] = 1;
    all.push(("something in the padding".into(), padding));
    all
}

#[test]
fn hostile_archives_are_refused_by_name() {
    let all = hostile();
    assert!(all.len() >= 30, "{}", all.len());
    for (what, bytes) in &all {
        let folder = tempfile::tempdir().unwrap();
        let error = pack::unpack(&mut &bytes[..], Path::new("bad.mipack"), &folder.path().join("out"));
        let error = error.expect_err(what).to_string();
        assert!(error.contains("bad.mipack") && error.len() < 300, "{what}: {error}");
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| name == "out"), "{what}");
        assert!(pack::check_archive(bytes, Path::new("bad.mipack")).is_err(), "{what}");
    }
}

/// Ten gigabytes of nothing.
struct Sparse(u64);

impl Read for Sparse {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0 += out.len() as u64;
        assert!(self.0 < 2 << 20, "{} bytes were read of a file that is not an archive", self.0);
        out.fill(0);
        Ok(out.len())
    }
}

#[test]
fn a_sparse_archive_is_not_read_through() {
    let folder = tempfile::tempdir().unwrap();
    assert!(pack::unpack(&mut Sparse(0), Path::new("big"), &folder.path().join("a")).is_err());
    // A whole one with ten gigabytes of zeros behind it.
    let good = archive(1);
    let mut long = good.chain(Sparse(0));
    let error = pack::unpack(&mut long, Path::new("big"), &folder.path().join("b")).unwrap_err();
    assert!(error.to_string().contains("goes on"), "{error}");
    let file = folder.path().join("sparse.mipack");
    let made = std::fs::File::create(&file).unwrap();
    made.set_len(10 << 30).unwrap();
    (&made).write_all(&good).unwrap();
    let done =
        crate::support::command(&["publish", "--to", "nowhere", "--task", "t", &file.display().to_string()]);
    let done = { done }.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && told.contains("10737418240 bytes"), "{told}");
}

#[tokio::test]
async fn blobs_that_are_not_what_their_pointer_says_are_refused() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    objects(&store).publish(&task("t"), archive(1).into(), stable(None)).await.unwrap();
    let digest = Digest::of(&archive(1));
    let path = object_store::path::Path::from(format!("packs/blobs/{}/{digest}.mipack", digest.shard()));
    let cache = tempfile::tempdir().unwrap();
    let good = archive(1).to_vec();
    let mut flipped = good.clone();
    flipped[600] ^= 1;
    for (bytes, words) in [
        (flipped, "sha256 is"),
        (good[..good.len() - 1].to_vec(), "the pointer says"),
        ([&good[..], b"x"].concat(), "more than the"),
        (Vec::new(), "the pointer says"),
    ] {
        store.put(&path, Bytes::from(bytes).into()).await.unwrap();
        let source = reading(&store, cache.path());
        source.refresh(&task("t")).await.unwrap();
        let error = source.place(&task("t"), 1).await.unwrap_err();
        assert!(error.to_string().contains(words) && !error.is_passing(), "{error}");
        assert_eq!(std::fs::read_dir(cache.path().join("packs")).unwrap().count(), 0);
        assert_eq!(
            std::fs::read_dir(cache.path().join("coming")).unwrap().count(),
            0,
            "nothing is left behind"
        );
    }
    store.delete(&path).await.unwrap();
    let source = reading(&store, cache.path());
    source.refresh(&task("t")).await.unwrap();
    assert!(source.place(&task("t"), 1).await.unwrap_err().to_string().contains("has no"));
}
