//! Every command block of the pages has a tag, and the lists of those that no test runs are these.

use std::path::{Path, PathBuf};

use crate::support::repository;

/// Blocks that take minutes or a download, by page and first line.
const LONG: &[(&str, &str)] = &[
    ("CONTRIBUTING.md", "make test      # every test"),
    ("README.md", "make run     # fetches ONNX Runtime and CLIP ViT-B/16, builds, serves on 127.0.0.1:8080"),
    (
        "docs/comparing.md",
        "target/release/server compare --backbone dinov2-small-56 --data flowers=data/flowers --data signs=data/signs \\",
    ),
    (
        "docs/comparing.md",
        "target/release/server compare --backbone dinov2-small-56 --data flowers102=data/flowers102 --methods all,proportional,mimi:adapter-plus \\",
    ),
    (
        "docs/comparing.md",
        "target/release/server compare --backbone dinov2-small-56 --data flowers102=data/flowers102 --data cifar10=data/cifar10 --tune \\",
    ),
    ("docs/fuzzing.md", "make fuzz                                        # 10 minutes each"),
    (
        "docs/gpu.md",
        "make gpu-bundle                         # gpu-bundle/: pieces of at most 60 MiB, bundle.json, join.py",
    ),
    ("docs/gpu.md", "make gpu-check                          # 8 minutes at most"),
    ("docs/installing.md", "make dist                                   # dist/: wheel, archive, SHA256SUMS"),
    ("docs/installing.md", "make dist && cd dist && sha256sum --check SHA256SUMS"),
    (
        "docs/method-study.md",
        "target/release/server compare --backbone dinov2-small-56 --data assets/datasets/openclipart/train \\",
    ),
    (
        "docs/precision.md",
        "target/release/server bench --precisions --images assets/datasets/openclipart/test/*/*1.png",
    ),
    ("docs/quickstart.md", "make run"),
    ("docs/scale.md", "make replicas-test     # load-tests/replicas/run.py: every part, 20 minutes"),
    (
        "docs/studies.md",
        "nice target/release/server study --backbone dinov2-small-56 --protocol studies/mimi/protocol.json --data data --out studies/mimi",
    ),
    (
        "docs/training.md",
        "target/release/server train-task --task shoes --data my-images/ --auto --minutes 10",
    ),
    (
        "docs/training.md",
        "target/release/server train-task --task shoes --data my-images/ --method mimi --first-block 8 --sigma-0 8 --sigma 64",
    ),
];

/// Blocks that need what only a user has: a checkpoint, a GPU, many data sets.
const SHOWN: &[(&str, &str)] = &[
    ("docs/backbones.md", "target/release/server import-backbone --weights model.safetensors --name my-vit"),
    // Needs a cluster; `make deploy-check` renders and validates what it would apply.
    ("docs/deploying.md", "kubectl apply -k deploy/kubernetes/overlays/folder"),
    (
        "docs/gpu.md",
        "export LD_LIBRARY_PATH=$(python3 -c \"import glob, sys; print(':'.join(f for p in sys.path for f in glob.glob(p + '/nvidia/*/lib')))\")",
    ),
    ("docs/gpu.md", "python3 join.py --store /tmp/mimi-gpu"),
    // `make clients` runs what it shows.
    ("docs/grpc.md", "python3 - <<'END'"),
    (
        "docs/heads.md",
        "target/release/server train-task --task scenes --data scenes.csv --problem multi-label",
    ),
    ("docs/heads.md", "target/release/server train-task --task ages --data ages.csv --problem regression"),
    ("docs/importing.md", "server import-backbone --weights model.safetensors --name my-vit"),
    ("docs/installing.md", "docker build -t mimi-server ."),
    (
        "docs/packs.md",
        "target/release/server import-pack --from last_fused_ckpt_epoch_0.pth --task shoes --labels names.txt --backbone my-vit",
    ),
    (
        "docs/shelf.md",
        "curl -s --data-binary @image.png 'http://127.0.0.1:8080/v1/tasks/fashion-mnist@7/classify'",
    ),
    ("docs/training.md", "cat > tasks.txt <<'END'"),
];

/// What fences may say of blocks that are no commands.
const DATA: &[&str] = &["json", "json output", "text", "text output", "toml", "yaml", "rust"];

/// Pages with their text, by path within the repository.
pub(super) fn pages() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/reference", "models", "tests/images"] {
        let entries = std::fs::read_dir(repository().join(folder)).unwrap();
        let files = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
        found.extend(files.filter(|file| file.extension().is_some_and(|e| e == "md")));
    }
    found.sort();
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(repository().join(&file)).unwrap();
        (file, text)
    };
    found.into_iter().map(read).collect()
}

/// A fenced block: what stands behind its fence, and its first line.
struct Block<'a> {
    info: &'a str,
    first: &'a str,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut lines = text.lines().map(str::trim_start);
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let first = lines.next().unwrap_or_default();
            found.push(Block { info, first });
            // An empty block ends at once.
            let _ = first.starts_with("```") || lines.any(|line| line.starts_with("```"));
        }
    }
    found
}

/// Page and first line of every command block with a tag.
fn tagged(tag: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (page, text) in pages() {
        let of_tag = blocks(&text).into_iter().filter(|block| block.info == format!("sh {tag}"));
        found.extend(of_tag.map(|block| (page.display().to_string(), block.first.to_owned())));
    }
    found.sort();
    found
}

#[test]
fn every_command_block_says_whether_a_test_runs_it() {
    let tags = ["sh run", "sh long", "sh shown"];
    for (page, text) in pages() {
        for Block { info, first } in blocks(&text) {
            let known = tags.contains(&info) || DATA.contains(&info);
            assert!(
                known,
                "{}: ```{info} before {first:?}: expected one of {tags:?} or {DATA:?}",
                page.display()
            );
        }
    }
}

#[test]
fn blocks_that_no_test_runs_are_few_and_listed() {
    for (tag, listed) in [("long", LONG), ("shown", SHOWN)] {
        let mut listed: Vec<_> =
            listed.iter().map(|(page, first)| (page.to_string(), first.to_string())).collect();
        listed.sort();
        assert_eq!(tagged(tag), listed, "blocks tagged {tag}");
    }
}
