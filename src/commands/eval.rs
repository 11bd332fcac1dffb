//! `server eval`.

use std::sync::Arc;

use anyhow::{Result, ensure};
use mimi_server::image::DECODER_VERSION;
use mimi_server::pack::{self, Base, Manifest};
use mimi_server::runtime::Expander;
use mimi_server::train::{Answers, Dataset, Evaluation, Labelled, Measured, Setup, evaluate_alone};

use super::backbone;
use super::judged;
use super::left_out::tell_left_out;
use crate::cli::EvalArgs;

/// Measures a pack on labelled images, through the engine that serves it.
pub fn run(args: &EvalArgs) -> Result<()> {
    let config = backbone::config(&args.runtime)?;
    // Checked before a library is loaded.
    let (stored, _) = pack::read_stored(&args.pack, &Base::new(Arc::clone(&config))?)?;
    let wanted = (&stored.manifest.labels[..], stored.manifest.problem_type);
    let Measured { dataset: data, truths, part } = Dataset::open_for(&args.data, wanted, &args.walk.walk())?;
    let resident = backbone::open(&args.runtime, config, &args.runtime.options())?;
    let base = Expander::base(&resident)?;
    let setup = Setup { limits: args.limits.limits(), ..Setup::new(resident) };
    let pack = Arc::new(stored.pack(&base)?);
    let labelled = Labelled { images: &data.images, truths: &truths };
    let result = evaluate_alone(&setup, &"eval".parse()?, &pack, labelled)?;
    let left_out = [&data.left_out[..], &result.unreadable].concat();
    args.walk.walk().write(&left_out)?;
    tell_left_out(&left_out, args.walk.list_skipped.as_deref());
    ensure!(result.total > 0, "{}: no image could be read", args.data.display());
    let (trained, served) = (pack.manifest.precision, setup.resident.precision());
    println!("trained at {trained}, measured at {served}");
    let (trained, ours) = (pack.manifest.image_decoder, DECODER_VERSION);
    println!("trained with image decoder {trained}, measured with {ours}");
    show(&result, &pack.manifest, part);
    Ok(())
}

/// The score, and what each class, label or value gave.
fn show(result: &Evaluation, manifest: &Manifest, part: &str) {
    let (score, name, images) = (result.accuracy(), manifest.problem_type.score(), result.total);
    let answers = Answers::of(&result.scorer, &manifest.labels, &manifest.decision());
    if !manifest.problem_type.is_single_label() {
        println!("{name} {score:.4} ({images} {part} images)");
        return judged::show(part, &answers);
    }
    println!("{name} {score:.4} ({} of {images} {part} images)", result.right);
    judged::show(part, &answers);
    println!("{:<24} {:>6} {:>8}", "class", "images", "recall");
    for (label, row) in manifest.labels.iter().zip(result.confusion.iter().enumerate()) {
        let (class, row) = row;
        let images: usize = row.iter().sum();
        let recall = match images {
            0 => "-".to_owned(),
            _ => format!("{:.4}", row[class] as f64 / images as f64),
        };
        println!("{label:<24} {images:>6} {recall:>8}");
    }
}
