//! `server train-task`.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use anyhow::{Context, Result};
use mimi_server::backbone::BackboneConfig;
use mimi_server::runtime::{Runtime, WeightStore};
use mimi_server::train::{LinearOptions, Method, TaskOptions, train};

use crate::cli::{MethodArg, TrainArgs};

/// Trains a task and writes its pack.
pub fn run(args: &TrainArgs) -> Result<()> {
    let folder = args.runtime.backbone_folder();
    let config = BackboneConfig::read(&folder).with_context(|| folder.display().to_string())?;
    let runtime = Runtime::open(&args.runtime.options())?;
    let store = WeightStore::open(&runtime, &config, &folder, !args.runtime.no_prepack)?;
    let linear = LinearOptions {
        epochs: args.epochs,
        batch: args.batch,
        rate: args.learning_rate,
        decay: args.weight_decay,
        seed: args.seed,
    };
    let method = match args.method {
        MethodArg::Linear => Method::Linear(linear),
    };
    let options = TaskOptions {
        task: args.task.parse()?,
        data: args.data.clone(),
        validation: args.validation.clone(),
        holdout: args.holdout,
        description: args.description.clone(),
        adapters: args.adapters.clone(),
        method,
        seed: args.seed,
    };
    let report = train(&runtime, &Arc::new(store), (&Arc::new(config), &options), show)?;
    for (path, reason) in &report.unreadable {
        println!("unreadable: {}: {reason}", path.display());
    }
    let (trained, held_out) = report.images;
    println!("{}", report.folder.display());
    println!("training accuracy    {:.4} ({trained} images)", report.train_accuracy);
    println!("validation accuracy  {:.4} ({held_out} images)", report.validation_accuracy);
    Ok(())
}

/// One line that is written over on a terminal; now and then a line elsewhere.
pub fn show(what: &str, done: usize, count: usize, rate: f64) {
    let mut err = std::io::stderr();
    let left = (count - done) as f64 / rate.max(1e-9);
    let line = format!("{what}: {done} / {count}, {rate:.1} images/s, {left:.0} s left");
    // Progress that cannot be shown is no reason to stop.
    if err.is_terminal() {
        let end = if done == count { "\n" } else { "" };
        let _ = write!(err, "\r{line:<70}{end}");
    } else if done == count || done.is_multiple_of(48) {
        let _ = writeln!(err, "{line}");
    }
}
