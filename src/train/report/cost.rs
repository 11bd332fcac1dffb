//! What each cycle's pack costs and what it scored.

use anyhow::Result;

use super::html::{section as part, table};
use super::story::Story;
use super::summary::shown;
use crate::backbone::ModuleSet;
use crate::graph::{Plan, plan_flops};
use crate::text::grouped;
use crate::train::history::Cycle;

const HEAD: [&str; 8] = [
    "cycle",
    "rate σ",
    "neurons",
    "sites with neurons",
    "parameters trained",
    "with the head",
    "GFLOPs an image",
    "over the backbone",
];

/// Table and bars.
pub(super) fn section(story: &Story<'_>) -> Result<String> {
    let config = story.config;
    let bare = plan_flops(config, &Plan::whole(config, ModuleSet::EMPTY), |_| 0)?;
    if story.history.cycles.is_empty() {
        let lead = "A head alone: the backbone is not changed, and its features serve every such task.";
        let body = format!("<p>The backbone takes {} GFLOPs an image.</p>\n", giga(bare));
        return Ok(part("Size and cost", lead, &body));
    }
    let rows: Vec<Vec<String>> = story.history.cycles.iter().map(|cycle| row(story, cycle, bare)).collect();
    let scores = ["training", "held-out"].map(|part| format!("{part} {}", story.decision.problem.score()));
    let head: Vec<&str> = HEAD.into_iter().chain(scores.iter().map(String::as_str)).collect();
    let mut body = table(&head, &rows);
    if let Some(own) = story.own {
        let kept = format!("<tr><td>{}</td>", own + 1);
        body = body.replace(&kept, &kept.replace("<tr>", "<tr class=\"own\">"));
    }
    body.push_str("<div class=\"pair\">\n");
    let parameters = |cycle: &Cycle| cycle.adapter_parameters as u64;
    let flops = |cycle: &Cycle| cycle.flops.saturating_sub(bare);
    let label = |cycle: &Cycle| format!("+{} M", grouped(flops(cycle).div_ceil(1_000_000)));
    let counted = |cycle: &Cycle| grouped(parameters(cycle));
    body.push_str(&bars("Parameters trained beside the head", &story.history.cycles, parameters, counted));
    body.push_str(&bars("FLOPs above the backbone’s", &story.history.cycles, flops, label));
    body.push_str("</div>\n");
    let lead = format!(
        "What is left after each training. The backbone alone has {} parameters and takes {} GFLOPs an image; a \
         multiply-add counts as 2. The row in bold is this pack.",
        grouped(config.parameters()),
        giga(bare)
    );
    Ok(part("Size and cost", &lead, &body))
}

fn row(story: &Story<'_>, cycle: &Cycle, bare: u64) -> Vec<String> {
    let over = (cycle.flops as f64 - bare as f64) / bare as f64;
    vec![
        (cycle.cycle + 1).to_string(),
        if cycle.neurons > 0 { format!("{:.1}", cycle.sigma) } else { "–".into() },
        grouped(cycle.neurons as u64),
        cycle.widths.len().to_string(),
        grouped(cycle.adapter_parameters as u64),
        grouped(cycle.parameters as u64),
        giga(cycle.flops),
        format!("+{:.2} %", 100.0 * over),
        shown(story, cycle.train_accuracy),
        shown(story, cycle.validation_accuracy),
    ]
}

fn giga(flops: u64) -> String {
    format!("{:.3}", flops as f64 / 1e9)
}

/// A bar a cycle, in proportion.
fn bars(
    title: &str,
    cycles: &[Cycle],
    value: impl Fn(&Cycle) -> u64,
    label: impl Fn(&Cycle) -> String,
) -> String {
    let most = cycles.iter().map(&value).max().unwrap_or(0).max(1) as f64;
    let bar = |cycle: &Cycle| {
        let share = 100.0 * value(cycle) as f64 / most;
        format!(
            "<span>cycle {}</span><div class=\"bar\"><div style=\"width:{share:.1}%\"></div></div><span>{}</span>\n",
            cycle.cycle + 1,
            label(cycle)
        )
    };
    let bars: String = cycles.iter().map(bar).collect();
    format!("<div><h3>{title}</h3><div class=\"bars\">\n{bars}</div></div>\n")
}
