//! Comparisons of methods: what runs, what is kept, what is refused.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use mimi_server::train::study::{
    Budget, Entrant, Grid, ImageSet, MethodsOptions, Purpose, Run, Settings, Terms, compare_methods,
    standings, table,
};
use mimi_server::train::{Adaptation, FinetuneOptions, LinearOptions, MimiOptions, Origin, Setup, Target};

use crate::server::World;
use crate::train::{dataset, origin, setup};

fn entrants(names: &[&str]) -> Vec<Entrant> {
    let adapt = |adaptation: Adaptation| {
        let own = MimiOptions::of(adaptation)?;
        Ok(MimiOptions { sigma: 4.0, rank: 12, batch: 8, rate: 5e-3, ..own })
    };
    let linear = LinearOptions { batch: 8, ..LinearOptions::default() };
    let finetune = |subset| Ok(FinetuneOptions { batch: 8, ..FinetuneOptions::of(subset)? });
    let terms = Terms { linear, target: Target::Sigma(16.0), adapt: &adapt, finetune: &finetune };
    names.iter().map(|name| Entrant::named(name, &terms).unwrap()).collect()
}

fn options(data: &Path, out: &Path, names: &[&str]) -> MethodsOptions {
    let origin = Origin { per_class: Some(6), held_out_per_class: Some(2), ..origin(data) };
    MethodsOptions {
        sets: vec![ImageSet { name: "colours".into(), origin, is_moved: false, refuses_tests: false }],
        entrants: entrants(names),
        settings: Default::default(),
        tune: false,
        seeds: vec![0],
        budget: Budget::Epochs(6),
        first_block: 0,
        results: out.join("results.jsonl"),
        multiple: 1,
        elsewhere: Vec::new(),
        turn: Default::default(),
        machine: Default::default(),
        protocol: None,
    }
}

fn made(world: &World, options: &MethodsOptions) -> anyhow::Result<(Vec<Run>, usize)> {
    made_by(&setup(world), options)
}

fn made_by(setup: &Setup, options: &MethodsOptions) -> anyhow::Result<(Vec<Run>, usize)> {
    let mut made = 0;
    let compared = compare_methods(setup, options, &mut |_| {}, &mut |_| made += 1)?;
    anyhow::ensure!(compared.failures.is_empty(), "{:?}", compared.failures);
    Ok((compared.ledger.runs().to_vec(), made))
}

fn refusal(world: &World, options: &MethodsOptions) -> String {
    format!("{:#}", made(world, options).unwrap_err())
}

#[test]
fn the_backbones_weights_end_alike_wherever_their_state_lies() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let figures = |stays_on_device: bool| {
        let (out, setup) = (tempfile::tempdir().unwrap(), Setup { stays_on_device, ..setup(&world) });
        let options = options(data.path(), out.path(), &["full", "attention", "mlp"]);
        let (runs, _) = made_by(&setup, &options).unwrap();
        runs.into_iter().map(|run| (run.plan.method, run.figures)).collect::<Vec<_>>()
    };
    for ((name, host), (_, device)) in figures(false).into_iter().zip(figures(true)) {
        assert!((host.loss - device.loss).abs() < 0.02 * host.loss, "{name}: {host:?} {device:?}");
        assert!((host.accuracy - device.accuracy).abs() < 0.2, "{name}: {host:?} {device:?}");
    }
}

#[test]
fn every_method_trains_for_as_many_steps_and_tells_what_it_costs() {
    let (world, data, out) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let names: Vec<String> = Entrant::names().into_iter().chain(["mimi:adapters".into()]).collect();
    // FacT needs an MLP four times as wide as the block, which the tiny backbone does not have.
    let names: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !name.starts_with("fact")).collect();
    let (runs, count) = made(&world, &options(data.path(), out.path(), &names)).unwrap();
    assert_eq!((runs.len(), count), (names.len(), names.len()));
    for run in &runs {
        let (name, figures) = (&run.plan.method, &run.figures);
        assert_eq!((run.steps, run.plan.epochs, figures.train_images), (18, 6, 18), "{name}");
        let has_pack = !["full", "attention", "mlp"].contains(&name.as_str());
        assert_eq!(figures.cost.pack_bytes.is_some_and(|bytes| bytes > 1000), has_pack, "{name}");
        assert!(figures.cost.flops_of_8 >= figures.cost.flops, "{name}");
        assert!(figures.cost.flops_of_8 <= 8 * figures.cost.flops, "{name}");
        assert!((0.0..=1.0).contains(&figures.macro_accuracy), "{name}");
        let is_head = ["linear", "depth-head"].contains(&name.as_str());
        assert_eq!(figures.cost.trained_parameters == 0, is_head, "{name}");
    }
    let of = |name: &str| runs.iter().find(|run| run.plan.method == name).unwrap();
    let linear = of("linear").figures.cost;
    assert_eq!(linear.flops_of_8, linear.flops, "one pass serves any number of heads");
    let depths = of("depth-head").figures.cost;
    assert_eq!((depths.flops, depths.flops_of_8), (linear.flops, linear.flops), "of whatever depths");
    let sizes = |name: &str| of(name).figures.cost.trained_parameters;
    assert_eq!(sizes("mimi"), sizes("proportional"));
    assert_eq!(sizes("mimi"), sizes("gates"));
    assert_eq!(sizes("mimi"), sizes("mimi:adapters"));
    let text = table(&standings(&runs)).unwrap();
    assert!(names.iter().all(|name| text.contains(&format!("| {name} |"))), "{text}");
    assert!(text.contains("| rank | published, % | its rank |"), "{text}");
    let mut unpublished = runs[..1].to_vec();
    unpublished[0].plan.method = "ours".into();
    let text = table(&standings(&unpublished)).unwrap();
    assert!(text.contains("| seeds | rank |\n"), "{text}");
    assert!(!text.to_lowercase().contains("published"), "{text}");
    let widths: Vec<usize> =
        text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
    assert!(widths.iter().all(|&width| width == 12), "{text}");
    let left: Vec<_> = fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["results.jsonl"], "no checkpoint and no pack is left");
}

#[test]
fn a_torn_line_loses_its_run_only_and_what_was_run_is_not_run_again() {
    let (world, data, out) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let options = options(data.path(), out.path(), &["linear", "bitfit"]);
    let (runs, _) = made(&world, &options).unwrap();
    assert_eq!(made(&world, &options).unwrap(), (runs.clone(), 0), "nothing is left to run");
    let whole = fs::read_to_string(&options.results).unwrap();
    for cut in [whole.len() - 1, whole.len() - 40, whole.find('\n').unwrap() + 1, 10, 0] {
        fs::write(&options.results, &whole[..cut]).unwrap();
        let (again, _) = made(&world, &options).unwrap();
        assert_eq!(again.len(), 2, "cut at {cut}");
        assert_eq!(again[1].figures.accuracy, runs[1].figures.accuracy);
        assert_eq!(again[1].figures.loss, runs[1].figures.loss, "the same seed gives the same bits");
        assert!(fs::read_to_string(&options.results).unwrap().ends_with('\n'));
    }
    let mut file = OpenOptions::new().append(true).open(&options.results).unwrap();
    file.write_all(b"{}\n").unwrap();
    assert!(refusal(&world, &options).contains("line 4"), "{}", refusal(&world, &options));
}

#[test]
fn a_file_of_another_comparison_is_refused_with_what_differs() {
    let (world, data, out) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let first = options(data.path(), out.path(), &["linear"]);
    made(&world, &first).unwrap();
    let longer = MethodsOptions { budget: Budget::Epochs(8), ..first.clone() };
    let text = refusal(&world, &longer);
    assert!(
        text.contains("another comparison") && text.contains("budget.epochs is 6 there, 8 here"),
        "{text}"
    );
    let rate = Settings { learning_rate: Some(0.01), ..Settings::default() };
    let faster = MethodsOptions { settings: [("linear".into(), rate)].into(), ..first.clone() };
    let text = refusal(&world, &faster);
    assert!(text.contains("settings.learning_rate is 0.005 there, 0.01 here"), "{text}");
    fs::copy(data.path().join("red/0.png"), data.path().join("blue/0.png")).unwrap();
    assert!(refusal(&world, &first).contains("images is"), "the picture of an image changed");
}

#[test]
fn tuning_chooses_by_training_images_alone() {
    let (world, data, out) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let grid = Grid { learning_rate: vec![1e-9, 5e-3], weight_decay: vec![0.0] };
    let tuned = Settings { grid: Some(grid), ..Settings::default() };
    let options = MethodsOptions {
        tune: true,
        settings: [("linear".into(), tuned)].into(),
        seeds: vec![0, 1],
        ..options(data.path(), out.path(), &["linear"])
    };
    let (runs, count) = made(&world, &options).unwrap();
    let purposes: Vec<Purpose> = runs.iter().map(|run| run.plan.purpose).collect();
    assert_eq!(purposes, [Purpose::Tuning, Purpose::Tuning, Purpose::Result, Purpose::Result]);
    assert_eq!(count, 4);
    assert_eq!((runs[0].figures.train_images, runs[0].figures.measured_images), (15, 3));
    assert_eq!((runs[2].figures.train_images, runs[2].figures.measured_images), (18, 6));
    assert_eq!(runs[2].plan.settings["learning_rate"], 5e-3, "the rate that learned something");
    assert_eq!(standings(&runs)[0].lines[0].seeds, 2, "tables hold results only");
    assert_eq!(made(&world, &options).unwrap().1, 0);
}

#[test]
fn a_rate_that_diverges_is_passed_over_and_a_grid_of_such_fails_its_method_alone() {
    let (world, data, out) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let tuned = |rates: &[f64]| {
        let grid = Grid { learning_rate: rates.to_vec(), weight_decay: vec![0.0] };
        Settings { grid: Some(grid), clip: Some(1e30), ..Settings::default() }
    };
    let options = MethodsOptions {
        tune: true,
        settings: [("lora".into(), tuned(&[1e30, 5e-3])), ("bitfit".into(), tuned(&[1e30]))].into(),
        seeds: vec![0],
        ..options(data.path(), out.path(), &["bitfit", "lora"])
    };
    let found = compare_methods(&setup(&world), &options, &mut |_| {}, &mut |_| {}).unwrap();
    let results: Vec<&Run> =
        found.ledger.runs().iter().filter(|run| run.plan.purpose == Purpose::Result).collect();
    assert_eq!(results.len(), 1);
    assert_eq!(
        (results[0].plan.method.as_str(), &results[0].plan.settings["learning_rate"]),
        ("lora", &5e-3.into())
    );
    assert_eq!(found.failures.len(), 1, "{:?}", found.failures);
    assert!(
        found.failures[0].contains("no setting of the grid ends with finite numbers"),
        "{:?}",
        found.failures
    );
}

#[test]
fn settings_that_do_not_exist_are_refused_by_name() {
    let parse = |text: &str| format!("{:#}", Entrant::settings(text).unwrap_err());
    assert!(parse(r#"{"nobody": {}}"#).contains("nobody"));
    assert!(parse(r#"{"lora": {"speed": 1}}"#).contains("speed"));
    let (world, data, out) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let settings = Entrant::settings(r#"{"linear": {"rank": 4}}"#).unwrap();
    let options = MethodsOptions { settings, ..options(data.path(), out.path(), &["linear"]) };
    assert!(refusal(&world, &options).contains("linear: it has no rank"), "{}", refusal(&world, &options));
    let few = MethodsOptions { budget: Budget::Epochs(2), entrants: entrants(&["mimi"]), ..options };
    assert!(refusal(&world, &few).contains("trains 3 times"), "{}", refusal(&world, &few));
}
