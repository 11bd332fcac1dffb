use std::path::Path;

use mimi_server::pack::{self, CONFIG_FILE, Contents, Decision, ProblemType};
use serde_json::Value;

use crate::support::TinyBackbone;

fn written(tiny: &TinyBackbone, dir: &Path, decision: Decision) -> (std::path::PathBuf, Value) {
    let contents = Contents { decision, ..tiny.contents(1, &[], 3) };
    let folder = pack::write(&dir.join("t"), &contents, &tiny.config).unwrap();
    let json = serde_json::from_slice(&std::fs::read(folder.join(CONFIG_FILE)).unwrap()).unwrap();
    (folder, json)
}

fn multi(thresholds: &[f32]) -> Decision {
    let problem = ProblemType::MultiLabelClassification;
    Decision { problem, thresholds: Some(thresholds.to_vec()), abstain_below: None }
}

#[test]
fn a_pack_is_written_in_the_oldest_format_that_says_all_of_it() {
    let (tiny, dir) = (TinyBackbone::new(), tempfile::tempdir().unwrap());
    let (_, json) = written(&tiny, dir.path(), Decision::default());
    assert_eq!(json["format_version"], 1);
    // The very fields of the first format, in its order.
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    for name in ["problem_type", "thresholds", "abstain_below"] {
        assert!(!names.contains(&name), "{name}");
    }
    let abstaining = Decision { abstain_below: Some(0.7), ..Decision::default() };
    for decision in [multi(&[0.25, 0.5, 1.0]), abstaining] {
        let (folder, json) = written(&tiny, dir.path(), decision.clone());
        assert_eq!(json["format_version"], 2);
        let (read, _) = pack::read(&folder, &tiny.config).unwrap();
        assert_eq!(read.manifest.decision(), decision);
    }
    let regression = Decision { problem: ProblemType::Regression, ..Decision::default() };
    let (_, json) = written(&tiny, dir.path(), regression);
    assert_eq!((&json["format_version"], &json["problem_type"]), (&2.into(), &"regression".into()));
}

#[test]
fn a_manifest_that_says_too_much_for_its_format_or_what_does_not_fit_is_refused_by_name() {
    let (tiny, dir) = (TinyBackbone::new(), tempfile::tempdir().unwrap());
    let (folder, json) = written(&tiny, dir.path(), multi(&[0.25, 0.5, 1.0]));
    let with = |name: &str, value: Value| {
        let mut json = json.clone();
        json[name] = value;
        std::fs::write(folder.join(CONFIG_FILE), json.to_string()).unwrap();
        pack::read(&folder, &tiny.config).unwrap_err().to_string()
    };
    for (name, value, words) in [
        ("format_version", 1.into(), "format_version = 1: the manifest says what only format 2 has"),
        ("format_version", 5.into(), "format_version = 5: this server reads versions 1 to 4"),
        ("format_version", 0.into(), "format_version = 0: this server reads"),
        ("problem_type", "ranking".into(), "unknown variant `ranking`"),
        ("problem_type", "regression".into(), "thresholds = 3 numbers: problem_type is regression"),
        ("thresholds", vec![0.5].into(), "expected one for each of the 3 labels"),
        ("thresholds", vec![0.5, 0.5, 1.5].into(), "thresholds = 1.5 for label 2: expected 0 to 1"),
        ("thresholds", vec![0.5, 0.5, 1e300].into(), "number out of range"),
        ("abstain_below", 0.5.into(), "only single_label_classification abstains"),
    ] {
        let error = with(name, value);
        assert!(error.contains(words), "{words}: {error}");
    }
    // What cannot be read is not written either.
    let contents = Contents { decision: multi(&[0.5]), ..tiny.contents(1, &[], 3) };
    assert!(pack::write(&dir.path().join("t"), &contents, &tiny.config).is_err());
}
