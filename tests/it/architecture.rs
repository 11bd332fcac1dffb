//! Layers and invariants of the code map, checked in the source.

use std::path::{Path, PathBuf};

use crate::support::repository;

/// Modules from the bottom up; a module may name those in earlier rows.
const LAYERS: &[&[&str]] = &[
    &["errors", "files", "text", "metrics", "traces", "image"],
    &["journal", "backbone"],
    &["usage", "audit", "access"],
    &["graph"],
    &["adaptation"],
    &["pack"],
    &["inspect", "runtime", "shelf"],
    &["import", "engine", "catalog"],
    &["reload", "tenants"],
    &["service"],
    &["oip"],
    &["http", "grpc"],
    &["serve", "train", "bench"],
    &["predict"],
];

/// Every source file under a folder.
pub fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// Source files with their top module and their code: comments and test modules cut away.
fn code() -> Vec<(PathBuf, String, String)> {
    let root = repository().join("src");
    sources(&root)
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap().to_owned();
            let top = relative.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            (relative, top, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

fn level(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&module))
}

/// Names of modules that follow `crate::` or `mimi_server::` in the code, grouped imports included.
fn used(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let group = rest.strip_prefix('{').map(|group| group.split('}').next().unwrap_or_default());
        for part in group.unwrap_or(rest).split(',').take(if group.is_some() { usize::MAX } else { 1 }) {
            let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(name);
        }
    }
    names
}

#[test]
fn dependencies_go_only_downwards() {
    let mut wrong = Vec::new();
    for (path, top, code) in code() {
        let Some(own) = level(&top) else { continue };
        for name in used(&code) {
            let Some(other) = level(&name) else { continue };
            if name != top && other >= own {
                wrong.push(format!("{} uses {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_its_layer() {
    let outside = ["lib", "main", "cli", "commands"];
    for (path, top, _) in code() {
        assert!(level(&top).is_some() || outside.contains(&top.as_str()), "{} has no layer", path.display());
    }
}

/// `(word, modules that may say it)`.
const RESERVED: &[(&str, &[&str])] = &[
    ("ort::", &["runtime"]),
    ("axum::", &["http", "grpc", "serve", "predict"]),
    ("tonic::", &["grpc"]),
    ("StatusCode", &["http", "grpc"]),
    ("HeaderMap", &["http", "grpc"]),
    ("HeaderValue", &["http"]),
    ("Json(", &["http"]),
    ("utoipa", &["http"]),
    ("env::var", &["cli"]),
    ("unsafe ", &["runtime"]),
    ("panic!(", &[]),
    (".unwrap()", &[]),
    (".expect(", &[]),
    ("todo!(", &[]),
    ("unimplemented!(", &[]),
    ("static mut", &[]),
    ("lazy_static", &[]),
    ("OnceLock", &["runtime"]),
];

#[test]
fn reserved_words_stay_in_their_modules() {
    let mut wrong = Vec::new();
    for (path, top, code) in code() {
        for (word, homes) in RESERVED {
            // `import::` and `report::` end in `ort::` and are not it.
            let says = code.match_indices(word).any(|(at, _)| {
                let before = code[..at].chars().next_back().unwrap_or(' ');
                !word.starts_with("ort") || !(before.is_alphanumeric() || before == '_')
            });
            if says && !homes.contains(&top.as_str()) {
                wrong.push(format!("{} says {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_parts_do_no_io_and_read_no_clock() {
    let pure = |path: &Path| {
        let path = path.to_string_lossy();
        path.starts_with("graph/")
            || path.starts_with("adaptation/")
            || path.starts_with("image/")
            || ["turns", "queue", "load", "speed", "batch", "fork", "programs"]
                .iter()
                .any(|name| path == format!("engine/{name}.rs"))
    };
    let mut wrong = Vec::new();
    for (path, _, code) in code() {
        for word in ["std::fs", "Instant::now", "SystemTime", "std::thread", "tokio", "std::net"] {
            if pure(&path) && code.contains(word) {
                wrong.push(format!("{} says {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn engine_threads_do_not_await_or_touch_the_disk() {
    for (path, top, code) in code() {
        if top == "engine" {
            for word in [".await", "async ", "std::fs", "File::"] {
                assert!(!code.contains(word), "{} says {word}", path.display());
            }
        }
    }
}

#[test]
fn the_map_names_every_module() {
    let map = std::fs::read_to_string(repository().join("src/lib.rs")).unwrap();
    let docs: String = map.lines().filter(|line| line.starts_with("//!")).collect();
    for (path, top, _) in code() {
        let outside = ["lib", "main"].contains(&top.as_str());
        assert!(outside || docs.contains(&format!("`{top}`")), "the map does not name {}", path.display());
    }
}

#[test]
fn files_stay_readable() {
    for (path, _, code) in code() {
        let lines = code.lines().count();
        assert!(lines <= 500, "{} has {lines} lines of code", path.display());
    }
}
