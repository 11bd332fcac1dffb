use std::path::Path;

use mimi_server::pack::ProblemType;
use mimi_server::train::{Dataset, Origin, Partition, Truths, Walk};

use crate::train::origin;

fn put(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::new(2, 2).save(path).unwrap();
}

fn open(list: &Path, problem: ProblemType) -> anyhow::Result<Partition> {
    Partition::open(&Origin { problem, ..origin(list) })
}

/// A list in a folder with the images a to f.
fn list(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d", "e", "f"] {
        put(&dir.path().join(format!("{name}.png")));
    }
    let list = dir.path().join("list.csv");
    std::fs::write(&list, text).unwrap();
    (dir, list)
}

fn row<'a>(parts: &'a Partition, name: &str) -> &'a [f32] {
    let all = parts.train.iter().chain(&parts.validation).chain(&parts.test);
    let image = all.into_iter().find(|image| image.path.ends_with(name)).unwrap();
    parts.truths.row(image.class)
}

#[test]
fn a_cell_holds_any_number_of_labels() {
    let text = "path,labels,split\na.png,cat; outdoor,train\nb.png,,train\nc.png,dog|cat|cat,train\nd.png,outdoor,val\n";
    let (_dir, list) = list(text);
    let parts = open(&list, ProblemType::MultiLabelClassification).unwrap();
    assert_eq!(parts.labels, ["cat", "dog", "outdoor"]);
    assert_eq!(row(&parts, "a.png"), [1.0, 0.0, 1.0]);
    assert_eq!(row(&parts, "b.png"), [0.0; 3]);
    assert_eq!(row(&parts, "c.png"), [1.0, 1.0, 0.0]);
    assert_eq!((parts.counts(), parts.train.len(), parts.validation.len()), (vec![2, 1, 1], 3, 1));
    assert!(parts.warnings[0].contains("2 class(es) have no held-out image, cat"), "{:?}", parts.warnings);
}

#[test]
fn a_column_for_each_label_says_the_same_as_one_column_of_labels() {
    let multi = ProblemType::MultiLabelClassification;
    let each = "file,outdoor,cat,split,dog\na.png,1,1,train,0\nb.png,0,0,train,false\nc.png,0.0,True,train,1.0\nd.png,1,0,val,0\n";
    let (_dir, columns) = list(each);
    let parts = open(&columns, multi).unwrap();
    let text =
        "path,labels,split\na.png,cat;outdoor,train\nb.png,,train\nc.png,dog;cat,train\nd.png,outdoor,val\n";
    let (_other, one) = list(text);
    let same = open(&one, multi).unwrap();
    assert_eq!((&parts.labels, parts.counts()), (&same.labels, same.counts()));
    for name in ["a.png", "b.png", "c.png", "d.png"] {
        assert_eq!(row(&parts, name), row(&same, name), "{name}");
    }
    // A column that no image to train on has is a label all the same.
    let (_dir, rare) = list("path;sun;rain;split\na.png;1;0;train\nb.png;0;0;train\nc.png;0;1;val\n");
    let parts = open(&rare, multi).unwrap();
    assert_eq!(
        (parts.labels.clone(), row(&parts, "c.png")),
        (vec!["rain".to_owned(), "sun".into()], &[1.0, 0.0][..])
    );
    assert!(
        parts.warnings.iter().any(|w| w.contains("no training image has the label rain")),
        "{:?}",
        parts.warnings
    );
    // One class an image is named, not marked.
    let error = format!("{:#}", open(&rare, ProblemType::SingleLabelClassification).unwrap_err());
    assert!(error.contains("there is no column label"), "{error}");
}

#[test]
fn a_cell_holds_one_number_or_several_which_are_scaled_over_the_images_trained_on() {
    let (_dir, list) = list("image,value,split\na.png,10,train\nb.png,30,train\nc.png,99.5,test\n");
    let parts = open(&list, ProblemType::Regression).unwrap();
    assert_eq!((&parts.labels[..], row(&parts, "c.png")), (&["value".to_owned()][..], &[99.5][..]));
    let Truths::Values(values) = &parts.truths else { panic!("{:?}", parts.truths) };
    assert_eq!((values.scales[0].mean, values.scales[0].deviation), (20.0, 10.0));
    let (_dir, other) = self::list("path,label,split\na.png,1;-2e1,train\nb.png,3;4,train\nc.png,0|0,val\n");
    let parts = open(&other, ProblemType::Regression).unwrap();
    assert_eq!(parts.labels, ["label 0", "label 1"]);
    assert_eq!(row(&parts, "a.png"), [1.0, -20.0]);
    // What a pack with these names is measured on is in the values' own units.
    let wanted = (&parts.labels[..], ProblemType::Regression);
    let measured = Dataset::open_for(&other, wanted, &Walk::default()).unwrap();
    assert_eq!((measured.part, measured.truths.scales()[1].deviation), ("validation", 1.0));
}

#[test]
fn a_share_is_drawn_of_all_images_and_is_the_same_for_a_seed() {
    let text = "path,label\na.png,1\nb.png,2\nc.png,3\nd.png,4\ne.png,5\nf.png,6\n";
    let (_dir, list) = list(text);
    let parts = open(&list, ProblemType::Regression).unwrap();
    assert_eq!((parts.train.len(), parts.validation.len()), (4, 2));
    assert_eq!(parts, open(&list, ProblemType::Regression).unwrap());
    assert!(parts.held_out.contains("30 % of all images"), "{}", parts.held_out);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    use ProblemType::{MultiLabelClassification as Multi, Regression};
    for (problem, text, words) in [
        (
            Multi,
            "path,label,split\na.png,x,train\nb.png,x;y,val\n",
            "line 3: label y is not known: expected one of x",
        ),
        (Multi, "path,label\na.png,\nb.png,\n", "no image to train on has a label"),
        (Regression, "path,label\na.png,1\nb.png,\n", "line 3: the label is empty"),
        (Regression, "path,label\na.png,1\nb.png,two\n", "line 3: \"two\" is not a number"),
        (Regression, "path,label\na.png,1\nb.png,inf\n", "line 3: \"inf\" is not finite"),
        (Regression, "path,label\na.png,1\nb.png,1;2\n", "line 3: 2 value(s), expected 1"),
        (Regression, "path,label\na.png,7\nb.png,7\nc.png,7\n", "label is the same in all training images"),
        (Multi, "path,label\na.png,x\n", "none could be held out"),
        (Multi, "path,cat,width\na.png,1,64\n", "line 2: column width holds \"64\", expected 0 or 1"),
        (Multi, "path,cat,dog\na.png,1,\n", "line 2: column dog holds \"\", expected 0 or 1"),
        (Multi, "path,cat,cat\na.png,1,0\n", "line 1: column cat occurs twice"),
        (Multi, "path,cat|dog,x\na.png,1,0\n", "which separates labels"),
        (Multi, "path,split\na.png,train\n", "no column of labels, nor one for each label"),
    ] {
        let (_dir, list) = list(text);
        let error = format!("{:#}", open(&list, problem).unwrap_err());
        assert!(error.contains(words), "{words}: {error}");
    }
    let (dir, _list) = list("");
    let error = format!("{:#}", open(dir.path(), Multi).unwrap_err());
    assert!(error.contains("multi_label_classification needs a list"), "{error}");
    let (_dir, list) = list("path,label\na.png,1\nb.png,2\n");
    let bounded = Origin { per_class: Some(1), problem: Regression, ..origin(&list) };
    assert!(
        format!("{:#}", Partition::open(&bounded).unwrap_err()).contains("needs classes, not a regression")
    );
}
