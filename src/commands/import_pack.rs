//! `server import-pack`.

use anyhow::Result;
use mimi_server::import::pack::mimi::{self, Frozen};
use mimi_server::import::pack::{Imported, Report, import};

use super::backbone;
use crate::cli::ImportPackArgs;

/// Converts a checkpoint or another library's pack, and says what became of it.
pub fn run(args: &ImportPackArgs) -> Result<()> {
    let request = args.request()?;
    let resident = backbone::resident(&args.runtime, &args.runtime.options())?;
    match import(&resident, &args.runtime.backbone_folder(), &request)? {
        Imported::Mimi(report) => show_mimi(&report),
        Imported::Other(report) => show(&report),
    }
    Ok(())
}

fn show(report: &Report) {
    println!("{}, {} classes", report.layout, report.classes);
    if !report.modules.is_empty() {
        println!("{:<40}{:>9}", "module", "width");
    }
    for (module, width) in &report.modules {
        println!("{:<40}{width:>9}", module.to_string());
    }
    for notice in &report.notices {
        println!("note: {notice}");
    }
    if let Some(proof) = report.proof {
        println!(
            "{} images: logits differ from the library's by at most {:.1e}, relative to the largest",
            proof.images, proof.difference
        );
    }
    println!("{}", report.folder.display());
}

fn show_mimi(report: &mimi::Report) {
    println!("{:<16}{:>9}{:>9}", "site", "neurons", "kept");
    for (site, before, after) in &report.sites {
        let after = if *after == 0 { "removed".into() } else { after.to_string() };
        println!("{:<16}{before:>9}{after:>9}", site.to_string());
    }
    let total = |of: fn(&(_, usize, usize)) -> usize| report.sites.iter().map(of).sum::<usize>();
    println!("{:<16}{:>9}{:>9}", "all", total(|site| site.1), total(|site| site.2));
    for notice in &report.notices {
        println!("note: {notice}");
    }
    if let Frozen::Compared { count, different } = &report.frozen
        && different.is_empty()
    {
        println!("{count} backbone tensors equal this backbone's");
    }
    println!(
        "{} layout, {} classes; logits differ from the masked checkpoint's by at most {:.1e}, relative to the largest",
        report.family, report.classes, report.difference
    );
    println!("{}", report.folder.display());
}
