//! Variables that cannot be read are named; empty ones are as if unset.

use std::process::Output;

use crate::support::{self, TinyBackbone, command as server};

fn errors(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Every variable that the help of a command names, with its option.
fn variables(command: &str) -> Vec<(String, String)> {
    let done = server(&[command, "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&done.stdout).into_owned();
    let mut option = String::new();
    let mut found = Vec::new();
    for line in help.lines() {
        let word = line.split_whitespace().find(|word| word.starts_with("--"));
        if line.trim_start().starts_with('-') {
            option = word.unwrap_or_default().to_owned();
        }
        if let Some(at) = line.find("[env: ") {
            let name = line[at + 6..].split('=').next().unwrap();
            found.push((name.to_owned(), option.clone()));
        }
    }
    found
}

#[test]
fn f16_a_variable_that_cannot_be_read_is_named() {
    let all = variables("serve");
    assert!(all.len() > 25, "{all:?}");
    let texts = [
        "LOG",
        "ONNXRUNTIME",
        "MODELS",
        "BACKBONE",
        "ADAPTERS",
        "PACKS",
        "PACK_CACHE",
        "STATE",
        "TLS_CERT",
        "TLS_KEY",
        "TLS_CLIENT_CA",
        "TLS_CLIENT_CRL",
        "USAGE_LOG",
        "AUDIT_LOG",
        "ACCESS_LOG",
        "TENANTS",
    ];
    let texts = texts.map(|name| format!("MIMI_{name}"));
    // Those of traces are judged where something is traced; their values may be secrets.
    let is_text = |variable: &String| {
        texts.contains(variable) || (variable.starts_with("OTEL_") && variable != "OTEL_SDK_DISABLED")
    };
    for (variable, option) in all.iter().filter(|(variable, _)| !is_text(variable)) {
        let nowhere = ["serve", "--models", "/nowhere"];
        let done = server(&nowhere).env(variable, "seven?").output().unwrap();
        let said = errors(&done);
        assert_eq!(done.status.code(), Some(2), "{variable}: {said}");
        assert!(said.contains(&format!("{variable}=seven?")) && said.contains(option), "{variable}: {said}");
    }
    let done = server(&["health"]).env("MIMI_LOG", "a=b=c").output().unwrap();
    assert!(errors(&done).contains("MIMI_LOG"), "{}", errors(&done));
}

#[test]
fn f16_what_was_typed_is_not_blamed_on_the_environment() {
    let done = server(&["serve", "--port", "x"]).env("MIMI_PORT", "7").output().unwrap();
    assert!(!done.status.success() && !errors(&done).contains("MIMI_PORT"), "{}", errors(&done));
}

#[test]
#[cfg(unix)]
fn f16_a_variable_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let garbled = std::ffi::OsStr::from_bytes(b"\xff");
    let done = server(&["serve"]).env("MIMI_BACKBONE", garbled).output().unwrap();
    assert!(errors(&done).contains("MIMI_BACKBONE"), "{}", errors(&done));
}

#[test]
fn f16_an_address_set_by_kubernetes_is_explained() {
    for (variable, service) in [("MIMI_PORT", "\"mimi\""), ("MIMI_ADMIN_PORT", "\"mimi-admin\"")] {
        for command in ["serve", "health"] {
            let done = server(&[command]).env(variable, "tcp://10.0.0.1:8080").output().unwrap();
            let said = errors(&done);
            for word in [variable, "tcp://10.0.0.1:8080", "Kubernetes", "enableServiceLinks", service] {
                assert!(said.contains(word), "{word} is missing: {said}");
            }
        }
    }
}

#[test]
fn f16_an_empty_variable_is_as_if_unset() {
    let mut all = variables("serve");
    all.extend(variables("train-task"));
    let mut health = server(&["health", "--port", "1"]);
    let mut serve = server(&["serve", "--port", "0", "--models", "/nowhere"]);
    let mut train = server(&["train-task", "--task", "t", "--data", "/nowhere", "--models", "/nowhere"]);
    for (variable, _) in all {
        health.env(&variable, "");
        serve.env(&variable, "");
        train.env(&variable, "");
    }
    // Each goes on to what is really missing.
    for (command, missing) in
        [(&mut health, "127.0.0.1:1"), (&mut serve, "/nowhere"), (&mut train, "/nowhere")]
    {
        let said = errors(&command.output().unwrap());
        assert!(said.contains(missing), "{said}");
    }
}

#[test]
fn switches_take_the_usual_words() {
    for (word, is_json) in [("1", true), ("yes", true), ("on", true), ("0", false), ("false", false)] {
        let mut serve = server(&["serve", "--port", "0", "--models", "/nowhere"]);
        let done = serve.env("MIMI_NO_PREPACK", word).env("MIMI_LOG_JSON", word).output().unwrap();
        assert!(errors(&done).contains("/nowhere"), "{word} {is_json}: {}", errors(&done));
    }
}

#[test]
fn f19_a_tasks_file_may_begin_with_a_byte_order_mark() {
    let (tiny, dir) = (TinyBackbone::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("tasks.txt");
    for mark in ["", "\u{feff}"] {
        std::fs::write(&file, format!("{mark}--task t --data /nowhere/data\n")).unwrap();
        let mut train = server(&["train-task", "--backbone"]);
        train.arg(tiny.folder.file_name().unwrap()).arg("--models").arg(tiny.folder.parent().unwrap());
        train.arg("--onnxruntime").arg(support::runtime_options().library);
        let said = errors(&train.arg("--tasks-file").arg(&file).output().unwrap());
        assert!(said.contains("error: line 1: ") && said.contains("/nowhere/data"), "{said}");
    }
}

#[test]
fn f19_a_cause_is_said_once() {
    for args in [
        &["serve", "--port", "0", "--models", "/nowhere"][..],
        &["import-backbone", "--name", "n", "--weights", "/nowhere.safetensors"],
        &["import-backbone", "--name", "n", "--weights", "/nowhere.pth"],
        &["train-task", "--task", "t", "--data", "/nowhere", "--models", "/nowhere"],
        &["train-task", "--tasks-file", "/nowhere"],
        &["eval", "--pack", "/nowhere", "--data", "/nowhere", "--models", "/nowhere"],
    ] {
        let done = server(args).output().unwrap();
        let said = errors(&done);
        assert!(!done.status.success(), "{args:?}");
        assert_eq!(said.matches("No such file").count(), 1, "{args:?}: {said}");
    }
}
