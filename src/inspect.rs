//! Tables of what a backbone or a pack holds and costs.
//!
//! FLOPs count a multiply-add as 2 and only matrix products and convolutions; published "GFLOPs" of vision
//! models are often multiply-adds, half of ours.

use std::fmt::Write;

use crate::backbone::{BackboneConfig, SiteSet};
use crate::graph::{Error, Plan, adapter_flops, plan_flops};
use crate::pack::Pack;

/// The table of a backbone.
///
/// # Errors
/// When the configuration contradicts itself.
pub fn backbone(config: &BackboneConfig) -> Result<String, Error> {
    let flops = plan_flops(config, &Plan::whole(config, SiteSet::EMPTY), |_| 0)?;
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
        let (width, flops) = (config.block_width(site.block), adapter_flops(config, site, 1));
        row(&mut out, &site.to_string(), &[width.to_string(), grouped(flops)]);
    }
    Ok(out)
}

/// The table of a pack.
///
/// # Errors
/// When the backbone's configuration contradicts itself.
pub fn pack(pack: &Pack, config: &BackboneConfig) -> Result<String, Error> {
    let bare = plan_flops(config, &Plan::whole(config, SiteSet::EMPTY), |_| 0)?;
    let m = &pack.manifest;
    let adapters: usize = pack.adapters.iter().map(|a| a.down.len() + a.up.len()).sum();
    let head = pack.parameters() - adapters;
    let share =
        |part: usize| format!("{} ({:.3} % of the backbone)", grouped(part as u64), percent(part, config));
    let mut out = String::new();
    let rows = [
        ("backbone", m.base_model_name_or_path.clone()),
        ("trained at", m.precision.to_string()),
        ("method", m.provenance.method.clone()),
        ("classes", m.labels.len().to_string()),
        (
            "validation",
            format!("{:.4} on {} images", m.provenance.validation_accuracy, m.provenance.validation_images),
        ),
        ("adapters", format!("{} of {} sites", pack.sites.len(), config.sites().len())),
        ("adapter params", share(adapters)),
        ("head params", share(head)),
        (
            "FLOPs per image",
            format!("{} ({:.3} G; multiply-add = 2)", grouped(pack.flops), pack.flops as f64 / 1e9),
        ),
        ("over the backbone", format!("+{:.3} %", 100.0 * (pack.flops - bare) as f64 / bare as f64)),
    ];
    rows.iter().for_each(|(key, value)| line(&mut out, key, value));
    out.push_str("\nsite              width D   neurons R   parameters        FLOPs\n");
    for site in config.sites() {
        let d = config.block_width(site.block);
        let cells = match pack.adapter(site) {
            Some(a) => {
                let flops = adapter_flops(config, site, a.width);
                [a.width.to_string(), grouped((2 * d * a.width) as u64), grouped(flops)]
            }
            None => ["removed".into(), "0".into(), "0".into()],
        };
        row(&mut out, &site.to_string(), &[&[d.to_string()], &cells[..]].concat());
    }
    Ok(out)
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

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
