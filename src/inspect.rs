//! Tables of what a backbone or a pack holds and costs.
//!
//! FLOPs count a multiply-add as 2 and only matrix products and convolutions; published "GFLOPs" of vision
//! models are often multiply-adds, half of ours.

use std::fmt::Write;

use crate::backbone::{BackboneConfig, Form, Module, ModuleSet};
use crate::graph::{Error, Plan, module_flops, plan_flops, tasks_flops};
use crate::pack::{Manifest, ProblemType, Stored};
use crate::text::grouped;

/// Tasks that one image is priced under.
const TASKS: u64 = 8;
/// Most thresholds that are listed.
const LISTED: usize = 12;

/// The table of a backbone.
///
/// # Errors
/// When the configuration contradicts itself.
pub fn backbone(config: &BackboneConfig) -> Result<String, Error> {
    let flops = plan_flops(config, &Plan::whole(config, ModuleSet::EMPTY), |_| 0)?;
    let mut out = String::new();
    let rows = [
        ("backbone", config.name.clone()),
        ("fingerprint", config.fingerprint.clone()),
        ("blocks", config.depth().to_string()),
        ("sites", config.sites().len().to_string()),
        ("image", format!("{0}x{0}", config.image_size())),
        ("feature", config.feature_width().to_string()),
        ("parameters", grouped(config.parameters())),
        ("FLOPs per image", format!("{} ({:.3} G; multiply-add = 2)", grouped(flops), flops as f64 / 1e9)),
    ];
    rows.iter().for_each(|(key, value)| line(&mut out, key, value));
    out.push_str("\nsite              width D   FLOPs per neuron of adapter\n");
    for site in config.sites() {
        let (width, flops) =
            (config.block_width(site.block), module_flops(config, Module::adapter(site), 1)?);
        row(&mut out, &site.to_string(), &[width.to_string(), grouped(flops)]);
    }
    Ok(out)
}

/// The table of a pack.
///
/// # Errors
/// When the backbone's configuration contradicts itself.
pub fn pack(pack: &Stored, config: &BackboneConfig) -> Result<String, Error> {
    let bare = plan_flops(config, &Plan::whole(config, ModuleSet::EMPTY), |_| 0)?;
    let m = &pack.manifest;
    let (adapters, others): (Vec<_>, Vec<_>) =
        pack.widths.keys().copied().partition(|module| module.form == Form::Adapter);
    let modules: ModuleSet = pack.widths.keys().copied().collect();
    let first = modules.lowest_block().unwrap_or(config.depth());
    let width = |module| pack.widths.get(&module).copied().unwrap_or(0);
    let eight = tasks_flops(config, first, TASKS, (modules, &width))?;
    let sum = |of: &[Module]| of.iter().map(|&own| pack.served_parameters(own, config)).sum::<usize>();
    let share =
        |part: usize| format!("{} ({:.3} % of the backbone)", grouped(part as u64), percent(part, config));
    let mut out = String::new();
    let rows = [
        ("backbone", m.base_model_name_or_path.clone()),
        ("trained at", m.precision.to_string()),
        ("method", m.provenance.method.clone()),
        (
            if m.problem_type == ProblemType::Regression { "values" } else { "classes" },
            m.labels.len().to_string(),
        ),
        ("validation", validation(m)),
        ("adapters", format!("{} of {} sites", adapters.len(), config.sites().len())),
        ("adapter params", share(sum(&adapters))),
        ("head params", share(pack.head.weight.len() + pack.head.bias.len())),
        (
            "FLOPs per image",
            format!("{} ({:.3} G; multiply-add = 2)", grouped(pack.flops), pack.flops as f64 / 1e9),
        ),
        ("starts at", start(first, config)),
        ("8 tasks, an image", format!("{:.2} of 1 task's FLOPs", eight as f64 / pack.flops as f64)),
        ("over the backbone", format!("+{:.3} %", 100.0 * (pack.flops - bare) as f64 / bare as f64)),
    ];
    rows.iter().for_each(|(key, value)| line(&mut out, key, value));
    if !m.depths.is_empty() {
        let depths = m.depths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        line(&mut out, "head reads", &format!("depths {depths} of {}", config.depth()));
    }
    if !others.is_empty() {
        line(&mut out, "other modules", &others.len().to_string());
        line(&mut out, "their params", &share(sum(&others)));
    }
    if !m.stored_bits.is_full() {
        line(&mut out, "bits a weight", &bits(m));
    }
    if let Some(factorised) = &m.factorised {
        line(&mut out, "factorised by", format!("{} {}", factorised.method, factorised.settings).trim_end());
        line(&mut out, "stored params", &share(pack.stored_parameters()));
        line(&mut out, "stored", &bytes(pack.stored_parameters()));
        line(&mut out, "expanded", &bytes(sum(&adapters) + sum(&others)));
    }
    decision(m).iter().for_each(|(key, value)| line(&mut out, key, value));
    sites(&mut out, pack, config)?;
    other_modules(&mut out, &others, (pack, config))?;
    Ok(out)
}

/// The first block that other tasks may not share.
fn start(first: usize, config: &BackboneConfig) -> String {
    match first < config.depth() {
        true => format!("block {first} of {}", config.depth()),
        false => "the head: every block is shared".into(),
    }
}

/// Bits a weight on disk, of what is kept at few.
fn bits(m: &Manifest) -> String {
    let own = [("adapters", m.stored_bits.adapters), ("head", m.stored_bits.head)];
    let told = own.into_iter().filter_map(|(what, bits)| Some(format!("{what} {}", bits?.count())));
    format!("{}, expanded when it is loaded", told.collect::<Vec<_>>().join(", "))
}

/// Sizes of fp32 tensors in memory.
fn bytes(parameters: usize) -> String {
    format!("{} bytes", grouped(4 * parameters as u64))
}

/// The sites of adapters, a line each.
fn sites(out: &mut String, pack: &Stored, config: &BackboneConfig) -> Result<(), Error> {
    out.push_str("\nsite              width D   neurons R   parameters        FLOPs\n");
    for site in config.sites() {
        let (d, adapter) = (config.block_width(site.block), Module::adapter(site));
        let cells = match pack.widths.get(&adapter) {
            Some(&width) => {
                let parameters = pack.served_parameters(adapter, config) as u64;
                [width.to_string(), grouped(parameters), grouped(module_flops(config, adapter, width)?)]
            }
            None => ["removed".into(), "0".into(), "0".into()],
        };
        row(out, &site.to_string(), &[&[d.to_string()], &cells[..]].concat());
    }
    Ok(())
}

/// The modules that are no adapters, a line each.
fn other_modules(
    out: &mut String,
    others: &[Module],
    (pack, config): (&Stored, &BackboneConfig),
) -> Result<(), Error> {
    if !others.is_empty() {
        out.push_str("\nmodule                                  width R   parameters        FLOPs\n");
    }
    for &module in others {
        let width = pack.widths.get(&module).copied().unwrap_or(0);
        let parameters = pack.served_parameters(module, config) as u64;
        let flops = module_flops(config, module, width)?;
        let cells = [width.to_string(), grouped(parameters), grouped(flops)];
        row(out, &format!("{:<36}", module.to_string()), &cells);
    }
    Ok(())
}

fn validation(m: &Manifest) -> String {
    let (score, images) = (m.provenance.validation_accuracy, m.provenance.validation_images);
    let what = if m.problem_type.is_single_label() { "" } else { m.problem_type.score() };
    format!("{} {score:.4} on {images} images", what).trim_start().to_owned()
}

/// How outputs become answers, as far as that is more than the likeliest class.
fn decision(m: &Manifest) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if !m.problem_type.is_single_label() {
        rows.push(("problem type", m.problem_type.to_string()));
    }
    if m.problem_type == ProblemType::MultiLabelClassification {
        let each = m.labels.iter().enumerate().map(|(i, label)| format!("{label} {:.3}", m.threshold(i)));
        let mut told = each.take(LISTED).collect::<Vec<_>>().join(", ");
        if m.labels.len() > LISTED {
            told.push_str(&format!(" and {} more", m.labels.len() - LISTED));
        }
        rows.push(("thresholds", told));
    }
    rows.extend(m.abstain_below.map(|below| ("abstains below", format!("{below:.3}"))));
    rows
}

fn percent(part: usize, config: &BackboneConfig) -> f64 {
    100.0 * part as f64 / config.parameters() as f64
}

fn line(out: &mut String, key: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{key:<18}{value}");
}

fn row(out: &mut String, name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect::<Vec<_>>().join(" ");
    let _ = writeln!(out, "{name:<14}{cells}");
}
