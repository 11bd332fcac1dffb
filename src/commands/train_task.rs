//! `server train-task`.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use anyhow::{Context, Result};
use mimi_server::backbone::BackboneConfig;
use mimi_server::runtime::{Runtime, WeightStore};
use mimi_server::train::{Progress, Resident, train};

use crate::cli::{RuntimeArgs, TrainArgs};

/// Steps between two lines where there is no terminal.
const QUIET_IMAGES: usize = 400;

/// Trains a task and writes its pack.
pub fn run(args: &TrainArgs) -> Result<()> {
    let options = args.options()?;
    let resident = resident(&args.runtime)?;
    let report = train(&resident, &options, &mut |progress| show(progress))?;
    for (path, reason) in &report.unreadable {
        println!("unreadable: {}: {reason}", path.display());
    }
    let (trained, held_out) = report.images;
    println!("{}", report.folder.display());
    println!("training accuracy    {:.4} ({trained} images)", report.train_accuracy);
    println!("validation accuracy  {:.4} ({held_out} images)", report.validation_accuracy);
    Ok(())
}

/// The backbone that was asked for, on its device.
pub fn resident(args: &RuntimeArgs) -> Result<Resident> {
    let folder = args.backbone_folder();
    let config = BackboneConfig::read(&folder).with_context(|| folder.display().to_string())?;
    let runtime = Runtime::open(&args.options())?;
    let store = WeightStore::open(&runtime, &config, &folder, !args.no_prepack)?;
    Ok(Resident { runtime, store: Arc::new(store), config: Arc::new(config) })
}

/// One line that is written over on a terminal; now and then a line elsewhere.
pub fn show(progress: Progress<'_>) {
    match progress {
        Progress::Images { what, done, count, rate } => {
            let left = (count - done) as f64 / rate.max(1e-9);
            line(&format!("{what}: {done} / {count}, {rate:.1} images/s, {left:.0} s left"), (done, count));
        }
        Progress::Step(step) => {
            let (done, count) = (step.done, step.count);
            let text = format!(
                "cycle {}, epoch {}: {done} / {count}, loss {:.4}, {:.1} images/s",
                step.cycle, step.epoch, step.loss, step.rate
            );
            line(&text, (done, count));
        }
        Progress::Epoch(epoch) => {
            let (loss, accuracy) = (epoch.validation_loss, epoch.validation_accuracy);
            eprintln!(
                "cycle {}, epoch {}: training accuracy {:.4}, held-out accuracy {accuracy:.4}, loss {loss:.4}",
                epoch.cycle, epoch.epoch, epoch.accuracy
            );
        }
        Progress::Cycle(cycle, _) => eprintln!(
            "cycle {}: rate {:.1}, {} neurons in {} adapters, {} parameters, {:.3} GFLOPs, held-out accuracy {:.4}",
            cycle.cycle,
            cycle.sigma,
            cycle.neurons,
            cycle.widths.len(),
            cycle.parameters,
            cycle.flops as f64 / 1e9,
            cycle.validation_accuracy
        ),
    }
}

fn line(text: &str, (done, count): (usize, usize)) {
    let mut err = std::io::stderr();
    // Progress that cannot be shown is no reason to stop.
    if err.is_terminal() {
        let end = if done == count { "\n" } else { "" };
        let _ = write!(err, "\r{text:<78}{end}");
    } else if done == count || done % QUIET_IMAGES < 8 {
        let _ = writeln!(err, "{text}");
    }
}
