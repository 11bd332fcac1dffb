//! Studies: what a protocol says, which runs are made, what is concluded.

use std::fs;
use std::path::Path;

use mimi_server::train::Progress;
use mimi_server::train::study::{
    Machine, Protocol, Run, Studied, StudyOptions, Turn, Verdict, effects, findings, forest, runs, study,
};
use serde_json::{Value, json};

use crate::server::World;
use crate::support::repository;
use crate::train::{dataset, setup};

fn protocol(world: &World) -> Value {
    json!({
        "title": "Tiny", "question": "Does it run?", "backbone": world.tiny.config.name,
        "first_block": 0, "steps": 12, "batch": 8, "seeds": [0, 1],
        "augment": {"crop": 0.9, "variants": 2},
        "settings": {"learning_rate": 5e-3, "smoothing": 0.0},
        "sets": [{"name": "one"}, {"name": "two", "augment": {"flip": 0.5, "variants": 2}}],
        "arms": [
            {"name": "head", "method": "linear"},
            {"name": "plain", "method": "adapters", "first_block": 1, "settings": {"sigma_0": 8, "init": "identity"}},
            {"name": "mimi", "method": "mimi", "settings": {"sigma_0": 4, "sigma": 8}}
        ],
        "comparisons": [
            {"name": "gain", "of": "mimi", "over": "plain", "at_least": 1.0, "family": "a"},
            {"name": "cost", "of": "plain", "over": "mimi", "measure": "flops-of-8", "at_most": 0.99, "family": "c"},
            {"name": "bytes", "of": "mimi", "over": "plain", "measure": "adapter-bytes", "at_most": 0.1, "family": "c"},
            {"name": "worth", "of": "plain", "over": "head", "at_least": -50, "family": "a", "sets": ["one"]}
        ]
    })
}

fn parsed(value: &Value) -> anyhow::Result<Protocol> {
    Protocol::parse(&value.to_string())
}

/// Two sets of the same pictures, of which the second has fewer classes.
fn sets(folder: &Path) {
    for set in ["one", "two"] {
        dataset(&folder.join(set));
    }
    fs::remove_dir_all(folder.join("two/blue")).unwrap();
}

struct Place {
    world: World,
    data: tempfile::TempDir,
    out: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            world: World::new(),
            data: tempfile::tempdir().unwrap(),
            out: tempfile::tempdir().unwrap(),
        };
        sets(place.data.path());
        place
    }

    fn options(&self, value: &Value, turn: Turn) -> anyhow::Result<StudyOptions> {
        Ok(StudyOptions {
            protocol: parsed(value)?,
            data: self.data.path().to_owned(),
            out: self.out.path().to_owned(),
            turn,
            machine: Machine::here("0123"),
        })
    }

    /// What a study gives, failures included, and what is told meanwhile.
    fn told(&self, options: &StudyOptions) -> (Studied, Vec<String>) {
        let mut told = Vec::new();
        let mut hear = |news: Progress<'_>| {
            if let Progress::Note(note) = news {
                told.push(note.to_owned());
            }
        };
        let found = study(&setup(&self.world), options, &mut hear, &mut |_| {}).unwrap();
        (found, told)
    }

    fn study(&self, value: &Value, turn: Turn) -> anyhow::Result<(Vec<Run>, usize)> {
        let mut made = 0;
        let options = self.options(value, turn)?;
        let found = study(&setup(&self.world), &options, &mut |_| {}, &mut |_| made += 1)?;
        anyhow::ensure!(found.failures.is_empty(), "{:?}", found.failures);
        Ok((found.runs, made))
    }
}

#[test]
fn shards_together_make_every_run_once_and_each_line_tells_how_to_repeat_it() {
    let place = Place::new();
    let value = protocol(&place.world);
    let shard = |index| place.study(&value, Turn { index, count: 2 }).unwrap();
    let (first, second) = (shard(0), shard(1));
    assert_eq!((first.1, second.1, second.0.len()), (5, 5, 10), "no comparison wants a head on two");
    assert_eq!(shard(0).1, 0, "nothing is made again");
    assert_eq!(place.study(&value, Turn::default()).unwrap().1, 0, "nor by a single process");
    for run in &second.0 {
        let line = serde_json::to_value(run).unwrap();
        assert!(!line.to_string().contains(place.data.path().to_str().unwrap()), "{line}");
        assert_eq!(line["origin"]["data"], run.plan.set);
        assert_eq!(line["machine"]["program"], "0123");
        assert!(!line["machine"]["instructions"].as_str().unwrap().is_empty());
        for key in ["settings", "images", "seed", "steps", "fingerprint", "version", "train_seconds"] {
            assert!(!line[key].is_null(), "{key}");
        }
    }
    let of = |arm: &str, set: &str| {
        let found = second.0.iter().find(|run| run.plan.method == arm && run.plan.set == set);
        found.unwrap().plan.settings.clone()
    };
    assert_eq!(of("plain", "one")["first_block"], 1);
    assert_eq!(of("plain", "one")["init"], "identity");
    assert_eq!(of("mimi", "one")["augment"]["crop"], 0.9);
    assert_eq!(
        of("mimi", "two")["augment"],
        json!({"crop": 1.0, "flip": 0.5, "jitter": 0.0, "rand_augment": 0.0,
        "erase": 0.0, "mixup": 0.0, "cutmix": 0.0, "variants": 2})
    );
    assert_eq!(of("mimi", "two")["learning_rate"], 5e-3);
    let report = findings(&parsed(&value).unwrap(), &second.0).unwrap();
    let found = effects(&parsed(&value).unwrap(), &second.0);
    let of = |name: &str| found.iter().find(|effect| effect.comparison.name == name).unwrap();
    assert_eq!((of("cost").p, of("cost").adjusted, of("cost").verdict()), (None, None, Verdict::Shown));
    // Plain adapters begin a block later, with as many neurons a site.
    assert_eq!(of("bytes").verdict(), Verdict::Missed, "{:?}", of("bytes"));
    assert!(report.contains("| cost | plain | mimi | ≤ 0.99 |"), "{report}");
    assert!(!forest(&found, "x").unwrap().contains("cost"), "a ratio is no gain");
    assert!(report.contains("| gain | mimi | plain | +1 |") && report.contains("10 runs."), "{report}");
}

#[test]
fn the_stop_rule_waits_for_the_first_sets_and_drops_what_is_settled() {
    let place = Place::new();
    let mut value = protocol(&place.world);
    value["arms"] = json!([{"name": "head", "method": "linear"},
        {"name": "other", "method": "linear", "settings": {"learning_rate": 4.9e-3}},
        {"name": "slow", "method": "linear", "settings": {"learning_rate": 1e-9}}]);
    value["comparisons"] = json!([
        {"name": "same", "of": "other", "over": "head", "at_least": 0, "family": "a"},
        {"name": "far", "of": "head", "over": "slow", "at_least": -1, "family": "a"}]);
    value["stop"] = json!({"after": 1, "within": 1.0});
    value["seeds"] = json!([0, 1, 2]);
    let (all, made) = place.study(&value, Turn { index: 0, count: 2 }).unwrap();
    assert_eq!((all.len(), made), (5, 5), "the other shard's runs of the first set are missing");
    assert!(findings(&parsed(&value).unwrap(), &all).unwrap().contains("4 runs of them are missing"));
    let (all, _) = place.study(&value, Turn { index: 1, count: 2 }).unwrap();
    let on_two: Vec<&str> =
        all.iter().filter(|run| run.plan.set == "two").map(|run| run.plan.method.as_str()).collect();
    assert!(!on_two.is_empty() && on_two.iter().all(|arm| ["head", "slow"].contains(arm)), "{on_two:?}");
    let (all, _) = place.study(&value, Turn::default()).unwrap();
    assert_eq!(all.len(), 9 + 6);
    let protocol = parsed(&value).unwrap();
    let found = effects(&protocol, &all);
    assert_eq!((found[0].sets.len(), found[1].sets.len(), found[1].pairs), (1, 2, 6));
    assert_eq!((found[0].expected, found[1].expected), (3, 6));
    assert_eq!(found[0].verdict(), Verdict::TooFew, "three pairs cannot decide");
    assert_eq!(found[1].verdict(), Verdict::Shown, "{found:?}");
    let p = found[1].adjusted.unwrap();
    assert_eq!(p, 2.0 / 64.0, "Holm's factor is the declared family's");
    let some: Vec<Run> =
        all.iter().filter(|run| run.plan.seed < 2 || run.plan.set == "one").cloned().collect();
    assert_eq!(effects(&protocol, &some)[1].verdict(), Verdict::Open, "a pair is missing");
    value["arms"][1]["always"] = json!(true);
    let (always, made) = place.study(&value, Turn::default()).unwrap();
    assert_eq!((always.len(), made), (18, 3), "an arm that is always run has no stop");
    let report = findings(&parsed(&value).unwrap(), &always).unwrap();
    assert!(report.contains("15 runs bear another, or none. Programs: 0123."), "{report}");
    let report = findings(&protocol, &all).unwrap();
    assert!(report.contains("; 0 runs bear another"), "{report}");
    assert!(report.contains("within 1 points and were not pursued: same."), "{report}");
    let svg = forest(&found, "a < b").unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("far") && svg.contains("a &lt; b"));
}

#[test]
fn an_arm_with_fewer_seeds_is_compared_on_those() {
    let place = Place::new();
    let mut value = protocol(&place.world);
    value["seeds"] = json!([5, 6, 7]);
    value["arms"] = json!([{"name": "head", "method": "linear"},
        {"name": "fewer", "method": "linear", "seeds": 2, "settings": {"learning_rate": 4e-3}}]);
    value["comparisons"] =
        json!([{"name": "gain", "of": "fewer", "over": "head", "at_least": -99, "family": "a"}]);
    value["stop"] = json!({"after": 1, "within": 0.0});
    let (all, made) = place.study(&value, Turn::default()).unwrap();
    assert_eq!((all.len(), made), (10, 10));
    let of: Vec<u64> = all.iter().filter(|run| run.plan.method == "fewer").map(|run| run.plan.seed).collect();
    assert_eq!(of, [5, 6, 5, 6]);
    let protocol = parsed(&value).unwrap();
    let found = effects(&protocol, &all);
    assert_eq!((found[0].expected, found[0].pairs), (4, 4));
    assert!(!findings(&protocol, &all).unwrap().contains("of them are missing"));
    // Protocols that do not say it keep their digest.
    assert!(!serde_json::to_string(&protocol.arms[0]).unwrap().contains("seeds"));
}

#[test]
fn a_protocol_that_contradicts_itself_is_refused_with_its_operands() {
    let world = World::new();
    let good = protocol(&world);
    parsed(&good).unwrap();
    let bad = [
        ("/seeds", json!([1, 1]), "two seeds have the name 1"),
        ("/seeds", json!([]), "0 seeds"),
        ("/arms/1/seeds", json!(3), "arm plain has 3 seeds: expected 1 to the 2 there are"),
        ("/arms/1/seeds", json!(0), "arm plain has 0 seeds"),
        ("/sets/1/name", json!("one"), "two sets"),
        ("/sets/0/name", json!("../x"), "cannot name a folder"),
        ("/sets/0/name", json!(""), "cannot name a folder"),
        ("/arms/0/name", json!("plain"), "two arms"),
        ("/comparisons/0/of", json!("nobody"), "\"nobody\": there is no such arm"),
        ("/comparisons/0/over", json!("mimi"), "mimi with itself"),
        ("/comparisons/3/sets", json!(["three"]), "there is no such set"),
        ("/comparisons/0/at_most", json!(1), "a gain has at_least"),
        ("/comparisons/1/at_least", json!(1), "a cost has at_most"),
        ("/augment", json!({"crpo": 0.5}), "crpo"),
        ("/arms/0/speed", json!(1), "speed"),
        ("/stop", json!({"after": 0, "within": 0.5}), "stop.after is 0"),
        ("/stop", json!({"after": 2, "within": 0.5}), "stop.after is 2 of 2 sets"),
        ("/sets/1/augment", json!({"crop": 2.0}), "augment of two: crop is 2"),
        ("/augment", json!({"flip": -1.0}), "flip is -1"),
        ("/arms/1/method", json!("adaptors"), "there is no method \"adaptors\""),
        ("/comparisons/0/above", json!(0), "at_least or above"),
        ("/comparisons/1/above", json!(0), "a cost has at_most"),
        ("/steps", json!(0), "steps is 0"),
        ("/settings/grid", json!({"learning_rate": [0.1]}), "a study tunes nothing"),
    ];
    for (place, wrong, told) in bad {
        let mut value = good.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[key] = wrong;
        let error = format!("{:#}", parsed(&value).unwrap_err());
        assert!(error.contains(told), "{place}: {error}");
    }
}

#[test]
fn an_arm_or_a_place_that_does_not_fit_is_refused() {
    let place = Place::new();
    let good = protocol(&place.world);
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        format!("{:#}", place.study(&value, Turn::default()).unwrap_err())
    };
    assert!(refused(&|value| value["backbone"] = json!("other")).contains("the protocol is for other"));
    assert!(refused(&|value| value["arms"][0]["method"] = json!("nothing")).contains("there is no method"));
    let text = refused(&|value| value["arms"][2]["settings"] = json!({"sigma_0": 4}));
    assert!(text.contains("arm mimi") && text.contains("give it a sigma"), "{text}");
    assert!(refused(&|value| value["sets"][1]["name"] = json!("three")).contains("is not there"));
    assert!(runs(place.out.path()).unwrap().is_empty(), "nothing was trained");
}

#[test]
fn a_run_that_fails_keeps_no_other_from_its_turn() {
    let place = Place::new();
    let mut value = heads(&place);
    // A rate at which the loss is no number after a few steps.
    value["arms"].as_array_mut().unwrap().insert(
        0,
        json!({"name": "wild", "method": "adapters",
            "settings": {"sigma_0": 4, "learning_rate": 1e30, "clip": 1e30}}),
    );
    let (found, told) = place.told(&place.options(&value, Turn::default()).unwrap());
    let mut names: Vec<&str> = found.runs.iter().map(|run| run.plan.method.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["head", "head", "slow", "slow"], "both sets were run");
    assert_eq!(found.failures.len(), 2, "{:?}", found.failures);
    assert!(found.failures[0].starts_with("wild on one, seed 0: the run failed: "), "{:?}", found.failures);
    assert!(told.iter().any(|note| note.ends_with("the other runs go on")), "{told:?}");
}

#[test]
fn contenders_that_prune_nothing_have_the_size_of_the_pruning_they_stand_beside() {
    let place = Place::new();
    let mut value = protocol(&place.world);
    value["sets"] = json!([{"name": "one"}]);
    value["seeds"] = json!([0]);
    let size = json!({"sigma_0": 4, "sigma": 16, "init": "identity"});
    let arm = |name: &str| json!({"name": name, "method": name, "settings": size});
    value["arms"] = json!([arm("mimi"), arm("proportional"), arm("uniform"), arm("wide")]);
    value["comparisons"] =
        json!([{"name": "gain", "of": "mimi", "over": "wide", "at_least": 1.0, "family": "a"}]);
    let (all, _) = place.study(&value, Turn::default()).unwrap();
    let of = |name: &str| all.iter().find(|run| run.plan.method == name).unwrap();
    let parameters = |name: &str| of(name).figures.cost.trained_parameters;
    // 48 / 4 neurons at each of six sites, a quarter of them in the end.
    assert_eq!(parameters("wide"), 6 * 12 * 2 * 48);
    assert_eq!(parameters("proportional"), parameters("wide") / 4);
    assert_eq!(parameters("uniform"), parameters("wide") / 4);
    assert!(all.iter().all(|run| run.plan.epochs == of("mimi").plan.epochs));
}

#[test]
fn steps_far_from_those_asked_for_are_told_of() {
    let place = Place::new();
    let notes = |steps: usize| {
        let mut value = heads(&place);
        value["steps"] = json!(steps);
        let own = place.options(&value, Turn::default()).unwrap();
        let options = StudyOptions { out: place.out.path().join(steps.to_string()), ..own };
        fs::create_dir_all(&options.out).unwrap();
        let (_, told) = place.told(&options);
        told.into_iter().filter(|note| note.contains("were asked for")).collect::<Vec<_>>()
    };
    assert!(notes(30).is_empty());
    let told = notes(1);
    assert!(
        told.iter().any(|note| note.contains("1 epoch(s) are ") && note.contains("1 were asked for")),
        "{told:?}"
    );
}

/// A study of heads alone, one seed.
fn heads(place: &Place) -> Value {
    let mut value = protocol(&place.world);
    value["arms"] = json!([{"name": "head", "method": "linear"},
        {"name": "slow", "method": "linear", "settings": {"learning_rate": 1e-9}}]);
    value["comparisons"] = json!([{"name": "far", "of": "head", "over": "slow", "above": 0, "family": "a"}]);
    value["seeds"] = json!([0]);
    value
}

/// Results are committed: they call a set by its name, wherever its folder lies.
#[test]
fn a_run_says_nothing_of_the_machine() {
    let place = Place::new();
    let mut value = heads(&place);
    value["sets"] = json!([{"name": "three"}]);
    for part in ["train", "test"] {
        dataset(&place.data.path().join("three").join(part));
    }
    let (all, _) = place.study(&value, Turn::default()).unwrap();
    let told = format!("{all:?}");
    assert!(told.contains("the test images of three"), "{told}");
    assert!(!told.contains(place.data.path().to_str().unwrap()), "{told}");
}

#[test]
fn a_study_of_training_images_sees_no_test_image() {
    let place = Place::new();
    let mut value = heads(&place);
    value["training_images_only"] = json!(true);
    value["sets"] = json!([{"name": "one"}, {"name": "three"}]);
    for part in ["train", "test"] {
        dataset(&place.data.path().join("three").join(part));
    }
    let (all, _) = place.study(&value, Turn::default()).unwrap();
    let of = |set: &str| all.iter().find(|run| run.plan.set == set).unwrap();
    assert!(of("three").measured_on.contains("20 %"), "{}", of("three").measured_on);
    assert_eq!(of("three").figures.measured_images, of("one").figures.measured_images);
    // Nor where the folder has test images of its own.
    let inner = place.data.path().join("four/train");
    for part in ["train", "test"] {
        dataset(&inner.join(part));
    }
    value["sets"] = json!([{"name": "four"}]);
    let told = format!("{:#}", place.study(&value, Turn::default()).unwrap_err());
    assert!(told.contains("four has test images"), "{told}");
}

#[test]
fn runs_of_other_weights_programs_or_settings_are_told_apart() {
    let place = Place::new();
    let value = heads(&place);
    let (all, _) = place.study(&value, Turn::default()).unwrap();
    let protocol = parsed(&value).unwrap();
    let changed = |change: &dyn Fn(&mut Run)| {
        let mut runs = all.clone();
        runs.iter_mut().filter(|run| run.plan.method == "slow").for_each(change);
        runs
    };
    assert_eq!(effects(&protocol, &all)[0].pairs, 2);
    let others = changed(&|run| run.fingerprint += " at int8");
    assert_eq!(effects(&protocol, &others)[0].pairs, 0, "other weights are no pair");
    let others = changed(&|run| run.machine.program = "4567".into());
    let report = findings(&protocol, &others).unwrap();
    assert!(report.contains("different programs: far (2)") && report.contains("0123, 4567"), "{report}");
    assert!(report.contains("| > 0 |"), "{report}");
    let file = place.out.path().join("results.jsonl");
    let beside = place.out.path().join("results-0-of-2.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&beside, text.replace("\"epochs\":", "\"epochs\":1")).unwrap();
    let told = format!("{:#}", runs(place.out.path()).unwrap_err());
    assert!(told.contains("results-0-of-2.jsonl and ") && told.contains("epochs"), "{told}");
    // Shards of another backbone are another comparison.
    fs::write(&beside, text.replacen(&place.world.tiny.config.fingerprint, "0", 1)).unwrap();
    let told = format!("{:#}", place.study(&value, Turn::default()).unwrap_err());
    assert!(told.contains("results-0-of-2.jsonl holds another comparison"), "{told}");
}

#[test]
fn settings_without_an_end_are_refused_before_they_are_counted() {
    let place = Place::new();
    for (key, number, told) in
        [("rho", 0.0, "rho is 0"), ("rho", -1.0, "rho is -1"), ("sigma_0", 0.0, "sigma_0 is 0")]
    {
        let mut value = protocol(&place.world);
        value["arms"][2]["settings"][key] = json!(number);
        let error = format!("{:#}", place.study(&value, Turn::default()).unwrap_err());
        assert!(error.contains(told) && error.contains("mimi"), "{error}");
    }
}

#[test]
fn the_protocols_that_are_kept_can_be_read() {
    let folder = repository().join("studies");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path().join("protocol.json");
        // Results of `compare` have none.
        if !path.exists() {
            continue;
        }
        // Its methods exist, or it could not be read.
        Protocol::parse(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|e| panic!("{}: {e:#}", path.display()));
    }
}
