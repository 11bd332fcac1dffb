//! The front-first cut: whole early blocks go, and many tasks share what is before the first adapter.

use std::collections::BTreeSet;

use mimi_server::backbone::{Module, ModuleSet};
use mimi_server::graph::{Plan, plan_flops, tasks_flops};
use mimi_server::inspect;
use mimi_server::pack::{self, Base, read_stored};
use mimi_server::train::{MimiOptions, Score, Selection, StartScore, Target};

use crate::mimi::{mimi, run, served_accuracy, task};
use crate::server::World;
use crate::train::dataset;

/// MiMi to half of its neurons, of all of which may lie in front so much.
fn cut(front: Option<f64>) -> MimiOptions {
    MimiOptions { front, target: Target::Sigma(16.0), epochs: 2, ..mimi() }
}

#[test]
fn blocks_go_whole_until_as_many_neurons_are_left_as_are_kept() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let trained = |front| {
        let report = run(&world, &task(&world, data.path(), cut(front)));
        let pack = pack::read(&report.folder, &world.tiny.config).unwrap().0;
        let blocks: BTreeSet<usize> = pack.modules.iter().map(|module| module.site.block).collect();
        let neurons: Vec<usize> = report.cycles.iter().map(|cycle| cycle.neurons).collect();
        assert_eq!(neurons, [72, 36, 18], "as many neurons and trainings as without the cut");
        assert_eq!(served_accuracy(&world, &report, data.path()), report.accuracies.held_out);
        (blocks, report)
    };
    // Three blocks of 24 neurons: 36 kept ones need two blocks, 18 of these fit into one.
    let (blocks, report) = trained(Some(0.99));
    assert_eq!(blocks, [2].into(), "nearly all score may lie in front");
    let base = Base::new(world.tiny.config.clone()).unwrap();
    let (stored, _) = read_stored(&report.folder, &base).unwrap();
    let tau = &stored.manifest.provenance.details["tau"];
    assert_eq!(*tau, 0.99);
    let told = inspect::pack(&stored, &world.tiny.config).unwrap();
    assert!(told.contains("starts at         block 2 of 3"), "{told}");
    let (whole, without) = (trained(Some(0.0)), trained(None));
    assert_eq!(whole.0, without.0, "without a share the score's threshold decides alone");
    assert!(!without.1.folder.join("none").exists() && without.0.len() > 1, "{:?}", without.0);
}

#[test]
fn eight_tasks_cost_one_pass_to_the_first_adapter_and_eight_from_there() {
    let world = World::new();
    let config = &world.tiny.config;
    let late: ModuleSet =
        config.sites().into_iter().filter(|site| site.block == 2).map(Module::adapter).collect();
    let width = |_: Module| 4;
    let whole = plan_flops(config, &Plan::whole(config, late), width).unwrap();
    let of = |first, tasks| tasks_flops(config, first, tasks, (late, &width)).unwrap();
    for first in 0..=2 {
        assert_eq!(of(first, 1), whole, "one task shares nothing");
        assert_eq!(of(first, 3) - of(first, 2), of(first, 2) - of(first, 1), "each task costs the same");
    }
    assert_eq!(of(0, 8), 8 * whole);
    assert!(of(2, 8) < of(1, 8) && of(1, 8) < of(0, 8));
    let head = |tasks| tasks_flops(config, config.depth(), tasks, (ModuleSet::EMPTY, &|_| 0)).unwrap();
    assert_eq!(head(8), head(1), "heads share every block");
}

#[test]
fn a_share_or_a_score_that_does_not_fit_is_refused() {
    let world = World::new();
    let refused = |options: MimiOptions| format!("{:#}", options.check(&world.tiny.config).unwrap_err());
    assert!(refused(cut(Some(1.0))).contains("tau is 1, expected 0 to less than 1"));
    assert!(refused(cut(Some(f64::NAN))).contains("tau is NaN"));
    let local = MimiOptions { selection: Selection::Local, ..cut(Some(0.1)) };
    assert!(refused(local).contains("needs the global selection"));
    let start = StartScore::Magnitude;
    let before = MimiOptions { score: Score::Start(start), ..cut(Some(0.1)) };
    assert!(refused(before).contains("no score before training"));
}

#[test]
fn a_share_a_price_or_a_cut_without_effect_is_refused_by_name() {
    for (words, told) in [
        (&["--method", "mimi", "--tau", "0.2"][..], "--tau is of --cut front-first"),
        (&["--method", "mimi", "--cut", "front-first", "--price", "1"], "--price is of --cut gates"),
        (&["--method", "adapters", "--cut", "gates"], "--cut is of a method that prunes"),
        (&["--cut", "front-first"], "--cut is of a method that prunes"),
    ] {
        let all = [&["train-task", "--task", "t", "--data", "nowhere"], words].concat();
        let made = crate::support::command(&all).output().unwrap();
        let text = String::from_utf8(made.stderr).unwrap();
        assert!(!made.status.success() && text.contains(told), "{words:?}: {text}");
    }
}
