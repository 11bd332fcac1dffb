//! Training a task from a folder to a pack.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use ndarray::Array1;
use serde_json::json;

use super::dataset::Dataset;
use super::features::{Extractor, Features};
use super::linear::{LinearOptions, fit};
use super::self_test::shrink;
use crate::backbone::BackboneConfig;
use crate::pack::{self, Contents, Head, Provenance, SelfTest, TaskId};
use crate::runtime::{Runtime, WeightStore};

/// Images stored in a pack for its self-test.
const SELF_TEST_IMAGES: usize = 2;
/// Allowed difference of the self-test's logits, relative to the largest: ten times what another CPU's
/// kernels were seen to differ by.
const SELF_TEST_TOLERANCE: f32 = 1e-3;

/// How a task is trained.
#[derive(Clone, Debug)]
pub enum Method {
    /// A head on frozen features, no adapters.
    Linear(LinearOptions),
}

/// What to train.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    /// The task's name.
    pub task: TaskId,
    /// Training images, a folder a class.
    pub data: PathBuf,
    /// Held-out images, a folder a class; without them a share of the training images is held out.
    pub validation: Option<PathBuf>,
    /// Share held out where no folder is given, 0 to 1.
    pub holdout: f64,
    /// What the images are, for the pack's provenance.
    pub description: String,
    /// Folder of packs.
    pub adapters: PathBuf,
    /// How.
    pub method: Method,
    /// Seed of the split.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Folder of the new version.
    pub folder: PathBuf,
    /// Accuracy on the training images, 0 to 1.
    pub train_accuracy: f64,
    /// Accuracy on the held-out images, 0 to 1.
    pub validation_accuracy: f64,
    /// Images trained on and held out.
    pub images: (usize, usize),
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Trains a task and writes its pack as the next version. `progress` is told what is being done, how many
/// images of how many are done, and images a second.
///
/// # Errors
/// When the data cannot be trained on, a run fails, or the pack cannot be written.
pub fn train(
    runtime: &Runtime,
    store: &Arc<WeightStore>,
    (config, options): (&Arc<BackboneConfig>, &TaskOptions),
    mut progress: impl FnMut(&str, usize, usize, f64),
) -> Result<Report> {
    let dataset = Dataset::open(&options.data)?;
    let (train, validation) = match &options.validation {
        Some(dir) => (dataset.images.clone(), Dataset::open_as(dir, &dataset.labels)?.images),
        None => {
            let split = dataset.split(options.holdout, options.seed)?;
            (split.train, split.validation)
        }
    };
    let mut extractor = Extractor::new(runtime, store, config)?;
    let mut extract = |what: &str, images: &[_]| {
        let count = images.len();
        extractor.extract(images, |done, rate| progress(what, done, count, rate))
    };
    let (train, validation) = (extract("training images", &train)?, extract("held-out images", &validation)?);
    check(&train, &dataset.labels)?;
    let Method::Linear(linear) = &options.method;
    let head = fit(&train, dataset.labels.len(), linear);
    let (train_accuracy, validation_accuracy) = (accuracy(&head, &train), accuracy(&head, &validation));
    let images = (train.classes.len(), validation.classes.len());
    let provenance = Provenance {
        method: "linear".into(),
        dataset: options.description.clone(),
        train_images: images.0,
        validation_images: images.1,
        seed: options.seed,
        validation_accuracy,
        details: details(linear, train_accuracy),
    };
    let self_test = self_test(&mut extractor, &head, &validation)?;
    let contents = Contents {
        adapters: BTreeMap::new(),
        head_weight: head.weight.iter().copied().collect(),
        head_bias: head.bias.to_vec(),
        labels: dataset.labels,
        preprocessing: config.preprocessing.clone(),
        self_test,
        tolerance: SELF_TEST_TOLERANCE,
        provenance,
    };
    let folder = pack::write(&options.adapters.join(options.task.as_str()), &contents, config)?;
    let unreadable = [train.unreadable, validation.unreadable].concat();
    Ok(Report { folder, train_accuracy, validation_accuracy, images, unreadable })
}

fn details(linear: &LinearOptions, train_accuracy: f64) -> serde_json::Map<String, serde_json::Value> {
    let LinearOptions { epochs, batch, rate, decay, seed } = linear;
    let pairs = [
        ("epochs", json!(epochs)),
        ("batch", json!(batch)),
        ("learning_rate", json!(rate)),
        ("weight_decay", json!(decay)),
        ("order_seed", json!(seed)),
        ("train_accuracy", json!(train_accuracy)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Every class must have an image that could be read.
fn check(train: &Features, labels: &[String]) -> Result<()> {
    for (class, label) in labels.iter().enumerate() {
        let first = train.unreadable.first();
        let hint = first.map(|(path, why)| format!(" ({}: {why})", path.display())).unwrap_or_default();
        ensure!(train.classes.contains(&class), "no training image of class {label} could be read{hint}");
    }
    Ok(())
}

fn accuracy(head: &Head, features: &Features) -> f64 {
    let right = features.features.rows().into_iter().zip(&features.classes).filter(|(row, class)| {
        let logits = head.logits(row.view());
        let likeliest = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)));
        likeliest == Some(**class)
    });
    right.count() as f64 / features.classes.len().max(1) as f64
}

/// Held-out images of different classes, made small, with the logits this head gives them.
fn self_test(extractor: &mut Extractor, head: &Head, validation: &Features) -> Result<SelfTest> {
    let mut test = SelfTest::default();
    let mut chosen = Vec::new();
    for (path, &class) in validation.paths.iter().zip(&validation.classes) {
        if chosen.len() == SELF_TEST_IMAGES {
            break;
        }
        if !chosen.contains(&class) {
            chosen.push(class);
            let image = shrink(path)?;
            let feature = Array1::from_vec(extractor.one(&image)?);
            test.logits.push(head.logits(feature.view()).to_vec());
            test.images.push(image);
        }
    }
    Ok(test)
}
