//! An automatic choice: what is planned, who is chosen, that it goes on, that it can be repeated.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mimi_server::pack::WEIGHTS_FILE;
use mimi_server::train::study::auto::{
    Against, AutoOptions, Automatic, Candidate, KEPT, Limit, Pace, Prefer, Schedule, Standing, Terms, apart,
    auto, choose, document, dropped, markdown, order, rungs, schedule, seconds,
};
use mimi_server::train::{Adaptation, Image, LinearOptions, Method, MimiOptions, Progress, TaskOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::server::World;
use crate::support;
use crate::train::{dataset, options, setup};

fn drawn(random: &mut ChaCha8Rng) -> Terms {
    let count = random.random_range(1..14);
    let pace = |random: &mut ChaCha8Rng| Pace {
        intake: random.random_range(0..3),
        epoch: random.random_range(0.01..20.0),
        run: random.random_range(0.0..3.0),
        trainings: random.random_range(1..5),
    };
    Terms {
        left: 10.0_f64.powf(random.random_range(-1.0..4.5)),
        paces: (0..count).map(|_| pace(random)).collect(),
        loads: (0..3).map(|_| random.random_range(0.0..60.0)).collect(),
        again: (0..3).map(|_| random.random_range(0.0..90.0)).collect(),
        ratio: random.random_range(1.0..4.0),
        finish: random.random_range(0.0..30.0),
        longest: random.random_range(1..101),
    }
}

/// What a plan takes, whoever goes on and wins.
fn total(terms: &Terms, plan: &Schedule) -> f64 {
    let paces = &terms.paces[..plan.rungs[0].candidates];
    let used = |intake: usize| paces.iter().any(|pace| pace.intake == intake);
    let loads: f64 = (0..terms.loads.len()).filter(|&at| used(at)).map(|at| terms.loads[at]).sum();
    loads + seconds(paces, plan) + terms.refit_seconds(paces, plan.refit)
}

#[test]
fn plans_end_in_time_and_every_rung_keeps_a_third() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut planned = 0;
    for _ in 0..3000 {
        let terms = drawn(&mut random);
        let Some(plan) = schedule(&terms) else {
            assert_eq!(terms.fitting(1), None, "one candidate would have had time: {terms:?}");
            continue;
        };
        planned += 1;
        assert!(total(&terms, &plan) <= terms.left * (1.0 + 1e-9), "{terms:?} {plan:?}");
        let (least, quarter) = (terms.longest.min(2), terms.longest.div_ceil(4));
        let first = plan.rungs[0].epochs;
        assert!(first >= least && 16 * first >= terms.longest, "{terms:?} {plan:?}");
        assert!((quarter..=terms.longest).contains(&plan.refit), "{terms:?} {plan:?}");
        assert!(plan.rungs.last().unwrap().epochs >= quarter, "heads that are trained whole stand beside it");
        for pair in plan.rungs.windows(2) {
            assert_eq!(pair[1].candidates, pair[0].candidates.div_ceil(KEPT), "{plan:?}");
            assert_eq!(pair[1].epochs, (KEPT * pair[0].epochs).min(terms.longest), "{plan:?}");
        }
        assert!((1..=KEPT).contains(&plan.rungs.last().unwrap().candidates), "{plan:?}");
        let longer = schedule(&Terms { left: 3.0 * terms.left, ..terms.clone() }).unwrap();
        assert!(longer.rungs[0].candidates >= plan.rungs[0].candidates, "more time never leaves more out");
    }
    assert!((300..2990).contains(&planned), "{planned} of 3000 had time for something");
    assert_eq!(rungs(0), Vec::<usize>::new());
    assert_eq!((rungs(3), rungs(9), rungs(10)), (vec![3], vec![9, 3], vec![10, 4, 2]));
}

#[test]
fn the_last_training_takes_the_time_that_is_left() {
    let pace = Pace { intake: 0, epoch: 2.0, run: 1.0, trainings: 1 };
    let (loads, again) = (vec![0.0], vec![10.0]);
    let terms = Terms { left: 100.0, paces: vec![pace], loads, again, ratio: 1.5, finish: 5.0, longest: 64 };
    // 10 + 5 + 1.5 + 3 an epoch.
    assert_eq!((terms.refit(&pace, 1), terms.refit(&pace, 27)), (Some(27), Some(27)));
    assert_eq!(terms.refit(&pace, 28), None, "fewer than the least");
    assert_eq!(Terms { left: 1e6, ..terms.clone() }.refit(&pace, 64), Some(64));
    assert_eq!(Terms { left: -3.0, ..terms }.refit(&pace, 1), None);
    let in_four = Pace { trainings: 4, ..pace };
    assert_eq!((in_four.spread(1), in_four.spread(7), in_four.spread(8)), (4, 4, 8));
}

/// A candidate that is right on the images of the ranges.
fn standing(is_head: bool, flops: u64, bytes: u64, right: &[(usize, usize)]) -> Standing {
    let right = (0..100).map(|at| right.iter().any(|&(from, to)| (from..to).contains(&at))).collect();
    Standing { is_head, right, flops_of_8: flops, bytes }
}

#[test]
fn the_choice_follows_accuracy_noise_and_what_is_preferred() {
    let head = || standing(true, 10, 10, &[(0, 60)]);
    let far = || standing(false, 40, 30, &[(0, 80)]);
    // One that differs from `far` on four images, and is cheaper by little; one that is much cheaper.
    let near = || standing(false, 39, 50, &[(0, 79), (90, 92)]);
    let early = || standing(false, 20, 60, &[(0, 79), (95, 96)]);
    let small = || standing(false, 41, 20, &[(0, 79)]);
    let noisy = || standing(false, 15, 15, &[(2, 63)]);
    use Prefer::{Accuracy, Bytes, Cost};
    // The most accurate beats the head; one that is as good and cheap does not.
    let net = || standing(true, 10, 10, &[(0, 70)]);
    let best = || standing(false, 40, 30, &[(0, 74)]);
    let cheap = || standing(false, 20, 20, &[(0, 66), (74, 81)]);
    let table: [(&[Standing], Prefer, usize); 15] = [
        (&[net(), best(), cheap()], Accuracy, 1),
        (&[net(), best(), cheap()], Cost, 1),
        (&[net(), best(), cheap()], Bytes, 1),
        (&[head()], Accuracy, 0),
        (&[head(), far()], Accuracy, 1),
        (&[head(), far(), near()], Accuracy, 2),
        (&[head(), far(), near(), early()], Accuracy, 3),
        (&[head(), far(), near(), early()], Cost, 3),
        (&[head(), far(), small()], Accuracy, 1),
        (&[head(), far(), small()], Cost, 1),
        (&[head(), far(), small()], Bytes, 2),
        (&[head(), noisy()], Accuracy, 0),
        (&[head(), noisy()], Bytes, 0),
        (&[standing(true, 10, 10, &[(0, 58)]), head(), noisy()], Accuracy, 1),
        (&[noisy(), far(), head()], Cost, 1),
    ];
    for (row, (standings, prefer, expected)) in table.iter().enumerate() {
        assert_eq!(choose(standings, *prefer).unwrap().place, *expected, "row {row}");
    }
    assert_eq!(choose(&[], Accuracy), None);
    assert_eq!(order(&[noisy(), far(), near()], Accuracy), [2, 1, 0]);
    assert_eq!(order(&[noisy(), far(), small()], Bytes), [2, 1, 0]);
    let why = |standings: &[Standing], prefer| {
        let order = order(standings, prefer);
        dropped(standings, *order.last().unwrap(), &order[..order.len() - 1], prefer)
    };
    assert_eq!(why(&[noisy(), far(), near()], Accuracy), "all 2 that went on were more accurate");
    assert!(
        why(&[far(), standing(false, 41, 1, &[(0, 80)])], Accuracy)
            .contains("as accurate at no higher price")
    );
    assert!(why(&[far(), small()], Bytes).contains("as good with no larger packs"));
}

#[test]
fn one_image_is_noise() {
    let (less, more) = (standing(true, 1, 1, &[(0, 50)]), standing(false, 2, 2, &[(0, 51)]));
    assert!(!more.beats(&less) && !less.beats(&more));
    assert!(standing(false, 2, 2, &[(0, 52)]).beats(&less), "two on one side are more than √2");
    assert!(!less.beats(&less));
}

#[test]
fn every_class_that_can_is_on_both_sides() {
    let counts = [1, 2, 3, 7, 40];
    let image = |class: usize, at: usize| Image { path: format!("{class}/{at}").into(), class };
    let images: Vec<Image> =
        counts.iter().enumerate().flat_map(|(class, &n)| (0..n).map(move |at| image(class, at))).collect();
    let split = apart(&images, counts.len(), 3);
    let of = |images: &[Image], class| images.iter().filter(|image| image.class == class).count();
    let held: Vec<usize> = (0..counts.len()).map(|class| of(&split.validation, class)).collect();
    assert_eq!(held, [0, 1, 1, 1, 8]);
    let mut all: Vec<_> = split.train.iter().chain(&split.validation).map(|image| &image.path).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), images.len(), "each image once");
    assert_eq!(apart(&images, counts.len(), 3).validation, split.validation);
    assert_ne!(apart(&images, counts.len(), 4).validation, split.validation);
}

#[test]
fn answers_on_the_same_images_are_compared_in_pairs() {
    let chosen: Vec<bool> = (0..40).map(|at| at < 30).collect();
    let head: Vec<bool> = (0..40).map(|at| (3..21).contains(&at)).collect();
    let found = Against::of("x".into(), &chosen, &head);
    assert_eq!((found.only_chosen, found.only_head, found.count), (12, 0, 40));
    assert_eq!((found.accuracy, found.head), (0.75, 0.45));
    assert!((found.p - 2.0 / 4096.0).abs() < 1e-12, "{}", found.p);
}

fn candidates() -> Vec<Candidate> {
    let of = |name: &str, rate: f64| {
        let own = MimiOptions::of(Adaptation::named(name).unwrap()).unwrap();
        Method::Mimi(MimiOptions { first_block: 1, batch: 8, rate, rank: 4, ..own })
    };
    let linear = LinearOptions { epochs: 20, batch: 8, rate: 0.0, ..LinearOptions::default() };
    let too_late = MimiOptions { first_block: 9, ..MimiOptions::default() };
    let all = [
        ("head", Method::Linear(linear)),
        ("never", of("bitfit", 0.0)),
        ("fast", of("adapter-plus", 1e-2)),
        ("bitfit", of("bitfit", 1e-2)),
        ("ssf", of("ssf", 1e-3)),
        ("late", Method::Mimi(too_late)),
    ];
    let candidate = |(name, method): (&str, Method)| {
        let options = vec!["--method".to_owned(), name.to_owned()];
        Candidate { name: name.to_owned(), options, method }
    };
    all.into_iter().map(candidate).collect()
}

fn asked(world: &World, data: &Path) -> AutoOptions {
    AutoOptions {
        task: TaskOptions {
            checkpoint: data.with_extension("state").join("colours.safetensors"),
            ..options(world, data)
        },
        command: vec!["server".into(), "train-task".into()],
        candidates: candidates(),
        reports: data.with_extension("reports"),
        limit: Limit::Epochs(6),
        prefer: Prefer::Accuracy,
        seed: 5,
    }
}

fn weights(made: &Automatic) -> Vec<u8> {
    std::fs::read(made.written.folder.join(WEIGHTS_FILE)).unwrap()
}

/// What is the same however long it took.
fn timeless(made: &Automatic) -> String {
    let mut found = made.found.clone();
    found.seconds = 0.0;
    found.tried.iter_mut().for_each(|tried| tried.seconds = None);
    serde_json::to_string_pretty(&found).unwrap()
}

/// Adds what a step is of: the last note that begins something.
fn phase(news: &Progress<'_>, phases: &mut Vec<String>) {
    thread_local!(static BEGUN: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) });
    match news {
        Progress::Note(text) if ["head", "rung ", "chosen: "].iter().any(|begin| text.starts_with(begin)) => {
            BEGUN.set((*text).to_owned());
        }
        Progress::Step(_) => phases.push(BEGUN.with_borrow(Clone::clone)),
        _ => {}
    }
}

#[test]
fn an_interrupted_choice_goes_on_and_ends_as_one_left_alone() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let data = folder.path().join("colours");
    dataset(&data);
    let (setup, asked) = (setup(&world), asked(&world, &data));
    let mut phases = Vec::new();
    let alone = auto(&setup, &asked, &mut |news| phase(&news, &mut phases)).unwrap();
    let steps = phases.len();
    assert_ne!(alone.found.chosen, "head", "the winner is trained on rungs");
    let left = || std::fs::read_dir(asked.task.checkpoint.parent().unwrap()).unwrap().count();
    assert_eq!(left(), 0, "nothing is left behind");
    // In the head, on the second candidate of a rung, and in the winner's own training.
    for place in ["head", "rung 1: fast", "chosen: "] {
        let within = |phase: &String| phase.starts_with(place);
        let first = phases.iter().position(within).unwrap_or_else(|| panic!("{place} is not in {phases:?}"));
        let stop = first + phases.iter().filter(|phase| within(phase)).count().div_ceil(2);
        let mut seen = Vec::new();
        let broken = catch_unwind(AssertUnwindSafe(|| {
            auto(&setup, &asked, &mut |news| {
                phase(&news, &mut seen);
                assert!(seen.len() < stop, "interrupted");
            })
        }));
        assert!(broken.is_err(), "it ended before step {stop} of {steps}");
        assert!(within(seen.last().unwrap()), "step {stop} of {steps} is not in {place}: {seen:?}");
        let mut again = 0;
        let made = auto(&setup, &asked, &mut |news| again += usize::from(matches!(news, Progress::Step(_))));
        let made = made.unwrap();
        assert!(again <= steps - stop + steps / 4, "{again} steps after {stop} of {steps}");
        assert_eq!(timeless(&made), timeless(&alone), "interrupted at {stop}");
        assert!(weights(&made) == weights(&alone), "the weights differ");
        assert_eq!(left(), 0, "nothing is left behind");
    }
    let found = &alone.found;
    let rung = |rung: usize| found.tried.iter().filter(|tried| tried.rung == rung).count();
    assert_eq!((rung(0), rung(1), rung(2)), (1, 4, 2));
    assert_eq!(found.left_out.len(), 1, "{:?}", found.left_out);
    assert!(found.left_out[0].reason.contains("the backbone has 3 blocks"), "{:?}", found.left_out);
    let fate = |name: &str| &found.tried.iter().rfind(|tried| tried.name == name).unwrap().fate;
    assert!(fate("never").starts_with("dropped: "), "{:?}", found.tried);
    assert_eq!(fate(&found.chosen), "chosen");
    let (page, text) = (document(found), markdown(found));
    for said in ["fast", "bitfit", "ssf", "never", "late", &found.command] {
        assert!(page.contains(said) && text.contains(said), "{said}: {text}");
    }
    assert!(text.contains(&found.reason) && text.contains("drawn with seed 5"), "{text}");
}

#[test]
fn a_record_of_another_choice_is_refused_with_what_differs() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let data = folder.path().join("colours");
    dataset(&data);
    let (setup, asked) = (setup(&world), asked(&world, &data));
    let broken = catch_unwind(AssertUnwindSafe(|| {
        auto(&setup, &asked, &mut |news| {
            assert!(!matches!(news, Progress::Note(text) if text.starts_with("rung 1: fast")), "interrupted");
        })
    }));
    assert!(broken.is_err());
    let other = AutoOptions { seed: 6, ..asked.clone() };
    let text = format!("{:#}", auto(&setup, &other, &mut |_| {}).unwrap_err());
    assert!(text.contains("another choice: seed is 5 there, 6 here"), "{text}");
    let mut slower = asked.clone();
    let Method::Mimi(own) = &mut slower.candidates[2].method else { panic!("no modules") };
    own.rate = 2e-3;
    let text = format!("{:#}", auto(&setup, &slower, &mut |_| {}).unwrap_err());
    assert!(text.contains("candidates is"), "settings that no option names: {text}");
    std::fs::remove_file(asked.task.checkpoint.with_extension("auto.json")).unwrap();
    let beside = |name: &str| asked.task.checkpoint.with_extension(format!("auto-{name}.safetensors"));
    for name in ["b", "1-2", "1-", "head"] {
        std::fs::write(beside(name), "of a task").unwrap();
    }
    let little = AutoOptions { limit: Limit::Seconds(1e-3), ..other };
    let made = auto(&setup, &little, &mut |_| {}).unwrap();
    assert_eq!((made.found.chosen.as_str(), made.found.tried.len()), ("head", 1), "no time for more");
    assert_eq!((&made.found.against, &made.found.unmatched), (&None, &None));
    assert_eq!(["b", "1-2", "1-", "head"].map(|name| beside(name).exists()), [true, false, true, false]);
    assert_eq!(made.found.left_out.len(), 5, "{:?}", made.found.left_out);
}

/// A head, and what beats it.
fn two(world: &World, data: &Path) -> AutoOptions {
    let asked = asked(world, data);
    let candidates = [asked.candidates[0].clone(), asked.candidates[2].clone()].to_vec();
    AutoOptions { candidates, ..asked }
}

#[test]
fn a_pack_is_written_once_wherever_a_choice_ends() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let data = folder.path().join("colours");
    dataset(&data);
    let (setup, asked) = (setup(&world), two(&world, &data));
    let versions = asked.task.adapters.join("colours");
    let broken = catch_unwind(AssertUnwindSafe(|| {
        auto(&setup, &asked, &mut |_| assert!(!versions.exists(), "interrupted"))
    }));
    assert!(broken.is_err(), "the head is trained after the pack is written");
    let mut steps = 0;
    let made = auto(&setup, &asked, &mut |news| steps += usize::from(matches!(news, Progress::Step(_))));
    let made = made.unwrap();
    assert_eq!((steps, std::fs::read_dir(&versions).unwrap().count()), (0, 1), "nothing is made twice");
    assert!(weights(&made).len() > 8 && made.outcome.is_none());
    assert_eq!((made.found.chosen.as_str(), &made.found.against), ("fast", &None));
    let text = std::fs::read_to_string(made.report.with_extension("md")).unwrap();
    assert!(text.contains("not compared with the head alone: the process"), "{text}");
    assert!(!asked.task.checkpoint.with_extension("auto.json").exists());
}

#[test]
fn a_winner_that_time_is_too_short_for_gives_way_to_the_head() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let data = folder.path().join("colours");
    dataset(&data);
    let (setup, asked) = (setup(&world), two(&world, &data));
    let asked = AutoOptions { limit: Limit::Seconds(1000.0), ..asked };
    let broken = catch_unwind(AssertUnwindSafe(|| {
        auto(&setup, &asked, &mut |news| {
            assert!(!matches!(news, Progress::Note(text) if text.starts_with("chosen: fast")), "interrupted");
        })
    }));
    assert!(broken.is_err(), "the head was chosen");
    let path = asked.task.checkpoint.with_extension("auto.json");
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    (state["spent"], state["decided"]) = (949.0.into(), serde_json::Value::Null);
    std::fs::write(&path, state.to_string()).unwrap();
    let made = auto(&setup, &asked, &mut |_| {}).unwrap();
    assert_eq!(made.found.chosen, "head");
    assert!(made.found.reason.contains("too short to train fast"), "{}", made.found.reason);
}

#[test]
fn a_candidate_that_fails_is_told_and_the_others_go_on() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let data = folder.path().join("colours");
    dataset(&data);
    let (setup, mut asked) = (setup(&world), two(&world, &data));
    let mut big = asked.candidates[1].clone();
    let Method::Mimi(own) = &mut big.method else { panic!("no modules") };
    (big.name, own.batch) = ("big".into(), 1 << 20);
    asked.candidates.insert(1, big);
    asked.task.memory = Some(64 << 20);
    let made = auto(&setup, &asked, &mut |_| {}).unwrap();
    let big = made.found.tried.iter().find(|tried| tried.name == "big").unwrap();
    assert!(big.fate.contains("dropped: 64 MiB of memory is not enough"), "{}", big.fate);
    assert_eq!(made.found.chosen, "fast", "{:?}", made.found.tried);
    asked.candidates.remove(0);
    let Method::Mimi(_) = asked.candidates[0].method else { panic!("a head is left") };
    assert!(auto(&setup, &asked, &mut |_| {}).is_err(), "without a head there is no net");
}

fn command(world: &World, folder: &Path, more: &[&str]) -> std::process::Output {
    let backbone = &world.tiny.folder;
    let mut command = support::command(&["train-task", "--task", "colours", "--data", "colours"]);
    command.current_dir(folder).args(["--threads", "2", "--seed", "3"]);
    command.arg("--onnxruntime").arg(support::runtime_options().library);
    command.arg("--models").arg(backbone.parent().unwrap());
    command.arg("--backbone").arg(backbone.file_name().unwrap());
    command.args(more).output().unwrap()
}

/// Every candidate of the program, on a backbone of three blocks: 15 trainings take some seconds.
#[test]
fn the_command_that_is_printed_trains_the_same() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    dataset(&folder.path().join("colours"));
    let options = ["--auto", "--rung-epochs", "1", "--prefer", "bytes", "--memory", "64"];
    let made = command(&world, folder.path(), &options);
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let printed = text.lines().find_map(|line| line.strip_prefix("the same again ")).unwrap().trim();
    assert!(!printed.contains("--auto") && !printed.contains("bytes"), "{printed}");
    let words = shlex::split(printed).unwrap();
    let mut again = support::command(&words[1..].iter().map(String::as_str).collect::<Vec<_>>());
    let again = again.current_dir(folder.path()).args(["--adapters", "again"]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let weights =
        |of: &str| std::fs::read(folder.path().join(of).join("colours/1").join(WEIGHTS_FILE)).unwrap();
    assert!(weights("adapters") == weights("again"), "the weights differ: {printed}");
    for name in ["report.json", "report.md", "report.html"] {
        assert!(folder.path().join("auto-reports/colours").join(name).exists(), "{name}");
    }
}

#[test]
fn a_class_without_an_image_that_can_be_read_is_told_before_anything_is_trained() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let colours = folder.path().join("colours");
    dataset(&colours);
    std::fs::create_dir(colours.join("torn")).unwrap();
    let whole = std::fs::read(colours.join("red/0.png")).unwrap();
    for number in 0..4 {
        std::fs::write(colours.join(format!("torn/{number}.png")), &whole[..whole.len() / 2]).unwrap();
    }
    let made = command(&world, folder.path(), &["--auto", "--rung-epochs", "1"]);
    let text = String::from_utf8(made.stderr).unwrap();
    assert!(
        !made.status.success() && text.contains("no training image of class torn could be read"),
        "{text}"
    );
    assert!(!text.contains("candidate(s)"), "nothing was trained: {text}");
    // One image is enough, whichever part of the training images it falls to. One of four is held out.
    let is_refused = |number: usize| {
        let path = colours.join(format!("torn/{number}.png"));
        std::fs::write(&path, &whole).unwrap();
        let made = command(&world, folder.path(), &["--auto", "--rung-epochs", "1"]);
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        String::from_utf8_lossy(&made.stderr).contains("of class torn could be read")
    };
    assert_eq!((0..4).filter(|&number| is_refused(number)).count(), 1);
}

#[test]
fn options_that_a_choice_makes_itself_are_refused() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    dataset(&folder.path().join("colours"));
    let refused = |more: &[&str]| {
        let made = command(&world, folder.path(), more);
        assert!(!made.status.success(), "{more:?}");
        String::from_utf8(made.stderr).unwrap()
    };
    for own in [
        ["--method", "mimi"],
        ["--epochs", "3"],
        ["--learning-rate", "0.1"],
        ["--first-block", "1"],
        ["--cut", "front-first"],
        ["--augment", "light"],
    ] {
        let text = refused(&[&["--auto"], &own[..]].concat());
        assert!(
            text.contains("--auto") && text.contains("cannot be used with") && text.contains(own[0]),
            "{text}"
        );
    }
    assert!(refused(&["--prefer", "cost"]).contains("--auto"));
    assert!(refused(&["--auto", "--minutes", "0"]).contains("more than 0"));
    assert!(refused(&["--auto", "--minutes", "1", "--rung-epochs", "1"]).contains("cannot be used with"));
    assert!(refused(&["--auto", "--problem", "multi-label"]).contains("single labels"));
}
