//! Labelled data: every form of it says the same, and what is wrong is told with its place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mimi_server::engine::Engine;
use mimi_server::image::Limits;
use mimi_server::metrics::Metrics;
use mimi_server::pack;
use mimi_server::train::{
    Dataset, FolderLayout, Image, Measured, Method, MimiOptions, Origin, Partition, Progress, Tested, Walk,
    evaluate, train,
};
use proptest::prelude::*;

use super::{dataset, options, run, setup, write_images};
use crate::server::World;

fn origin(data: &Path, validation: Option<&Path>) -> Origin {
    Origin { validation: validation.map(Path::to_owned), ..super::origin(data) }
}

fn open(data: &Path) -> anyhow::Result<Partition> {
    Partition::open(&origin(data, None))
}

/// Files that begin like an image and whose bytes tell them apart.
pub fn put(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, [b"\x89PNG\r\n\x1a\n", path.as_os_str().as_encoded_bytes()].concat()).unwrap();
}

/// Label and file of each image.
fn told(labels: &[String], images: &[Image], root: &Path) -> BTreeSet<(String, PathBuf)> {
    let told = |image: &Image| {
        (labels[image.class].clone(), image.path.strip_prefix(root).unwrap_or(&image.path).to_owned())
    };
    let all: BTreeSet<_> = images.iter().map(told).collect();
    assert_eq!(all.len(), images.len());
    all
}

const PARTS: [&str; 3] = ["train", "validation", "test"];

/// Images as `(class, part)`; every class has two to train on.
fn assignment() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let rest = proptest::collection::vec((0usize..4, 0usize..3), 0..30);
    rest.prop_map(|rest| [[0, 0, 1, 1, 2, 2, 3, 3].map(|class| (class, 0)).to_vec(), rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn folders_and_lists_say_the_same(images in assignment(), short in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut csv = String::from("label,split,path\n");
        for (number, &(class, part)) in images.iter().enumerate() {
            let path = format!("{}/class {class}/{number}.png", PARTS[part]);
            put(&dir.path().join(&path));
            let name = if short && part == 1 { "val" } else { PARTS[part] };
            csv.push_str(&format!("class {class},{name}, {path}\n"));
        }
        let list = dir.path().join("list.csv");
        std::fs::write(&list, csv).unwrap();
        let (folders, listed) = (open(dir.path()).unwrap(), open(&list).unwrap());
        for (a, b) in [
            (&folders.train, &listed.train),
            (&folders.validation, &listed.validation),
            (&folders.test, &listed.test),
        ] {
            // With nothing to hold out a share is drawn, by the order in which the images are listed.
            if images.iter().any(|&(_, part)| part > 0) {
                prop_assert_eq!(told(&folders.labels, a, dir.path()), told(&listed.labels, b, dir.path()));
            }
        }
        let all = [&listed.train[..], &listed.validation, &listed.test].concat();
        prop_assert_eq!(told(&listed.labels, &all, dir.path()).len(), images.len());
        prop_assert!(!listed.validation.is_empty());
    }

    #[test]
    fn a_drawn_share_is_the_same_for_a_seed_and_holds_out_of_every_class(
        counts in proptest::collection::vec(2usize..12, 2..5),
        holdout in 0.0f64..1.0,
        seed in 0u64..99,
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (class, &count) in counts.iter().enumerate() {
            (0..count).for_each(|i| put(&dir.path().join(format!("{class}/{i}.png"))));
        }
        let origin = Origin { holdout, seed, ..origin(dir.path(), None) };
        let one = Partition::open(&origin).unwrap();
        prop_assert_eq!(&one, &Partition::open(&origin).unwrap());
        for (class, &count) in counts.iter().enumerate() {
            let of = |images: &[Image]| images.iter().filter(|image| image.class == class).count();
            let (trained, held_out) = (of(&one.train), of(&one.validation));
            prop_assert!(trained > 0 && held_out > 0 && trained + held_out == count);
            prop_assert!((held_out as f64 - count as f64 * holdout).abs() <= 1.0);
        }
    }
}

#[test]
fn what_is_wrong_with_a_list_is_told_with_its_line() {
    let good = "path,label,split\na.png,x,train\nb.png,y,train\nc.png,x,test\n";
    let cases: [(&str, &[&str]); 13] = [
        ("", &["list.csv", "no column path"]),
        ("path,label\n", &["lists no image"]),
        ("path,klass\na.png,x\n", &["line 1", "\"klass\""]),
        ("path,split\na.png,train\n", &["line 1", "no column label"]),
        ("path,label,path\na.png,x,b.png\n", &["line 1", "path occurs twice"]),
        ("path,label\na.png,x\nb.png\n", &["line: 3"]),
        ("path,label\na.png,x\nb.png,\n", &["line 3", "label is empty"]),
        ("path,label\n,x\n", &["line 2", "path is empty"]),
        ("path,label,split\na.png,x,trian\n", &["line 2", "\"trian\""]),
        ("path,label\na.png,x\nb.png,x\n", &["1 class(es)"]),
        ("path,label\na.png,x\nb.png,y\n./a.png,y\n", &["listed twice", "line 2", "line 4"]),
        ("path,label,split\na.png,x,train\nb.png,y,train\na.png,x,test\n", &["listed twice", "line 4"]),
        ("path,label,split\na.png,x,train\nb.png,y,train\nc.png,z,test\n", &["line 4", "class z"]),
    ];
    let dir = tempfile::tempdir().unwrap();
    ["a.png", "b.png", "c.png"].iter().for_each(|name| put(&dir.path().join(name)));
    let list = dir.path().join("list.csv");
    std::fs::write(&list, good).unwrap();
    assert_eq!(open(&list).unwrap().held_out, format!("the test images of {}", list.display()));
    for (text, words) in cases {
        std::fs::write(&list, text).unwrap();
        let error = format!("{:#}", open(&list).unwrap_err());
        assert!(words.iter().chain(&["list.csv"]).all(|word| error.contains(word)), "{text:?}: {error}");
    }
}

#[test]
fn a_folder_of_parts_is_told_from_classes_of_that_name() {
    let dir = tempfile::tempdir().unwrap();
    // Trains and tests, as pictures.
    for path in ["train/1.png", "train/2.png", "test/1.png", "test/2.png"] {
        put(&dir.path().join(path));
    }
    assert!(format!("{:#}", open(dir.path()).unwrap_err()).contains("--layout classes"));
    let said = Walk { layout: Some(FolderLayout::Classes), ..Walk::default() };
    let said = Partition::open(&Origin { walk: said, ..origin(dir.path(), None) });
    assert_eq!(said.unwrap().labels, ["test", "train"]);
    let dir = tempfile::tempdir().unwrap();
    for path in ["train/a/1.png", "train/b/1.png", "val/a/2.png"] {
        put(&dir.path().join(path));
    }
    let parts = open(dir.path()).unwrap();
    assert_eq!((parts.train.len(), parts.validation.len(), parts.test.len()), (2, 1, 0));
    assert!(parts.warnings[0].contains("1 class(es) have no held-out image, b"), "{:?}", parts.warnings);
    put(&dir.path().join("validation/a/3.png"));
    assert!(format!("{:#}", open(dir.path()).unwrap_err()).contains("same part"));
    std::fs::rename(dir.path().join("validation"), dir.path().join("tset")).unwrap();
    assert!(format!("{:#}", open(dir.path()).unwrap_err()).contains("beside them stand tset/"));
    std::fs::rename(dir.path().join("tset"), dir.path().join("test")).unwrap();
    // What is measured when a pack is: the test images.
    let Measured { dataset: measured, part, .. } =
        Dataset::open_as(dir.path(), &["b".into(), "a".into()], &Walk::default()).unwrap();
    assert_eq!(part, "test");
    assert_eq!(measured.images, [Image { path: dir.path().join("test/a/3.png"), class: 1 }]);
    assert!(
        format!("{:#}", Dataset::open_as(dir.path(), &["b".into()], &Walk::default()).unwrap_err())
            .contains("class a")
    );
    // Images given to hold out come before those of the data; the test images stay.
    let own = tempfile::tempdir().unwrap();
    put(&own.path().join("a/9.png"));
    let parts = Partition::open(&origin(dir.path(), Some(own.path()))).unwrap();
    assert_eq!(parts.validation[0].path, own.path().join("a/9.png"));
    assert_eq!((parts.validation.len(), parts.test.len()), (1, 1));
    let same = Partition::open(&origin(dir.path(), Some(&dir.path().join("test")))).unwrap_err();
    assert!(format!("{same:#}").contains("would be both held out and tested on"), "{same:#}");
}

#[test]
fn leaks_and_imbalance_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    (0..23).for_each(|i| put(&dir.path().join(format!("train/many/{i}.png"))));
    (0..2).for_each(|i| put(&dir.path().join(format!("train/few/{i}.png"))));
    put(&dir.path().join("val/many/other.png"));
    put(&dir.path().join("val/few/other.png"));
    std::fs::copy(dir.path().join("train/many/3.png"), dir.path().join("val/many/copy.png")).unwrap();
    let warnings = open(dir.path()).unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("many has 23 training images, few has 2"), "{}", warnings[0]);
    assert!(warnings[1].starts_with("1 held-out image(s)"), "{}", warnings[1]);
    assert!(warnings[1].contains("val/many/copy.png is") && warnings[1].contains("train/many/3.png"));
    std::fs::remove_file(dir.path().join("val/many/copy.png")).unwrap();
    (0..21).for_each(|i| drop(std::fs::remove_file(dir.path().join(format!("train/many/{i}.png")))));
    assert!(open(dir.path()).unwrap().warnings.is_empty());
}

#[test]
fn test_images_are_measured_once_at_the_end_as_they_are_served() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    dataset(&dir.path().join("train"));
    write_images(&dir.path().join("val"), "red", [200, 60, 60], (3, 11));
    write_images(&dir.path().join("val"), "blue", [60, 60, 200], (3, 12));
    write_images(&dir.path().join("test"), "green", [150, 190, 60], (5, 13));
    write_images(&dir.path().join("test"), "blue", [60, 100, 150], (4, 14));
    std::fs::write(dir.path().join("test/blue/broken.png"), b"no image").unwrap();
    let linear = options(&world, dir.path());
    let mimi = MimiOptions { sigma: 4.0, epochs: 2, batch: 8, rate: 5e-3, ..MimiOptions::default() };
    let mut notes = Vec::new();
    for method in [linear.method.clone(), Method::Mimi(mimi)] {
        let options = mimi_server::train::TaskOptions { method, ..linear.clone() };
        let report = train(&setup(&world), &options, &mut |progress| {
            if let Progress::Note(text) = progress {
                notes.push(text.to_owned());
            }
        });
        let report = report.unwrap();
        let Tested { measure, images: count } = report.test.unwrap();
        assert_eq!((count, report.images.held_out, report.left_out.len()), (9, 6, 1));
        let pack = Arc::new(pack::read(&report.folder, &world.tiny.config).unwrap().0);
        let details = &pack.manifest.provenance.details;
        assert_eq!(
            (details["test_accuracy"].as_f64(), details["test_images"].as_u64()),
            (Some(measure.accuracy), Some(9))
        );
        let engine =
            Engine::start(world.tiny.resident(), Arc::new(Metrics::new().unwrap()), &world.config().engine)
                .unwrap();
        let images =
            Dataset::open_as(dir.path(), &pack.manifest.labels, &Walk::default()).unwrap().dataset.images;
        let served = evaluate(&engine, &"eval".parse().unwrap(), &pack, &images, &Limits::default()).unwrap();
        assert_eq!((served.accuracy(), served.total), (measure.accuracy, 9));
        let text = std::fs::read_to_string(report.folder.join("report.html")).unwrap();
        assert!(text.contains("test accuracy, ") && text.contains("Test images were run once"));
    }
    assert!(
        notes.iter().filter(|note| note.contains("no held-out image, green")).count() == 2
            && notes.iter().filter(|note| note.starts_with("left out: 1, of which 1 not an image")).count()
                == 2
            && notes.len() == 4,
        "{notes:?}"
    );
}

#[test]
fn a_list_trains_as_the_folder_it_names() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    dataset(&dir.path().join("images"));
    let mut csv = String::from("path,label\n");
    for class in ["red", "green", "blue"] {
        let mut files: Vec<_> = std::fs::read_dir(dir.path().join("images").join(class))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files.iter().for_each(|file| csv.push_str(&format!("images/{class}/{file},{class}\n")));
    }
    std::fs::write(dir.path().join("list.csv"), csv).unwrap();
    let by = |path: &str| run(&world, &options(&world, &dir.path().join(path))).unwrap();
    let weights =
        |report: &mimi_server::train::Outcome| std::fs::read(report.folder.join(pack::WEIGHTS_FILE)).unwrap();
    assert_eq!(weights(&by("images")), weights(&by("list.csv")));
}

#[test]
fn of_many_images_a_class_some_are_drawn_and_the_same_for_a_seed() {
    let dir = tempfile::tempdir().unwrap();
    for image in 0..10 {
        put(&dir.path().join(format!("a/{image}.png")));
        put(&dir.path().join(format!("b/{image}.png")));
    }
    let few = Origin { per_class: Some(3), held_out_per_class: Some(2), ..origin(dir.path(), None) };
    let parts = Partition::open(&few).unwrap();
    assert_eq!((parts.counts(), parts.validation.len()), (vec![3, 3], 4));
    assert_eq!(parts, Partition::open(&few).unwrap());
    let other = Partition::open(&Origin { seed: 8, ..few.clone() }).unwrap();
    assert_ne!(parts.train, other.train);
    let all = Partition::open(&Origin { per_class: Some(99), held_out_per_class: None, ..few }).unwrap();
    assert_eq!((all.counts(), all.validation.len()), (vec![7, 7], 6));
}
