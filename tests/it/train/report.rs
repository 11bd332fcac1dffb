//! The page beside a pack: whole, safe and readable whatever it tells of.

use std::collections::BTreeMap;

use mimi_server::backbone::{Form, Module, ModuleSet, Place, Precision, Site};
use mimi_server::pack::{self, ProblemType, Provenance};
use mimi_server::train::{
    Counts, Cycle, DataStory, Epoch, Examination, History, LeftOut, Measure, Method, MimiOptions,
    REPORT_FILE, Reason, Scorer, Story, Target, TaskOptions, Tested, Verdict, page,
};
use proptest::prelude::*;

use super::{dataset, options, run};
use crate::server::World;
use crate::support::{Random, TinyBackbone};

/// Tags that have no end.
const VOID: [&str; 4] = ["meta", "br", "img", "!doctype"];

/// Asserts that every tag is closed where it must be, and that nothing is fetched or run.
fn assert_whole(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = page.replace(&page[page.find("<style>").unwrap()..page.find("</style>").unwrap()], "<style>");
    for tag in body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let name = tag.split([' ', '\n', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    let foreign = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["<script", "http:", "https:", "<link", "@import", "url(", "NaN", "inf\""] {
        assert!(!foreign.contains(word), "the page says {word}");
    }
}

/// Numbers of a made-up training.
struct Told {
    labels: Vec<String>,
    history: History,
    examined: Examination,
    data: DataStory,
    thumbnails: Vec<Option<Vec<u8>>>,
    provenance: Provenance,
    modules: ModuleSet,
    decision: pack::Decision,
}

fn told(labels: Vec<String>, (cycles, epochs): (usize, usize), seed: u64) -> Told {
    let (mut random, classes) = (Random::new(seed), labels.len());
    let mut draw = |most: usize| (random.floats(1, 0.5)[0] + 0.5) as f64 * most as f64;
    let epoch = |cycle, epoch, loss: f64| Epoch {
        cycle,
        epoch,
        loss,
        accuracy: 1.0 / (1.0 + loss),
        validation_accuracy: 0.9 / (1.0 + loss),
        validation_loss: loss * 1.1,
        rate: 10.0,
    };
    let all = (0..cycles).flat_map(|cycle| (0..epochs).map(move |e| (cycle, e)));
    let epochs = all.map(|(cycle, e)| epoch(cycle, e, draw(4) / (1 + e) as f64)).collect();
    let cycles: Vec<Cycle> = (0..cycles)
        .map(|cycle| Cycle {
            cycle,
            sigma: 8.0 * 2f64.powi(cycle as i32),
            neurons: 96 >> cycle,
            widths: BTreeMap::from([
                ("blocks.1.attn".into(), 64 >> cycle),
                ("blocks.2.mlp".into(), 32 >> cycle),
            ]),
            adapter_parameters: 9216 >> cycle,
            parameters: 10_000 >> cycle,
            flops: 1_200_000_000 >> cycle,
            loss: 1.0,
            train_accuracy: 0.9,
            validation_accuracy: 0.8,
            validation_loss: f64::NAN,
        })
        .collect();
    let mut examined =
        Examination { measure: Measure { loss: 0.5, accuracy: 0.8 }, ..Examination::default() };
    for class in 0..classes {
        *examined.confusion.entry((class, class)).or_default() += draw(12) as usize;
        *examined.confusion.entry((class, draw(classes) as usize % classes)).or_default() += 1;
    }
    let name = labels[0].clone();
    examined.hardest = vec![Verdict {
        path: format!("folder/{name}.png").into(),
        class: 0,
        predicted: classes - 1,
        loss: 3.0,
        confidence: 0.7,
        outputs: Vec::new(),
    }];
    let data = DataStory {
        counts: vec![Counts { trained: 5, held_out: 1 }; classes],
        held_out: name.clone(),
        test: Some(Tested { measure: Measure { loss: 1.0, accuracy: 0.5 }, images: 10 }),
        test_scorer: Scorer::default(),
        left_out: vec![LeftOut::new(name.clone(), Reason::Malformed, name.clone())],
        warnings: vec![name.clone()],
    };
    let details = BTreeMap::from([(name.clone(), serde_json::json!(name))]).into_iter().collect();
    let provenance = Provenance { method: name.clone(), dataset: name, details, ..Provenance::default() };
    let history = History { epochs, cycles };
    Told {
        labels,
        history,
        examined,
        data,
        thumbnails: vec![Some(vec![1, 2, 3])],
        provenance,
        modules: ModuleSet::EMPTY,
        decision: pack::Decision::default(),
    }
}

fn rendered(tiny: &TinyBackbone, told: &Told) -> String {
    let story = Story {
        task: "task",
        config: &tiny.config,
        precision: Precision::Fp32,
        provenance: &told.provenance,
        decision: &told.decision,
        modules: told.modules,
        labels: &told.labels,
        data: &told.data,
        history: &told.history,
        own: told.history.cycles.len().checked_sub(1),
        held_out_chose: true,
        examined: &told.examined,
        thumbnails: &told.thumbnails,
    };
    page(&story).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

#[test]
fn any_number_of_classes_cycles_and_epochs_makes_a_page() {
    let tiny = TinyBackbone::new();
    for (classes, cycles, epochs) in
        [(2, 0, 0), (2, 1, 1), (24, 3, 2), (25, 1, 500), (120, 7, 10), (300, 2, 1)]
    {
        let page = rendered(&tiny, &told(names(classes), (cycles, epochs), 1));
        assert_whole(&page);
        assert!(page.len() < 1_500_000, "{classes} classes make {} bytes", page.len());
        assert_eq!(page.contains("Surviving neurons"), cycles > 1);
        assert_eq!(page.contains("<h2>Modules"), cycles == 1);
        assert!(page.contains("chose how far pruning went"));
        // Beside the page, for whoever wants to look at one.
        if let Some(folder) = std::env::var_os("MIMI_TEST_REPORTS") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{classes}.html")), page).unwrap();
        }
    }
}

#[test]
fn every_kind_of_module_is_drawn_and_outputs_go_by_their_name() {
    let (tiny, mut told) = (TinyBackbone::new(), told(names(3), (1, 2), 1));
    let module = |block, place, form| Module { site: Site::new(block, place), form };
    let modules = [
        module(0, Place::Norm1, Form::Affine),
        module(1, Place::Q, Form::Shift),
        module(1, Place::Attn, Form::Adapter),
    ];
    told.modules = modules.into_iter().collect();
    told.history.cycles[0].widths.insert("blocks.1.v".into(), 8);
    let page = rendered(&tiny, &told);
    assert_whole(&page);
    for words in
        ["blocks.0.norm1: γβ", "blocks.1.q: δ", "blocks.1.attn: 64", "of 3 module(s)", ">norm1</text>"]
    {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains(">fc1</text>"), "a place that nothing changes has no row");
    for (problem, words) in [
        (ProblemType::MultiLabelClassification, "Training images a label: 5 at least"),
        (ProblemType::Regression, "Every image has every value."),
    ] {
        told.decision = pack::Decision { problem, ..pack::Decision::default() };
        let page = rendered(&tiny, &told);
        assert!(page.contains(words) && page.contains(&format!("held-out {}", problem.score())), "{words}");
        assert!(!page.contains("accuracy</th>") && !page.contains("classes"), "{problem}");
    }
}

#[test]
fn losses_that_are_no_numbers_are_left_out() {
    let mut told = told(names(3), (2, 3), 1);
    told.history.epochs[1].loss = f64::NAN;
    told.history.epochs[4].validation_loss = f64::INFINITY;
    assert_whole(&rendered(&TinyBackbone::new(), &told));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_from_outside_is_only_text(label in "[ -~]{1,20}", seed in 0u64..8) {
        let hostile = format!("<script>x('{label}')</script>&\"><img src=x>{label}");
        let page = rendered(&TinyBackbone::new(), &told(vec![hostile, "other".into()], (2, 2), seed));
        assert_whole(&page.replace("https:", "").replace("http:", ""));
        prop_assert!(!page.contains("<img src=x"));
    }
}

/// The report's words on a measured share.
fn right(report: &str, words: &str) -> (usize, usize) {
    let place = report.find(words).unwrap_or_else(|| panic!("the report does not say {words}"));
    let mut numbers = report[place + words.len()..].split(' ').filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn read_report(folder: &std::path::Path) -> String {
    let text = std::fs::read_to_string(folder.join(REPORT_FILE)).unwrap();
    assert_whole(&text);
    text
}

#[test]
fn every_method_writes_a_report_that_agrees_with_its_pack() {
    let (world, data, cycles) = (World::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(data.path());
    std::fs::write(data.path().join("red/broken.png"), b"no image").unwrap();
    let linear = options(&world, data.path());
    let short = MimiOptions { sigma: 4.0, epochs: 2, batch: 8, rate: 5e-3, ..MimiOptions::default() };
    let with = |target| Method::Mimi(MimiOptions { target, ..short.clone() });
    let tasks = [
        linear.clone(),
        TaskOptions { method: with(Target::Never), ..linear.clone() },
        TaskOptions {
            method: with(Target::Sigma(16.0)),
            cycles: Some(cycles.path().into()),
            ..linear.clone()
        },
        // A target that some cycle misses brings the model before it back, whose lowest block may be lower.
        TaskOptions { method: with(Target::Accuracy(0.75)), ..linear },
    ];
    for task in &tasks {
        let report = run(&world, task).unwrap();
        let (pack, _) = pack::read(&report.folder, &world.tiny.config).unwrap();
        let text = read_report(&report.folder);
        let (hits, count) = right(&text, "held-out accuracy, ");
        assert_eq!(count, pack.manifest.provenance.validation_images);
        assert_eq!(hits as f64 / count as f64, report.accuracies.held_out, "{:?}", task.method);
        assert!(text.contains("red/broken.png") && text.contains(&world.tiny.config.fingerprint));
        let chose = matches!(&task.method, Method::Mimi(m) if matches!(m.target, Target::Accuracy(_)));
        assert_eq!(text.contains("chose how far pruning went"), chose);
        assert!(text.contains("<h2>Learning"));
    }
    let kept: Vec<_> = std::fs::read_dir(cycles.path().join("colours")).unwrap().collect();
    assert_eq!(kept.len(), 3);
    kept.into_iter().for_each(|folder| drop(read_report(&folder.unwrap().path())));
}
