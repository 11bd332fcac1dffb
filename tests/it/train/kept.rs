//! No data is lost silently: what is left out is counted by reason, and what could be read in two ways is
//! an error.

use std::collections::BTreeMap;
use std::path::Path;

use mimi_server::errors::once;
use mimi_server::train::{
    Dataset, FolderLayout, LeftOut, Measured, Origin, Partition, Reason, Walk, by_reason, summary,
};

use super::data::put;
use super::{dataset, origin};
use crate::publish::{command, server};
use crate::server::World;

fn open_so(data: &Path, walk: Walk) -> Result<Partition, String> {
    Partition::open(&Origin { walk, ..origin(data) }).map_err(|error| once(&*error))
}

fn open(data: &Path) -> Result<Partition, String> {
    open_so(data, Walk::default())
}

fn split_of(layout: FolderLayout) -> Walk {
    Walk { layout: Some(layout), ..Walk::default() }
}

/// Class and file names, two of each class under `dir`.
fn classes(dir: &Path) {
    for class in ["blue", "red"] {
        (0..2).for_each(|i| put(&dir.join(format!("{class}/{i}.png"))));
    }
}

fn reasons(left_out: &[LeftOut]) -> BTreeMap<Reason, usize> {
    by_reason(left_out)
}

fn sizes(parts: &Partition) -> (usize, usize, usize) {
    (parts.train.len(), parts.validation.len(), parts.test.len())
}

#[test]
fn f5_content_decides_and_not_the_suffix() {
    let dir = tempfile::tempdir().unwrap();
    classes(dir.path());
    let beginnings: [(&str, &[u8]); 9] = [
        ("a.jfif", b"\xFF\xD8\xFF\xE0\0\x10JFIF"),
        ("b.JPE", b"\xFF\xD8\xFF\xE1"),
        ("c", b"\x89PNG\r\n\x1a\n"),
        ("d.txt", b"GIF89a"),
        ("e.png", b"RIFF\0\0\0\0WEBPVP8 "),
        ("f.jpg", b"BM"),
        ("g.dat", b"II*\0"),
        ("h.webp", b"MM\0*"),
        ("i.tar.gz", b"GIF87a"),
    ];
    for (name, bytes) in beginnings {
        std::fs::write(dir.path().join("red").join(name), bytes).unwrap();
    }
    for (name, bytes) in
        [("notes.png", &b"no image"[..]), ("page.jpg", b"<html>"), ("clip.jpeg", b"\0\0\0\x18ftypmp42")]
    {
        std::fs::write(dir.path().join("red").join(name), bytes).unwrap();
    }
    let found = Dataset::open(dir.path(), &Walk::default()).unwrap();
    assert_eq!(found.counts(), [2, 2 + 9]);
    assert_eq!(reasons(&found.left_out), BTreeMap::from([(Reason::NotAnImage, 1), (Reason::Unsupported, 2)]));
    let line = summary(&found.left_out).unwrap();
    assert!(
        line.contains("left out: 3") && line.contains("1 not an image") && line.contains("2 unsupported"),
        "{line}"
    );
}

#[test]
fn f5_splits_are_known_by_the_names_users_give_them() {
    let names = [
        ("train", "val", "test"),
        ("train", "valid", "test"),
        ("Train", "Validation", "Testing"),
        ("TRAINING", "VALID", "TEST"),
        ("training", "dev", "testing"),
        ("train_set", "val_set", "Test Set"),
        ("TrainingSet", "validation-set", "testset"),
    ];
    for (train, validation, test) in names {
        let dir = tempfile::tempdir().unwrap();
        let mut csv = String::from("path,label,split\n");
        for split in [train, validation, test] {
            classes(&dir.path().join(split));
            for class in ["red", "blue"] {
                (0..2).for_each(|i| csv.push_str(&format!("{split}/{class}/{i}.png,{class},{split}\n")));
            }
        }
        let list = tempfile::NamedTempFile::new_in(dir.path().parent().unwrap()).unwrap();
        std::fs::write(
            list.path(),
            csv.replace(&format!("{train}/"), &format!("{}/{train}/", dir.path().display()))
                .replace(&format!("\n{validation}/"), &format!("\n{}/{validation}/", dir.path().display()))
                .replace(&format!("\n{test}/"), &format!("\n{}/{test}/", dir.path().display())),
        )
        .unwrap();
        for source in [dir.path(), list.path()] {
            let parts = open(source).unwrap();
            assert_eq!(sizes(&parts), (4, 4, 4), "{train} {validation} {test}");
            assert_eq!(parts.labels, ["blue", "red"]);
        }
    }
}

#[test]
fn f15_train_beside_valid_is_a_split() {
    let dir = tempfile::tempdir().unwrap();
    classes(&dir.path().join("train"));
    classes(&dir.path().join("valid"));
    let parts = open(dir.path()).unwrap();
    assert_eq!((sizes(&parts), parts.labels.len()), ((4, 4, 0), 2));
    assert!(parts.left_out.is_empty());
    // And what is measured of it when a pack is.
    let Measured { dataset: measured, part, .. } =
        Dataset::open_as(dir.path(), &parts.labels, &Walk::default()).unwrap();
    assert_eq!((measured.images.len(), part), (4, "validation"));
}

#[test]
fn f5_loose_pictures_do_not_make_classes_of_splits() {
    let dir = tempfile::tempdir().unwrap();
    for split in ["train", "valid"] {
        classes(&dir.path().join(split));
        put(&dir.path().join(split).join("cover.png"));
    }
    let error = open(dir.path()).unwrap_err();
    let words = [
        "two ways",
        "train/ (1 loose images, 4 in folders)",
        "valid/",
        "--layout splits",
        "--layout classes",
    ];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    let parts = open_so(dir.path(), split_of(FolderLayout::Splits)).unwrap();
    assert_eq!((sizes(&parts), reasons(&parts.left_out)), ((4, 4, 0), BTreeMap::from([(Reason::Loose, 2)])));
    let error = open_so(dir.path(), split_of(FolderLayout::Classes)).unwrap_err();
    assert!(error.contains("class train has a single image"), "{error}");
}

/// What is made in a folder, and words of the error.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

#[test]
fn f5_what_can_be_read_in_two_ways_is_an_error_with_the_choices() {
    let cases: [Case; 16] = [
        (
            "pictures only, beside a folder of none",
            &["train/1.png", "train/2.png", "valid/1.png", "meta/.keep"],
            &["two ways", "--layout splits"],
        ),
        (
            "pictures without a class beside classes",
            &["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "test/1.png", "test/2.png"],
            &["two ways", "test/ (2 images)"],
        ),
        (
            "pictures only",
            &["train/1.png", "train/2.png", "valid/1.png", "valid/2.png"],
            &["two ways", "--layout classes"],
        ),
        (
            "one split without classes",
            &["train/a/1.png", "train/b/1.png", "test/1.png"],
            &["two ways", "test/ (1 images)"],
        ),
        (
            "two names of one split",
            &["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"],
            &["val ", "valid ", "same part"],
        ),
        ("two cases of one split", &["train/a/1.png", "Train/b/1.png"], &["same part"]),
        (
            "classes beside splits",
            &["train/a/1.png", "train/b/1.png", "val/a/1.png", "cat/1.png"],
            &["beside them stand cat/ (1 images)"],
        ),
        ("an unknown split", &["train/a/1.png", "train/b/1.png", "evaluation/a/1.png"], &["evaluation/"]),
        (
            "a class in one split only",
            &["train/a/1.png", "train/b/1.png", "val/c/1.png"],
            &["class c is not known", "one of a, b"],
        ),
        (
            "another case in the other",
            &["train/a/1.png", "train/b/1.png", "val/A/1.png"],
            &["class A is not known", "one of a, b"],
        ),
        ("no folder", &["1.png", "2.png"], &["2 images and no class folder"]),
        (
            "a folder around it",
            &["data/a/1.png", "data/b/1.png"],
            &["class data", "2 nested", "--nested", "did you mean the folder"],
        ),
        (
            "classes around splits",
            &["a/train/1.png", "a/test/1.png", "b/train/1.png"],
            &["class a", "2 nested"],
        ),
        (
            "a split without images",
            &["train/a/1.png", "train/b/1.png", "valid/.keep"],
            &["valid is named like a split and has no image"],
        ),
        (
            "accents in two spellings",
            &["train/caf\u{e9}/1.png", "train/b/1.png", "val/cafe\u{301}/1.png"],
            &["cafe\\u{301}", "caf\\u{e9}"],
        ),
        ("nothing to train on", &["val/a/1.png", "test/a/1.png"], &["0 class(es) to train on"]),
    ];
    for (what, files, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| put(&dir.path().join(file)));
        let error = open(dir.path()).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{what}: {error}");
    }
    // A class may be called train where others are called otherwise.
    let dir = tempfile::tempdir().unwrap();
    for class in ["bus", "train"] {
        (0..2).for_each(|i| put(&dir.path().join(format!("{class}/{i}.png"))));
    }
    let parts = open(dir.path()).unwrap();
    assert_eq!(parts.labels, ["bus", "train"]);
    assert!(parts.warnings[0].contains("\"train\" is named like a split"), "{:?}", parts.warnings);
}

#[test]
fn f5_folders_beside_splits_are_left_out_when_told_so() {
    let dir = tempfile::tempdir().unwrap();
    ["train", "val"].iter().for_each(|split| classes(&dir.path().join(split)));
    // Without an image in it a folder is no class.
    std::fs::create_dir(dir.path().join("annotations")).unwrap();
    std::fs::write(dir.path().join("annotations/boxes.json"), b"{}").unwrap();
    assert_eq!(reasons(&open(dir.path()).unwrap().left_out), BTreeMap::from([(Reason::NotAnImage, 1)]));
    put(&dir.path().join("extra/a/1.png"));
    assert!(open(dir.path()).unwrap_err().contains("extra/"));
    let parts = open_so(dir.path(), split_of(FolderLayout::Splits)).unwrap();
    assert_eq!(
        reasons(&parts.left_out),
        BTreeMap::from([(Reason::NotAnImage, 1), (Reason::BesideSplits, 1)])
    );
}

#[test]
fn f5_nested_folders_are_counted_or_taken() {
    let dir = tempfile::tempdir().unwrap();
    classes(dir.path());
    (0..3).for_each(|i| put(&dir.path().join(format!("red/2024/may/{i}.png"))));
    let parts = open(dir.path()).unwrap();
    assert_eq!(
        (parts.train.len() + parts.validation.len(), reasons(&parts.left_out)),
        (4, BTreeMap::from([(Reason::Nested, 3)]))
    );
    let nested = Walk { nested: true, ..Walk::default() };
    let parts = open_so(dir.path(), nested.clone()).unwrap();
    assert_eq!((parts.train.len() + parts.validation.len(), parts.left_out.len()), (7, 0));
    // Splits within a class would be trained on together.
    put(&dir.path().join("red/test/0.png"));
    let error = open_so(dir.path(), nested).unwrap_err();
    assert!(error.contains("red/test") && error.contains("<split>/<class>/<image>"), "{error}");
}

#[cfg(unix)]
#[test]
fn f5_everything_that_is_left_out_has_its_reason() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    classes(&root);
    let red = root.join("red");
    symlink("nowhere.png", red.join("dead.png")).unwrap();
    symlink("round.png", red.join("round.png")).unwrap();
    symlink(&root, red.join("up")).unwrap();
    symlink("../blue", red.join("other")).unwrap();
    symlink("0.png", red.join("again.png")).unwrap();
    std::fs::write(red.join("empty.png"), b"").unwrap();
    std::fs::write(red.join(".DS_Store"), b"x").unwrap();
    std::fs::write(red.join("Thumbs.db"), b"x").unwrap();
    put(&root.join("__MACOSX/red/._0.png"));
    put(&root.join("cover.png"));
    std::fs::write(root.join("README.md"), b"# About").unwrap();
    let pipe = std::ffi::CString::new(red.join("pipe.png").as_os_str().as_bytes()).unwrap();
    let made =
        std::process::Command::new("mkfifo").arg(std::ffi::OsStr::from_bytes(pipe.as_bytes())).status();
    assert!(made.unwrap().success());
    let odd = red.join(std::ffi::OsStr::from_bytes(b"caf\xE9.png"));
    put(&odd);
    let parts = open(&root).unwrap();
    let expected = BTreeMap::from([
        (Reason::DeadLink, 2),
        (Reason::LinkedTwice, 2),
        (Reason::Duplicate, 1),
        (Reason::Empty, 1),
        (Reason::Hidden, 3),
        (Reason::Loose, 1),
        (Reason::NotAnImage, 1),
        (Reason::NotAFile, 1),
    ]);
    assert_eq!(reasons(&parts.left_out), expected, "{:#?}", parts.left_out);
    let all = [&parts.train[..], &parts.validation].concat();
    assert_eq!(all.len(), 5);
    assert!(all.iter().any(|image| image.path == odd), "a name that is not UTF-8 is no reason");
    // A class is named, so its folder's name must be text.
    put(&root.join(std::ffi::OsStr::from_bytes(b"gr\xFCn")).join("0.png"));
    assert!(open(&root).unwrap_err().contains("not UTF-8"));
}

#[test]
fn f5_a_class_that_loses_every_image_is_an_error_with_the_reasons() {
    let dir = tempfile::tempdir().unwrap();
    classes(dir.path());
    std::fs::create_dir(dir.path().join("none")).unwrap();
    assert!(open(dir.path()).unwrap_err().contains("class none"));
    std::fs::write(dir.path().join("none/a.png"), b"").unwrap();
    std::fs::write(dir.path().join("none/b.png"), b"text").unwrap();
    let list = tempfile::NamedTempFile::new().unwrap();
    let walk = Walk { list: Some(list.path().to_owned()), ..Walk::default() };
    let error = open_so(dir.path(), walk).unwrap_err();
    assert!(error.contains("class none") && error.contains("1 not an image, 1 empty"), "{error}");
    let listed = std::fs::read_to_string(list.path()).unwrap();
    assert!(listed.contains("empty,") && listed.contains("not an image,"), "{listed}");
}

#[test]
fn f5_names_of_classes_that_are_nearly_one_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["Red", "red", "blue "] {
        (0..2).for_each(|i| put(&dir.path().join(format!("{class}/{i}.png"))));
    }
    let warnings = open(dir.path()).unwrap().warnings.join("\n");
    assert!(warnings.contains("\"Red\" and \"red\" differ only in case"), "{warnings}");
    assert!(warnings.contains("\"blue \" has a name with blanks around it"), "{warnings}");
    put(&dir.path().join("blue/0.png"));
    assert!(open(dir.path()).unwrap_err().contains("\"blue\" and \"blue \" differ only in blanks"));
}

#[test]
fn f5_lists_are_read_as_spreadsheets_write_them() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["a.png", "with, comma.png", "sub/b.png", "grün.png"];
    names.iter().for_each(|name| put(&dir.path().join(name)));
    let absolute = dir.path().join("a.png").display().to_string();
    let utf16 = |text: &str, mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
        [mark.to_vec(), text.encode_utf16().flat_map(bytes).collect()].concat()
    };
    let plain = "path,label\na.png,x\n\"with, comma.png\",x\nsub/b.png,y\ngrün.png,y\n";
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("plain", plain.into()),
        ("byte-order mark", format!("\u{FEFF}{plain}").into()),
        ("mark and quotes", format!("\u{FEFF}{}", plain.replace("path,label", "\"path\",\"label\"")).into()),
        ("carriage returns", plain.replace('\n', "\r\n").into()),
        ("semicolons", "Path;Label\na.png;x\nwith, comma.png;x\nsub/b.png;y\ngrün.png;y\n".into()),
        ("tabs", "file_name\tclass\na.png\tx\nwith, comma.png\tx\nsub/b.png\ty\ngrün.png\ty".into()),
        ("other columns", "id,Image Path,Category,width\n1,a.png,x,3\n2,\"with, comma.png\",x,4\n3,sub/b.png,y,5\n4,grün.png,y,\n".into()),
        ("Windows", "filename,target\na.png,x\n\"with, comma.png\",x\nsub\\b.png,y\n.\\grün.png,y\n".into()),
        ("absolute", plain.replace("\na.png", &format!("\n{absolute}")).into()),
        ("UTF-16", utf16(plain, [0xFF, 0xFE], u16::to_le_bytes)),
        ("UTF-16, big end first", utf16(plain, [0xFE, 0xFF], u16::to_be_bytes)),
        ("a blank line", plain.replace("\nsub", "\n\nsub").into()),
    ];
    let list = dir.path().join("list.csv");
    for (what, bytes) in forms {
        std::fs::write(&list, bytes).unwrap();
        let found = Dataset::open(&list, &Walk::default())
            .unwrap_or_else(|error| panic!("{what}: {}", once(&*error)));
        assert_eq!((found.counts(), found.left_out.len()), (vec![2, 2], 0), "{what}");
    }
}

#[test]
fn f5_lines_of_a_list_that_give_no_image_are_left_out_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    ["a.png", "b.png", "c.png"].iter().for_each(|name| put(&dir.path().join(name)));
    std::fs::write(dir.path().join("text.png"), b"text").unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    let list = dir.path().join("list.csv");
    let text = "path,label\na.png,x\nb.png,x\nc.png,y\ngone.png,y\ntext.png,x\nfolder,x\n./a.png,x\nhttps://example.org/a.png,x\nC:\\a.png,y\n";
    std::fs::write(&list, text).unwrap();
    let walk = Walk { list: Some(dir.path().join("skipped.csv")), ..Walk::default() };
    let found = Dataset::open(&list, &walk).unwrap();
    let expected = BTreeMap::from([
        (Reason::Missing, 3),
        (Reason::NotAnImage, 1),
        (Reason::NotAFile, 1),
        (Reason::Duplicate, 1),
    ]);
    assert_eq!((found.counts(), reasons(&found.left_out)), (vec![2, 1], expected));
    let gone = found.left_out.iter().find(|one| one.path.ends_with("gone.png")).unwrap();
    assert!(gone.detail.starts_with("line 5"), "{gone}");
    let skipped = std::fs::read_to_string(walk.list.unwrap()).unwrap();
    assert!(skipped.starts_with("reason,path,detail\n") && skipped.lines().count() == 7, "{skipped}");
    // A class does not vanish with its images.
    std::fs::write(&list, "path,label\na.png,x\nc.png,y\ngone.png,z\n").unwrap();
    let error = once(&*Dataset::open(&list, &Walk::default()).unwrap_err());
    assert!(error.contains("class z") && error.contains("line 4"), "{error}");
}

#[test]
fn f5_headers_that_can_mean_two_things_and_other_encodings_are_errors() {
    let cases: [(&[u8], &str); 6] = [
        (b"path,label,class\na.png,x,y\n", "label and class can both be the label"),
        (b"file,image,label\na.png,b.png,y\n", "file and image can both be the path"),
        (b"a.png,x\nb.png,y\n", "there is no column path"),
        (b"path,label\ngr\xFCn.png,x\n", "line 2 is not UTF-8"),
        (b"\xFF\xFEp\0a\0t", "UTF-16"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list.csv");
    for (bytes, words) in cases {
        std::fs::write(&list, bytes).unwrap();
        let error = once(&*Dataset::open(&list, &Walk::default()).unwrap_err());
        assert!(error.contains(words) && error.contains("list.csv"), "{error}");
    }
}

#[test]
fn f19_an_error_says_its_cause_once() {
    let dir = tempfile::tempdir().unwrap();
    let error = mimi_server::pack::read_manifest(dir.path()).unwrap_err();
    let error = anyhow::Error::from(error).context("the newest version");
    let text = once(&*error);
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
    assert!(text.starts_with("the newest version: "), "{text}");
}

#[test]
fn f5_commands_count_and_list_what_they_leave_out() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    dataset(&dir.path().join("data"));
    std::fs::write(dir.path().join("data/red/notes.txt"), b"red, all of it").unwrap();
    std::fs::write(dir.path().join("data/red/half.png"), b"\x89PNG\r\n\x1a\nhalf").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Whatever wrote the file of tasks.
    let mark = "\u{FEFF}--task colours --data data --epochs 2 --list-skipped skipped.csv\r\n";
    std::fs::write(dir.path().join("tasks.txt"), mark).unwrap();
    let done = server(&world, dir.path(), &["--tasks-file", "tasks.txt"]);
    let (said, errors) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{errors}");
    assert!(errors.contains("left out: 1, of which 1 not an image"), "told before the training: {errors}");
    assert!(said.contains("left out: 2, of which 1 not an image") && said.contains("1 malformed"), "{said}");
    let list = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(list("skipped.csv").lines().count(), 3, "{}", list("skipped.csv"));
    let pack = world.task("colours").join("1");
    let manifest = mimi_server::pack::read_manifest(&pack).unwrap();
    let expected = serde_json::json!({"malformed": 1, "not an image": 1});
    assert_eq!(manifest.provenance.details["left_out"], expected);
    let pack = pack.display().to_string();
    let done = command(
        &world,
        dir.path(),
        "eval",
        &["--pack", &pack, "--data", "data", "--list-skipped", "eval.csv"],
    );
    assert!(text(&done.stdout).contains("left out: 2"), "{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!(list("eval.csv"), list("skipped.csv"));
    let options = ["--data", "data", "--out", "out", "--contenders", "probe", "--seeds", "1"];
    let done =
        command(&world, dir.path(), "compare", &[&options[..], &["--list-skipped", "compare.csv"]].concat());
    assert!(done.status.success() && text(&done.stderr).contains("left out: 1"), "{}", text(&done.stderr));
    assert_eq!(list("compare.csv").lines().count(), 3);
    // Two tasks would write over each other's list.
    let two = "--task a --data data\n--task b --data data\n";
    std::fs::write(dir.path().join("tasks.txt"), two).unwrap();
    let done = server(&world, dir.path(), &["--tasks-file", "tasks.txt", "--list-skipped", "x.csv"]);
    assert!(text(&done.stderr).contains("lines 1 and 2 would write one file"), "{}", text(&done.stderr));
}

#[test]
fn f19_a_byte_order_mark_before_a_manifest_is_passed_over() {
    let world = World::new();
    let folder = &world.tiny.folder;
    let config = folder.join("config.json");
    let marked = [&b"\xEF\xBB\xBF"[..], &std::fs::read(&config).unwrap()].concat();
    std::fs::write(&config, marked).unwrap();
    let read = mimi_server::backbone::BackboneConfig::read(folder).unwrap();
    assert_eq!(read, *world.tiny.config);
    let pack = world.publish("colours", &world.contents(1, 0));
    let before = mimi_server::pack::read_manifest(&pack).unwrap();
    let manifest = pack.join(mimi_server::pack::CONFIG_FILE);
    let marked = [&b"\xEF\xBB\xBF"[..], &std::fs::read(&manifest).unwrap()].concat();
    std::fs::write(&manifest, marked).unwrap();
    assert_eq!(mimi_server::pack::read_manifest(&pack).unwrap().labels, before.labels);
}
