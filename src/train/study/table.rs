//! A comparison of methods as Markdown.

use std::fmt::Write;

use anyhow::Result;

use super::published::Published;
use super::standings::{Standing, Standings};

/// Columns of every table.
const HEAD: [&str; 11] = [
    "method",
    "accuracy, %",
    "macro, %",
    "parameters",
    "pack, bytes",
    "GFLOPs",
    "GFLOPs of 8",
    "steps",
    "seconds",
    "seeds",
    "rank",
];
/// Columns where a method has a published accuracy.
const PUBLISHED: [&str; 2] = ["published, %", "its rank"];

/// One table a set, and one of the mean over sets.
///
/// # Errors
/// When the published accuracies in this program cannot be read.
pub fn table(all: &[Standings]) -> Result<String> {
    let published = Published::read()?;
    let mut out = String::new();
    for standings in all {
        let heading = standings.set.as_deref().unwrap_or("Mean over sets");
        writeln!(out, "## {heading}\n\n{}", one(standings, &published))?;
    }
    write!(
        out,
        "Accuracy is that on images that chose nothing, as a mean ± standard deviation over seeds; macro is the mean over \
         classes. Parameters are those trained without the head. FLOPs are those of one image without the head; \"of 8\" \
         is one image under eight such tasks, the shared blocks counted once."
    )?;
    if all.iter().any(|standings| published.knows(standings)) {
        write!(out, " Published: {}.", published.source)?;
    }
    writeln!(out)?;
    Ok(out)
}

fn one(standings: &Standings, published: &Published) -> String {
    let ranks = ranks(standings, published);
    let mut head: Vec<&str> = HEAD.to_vec();
    if published.knows(standings) {
        head.extend(PUBLISHED);
    }
    let mut out = format!("| {} |\n|---|{}\n", head.join(" | "), "--:|".repeat(head.len() - 1));
    for (place, line) in standings.lines.iter().enumerate() {
        let known = published.accuracies.get(&line.method);
        let rank = known.and_then(|_| ranks.iter().position(|name| *name == line.method));
        let cells = [
            line.method.clone(),
            accuracy(line),
            format!("{:.2}", 100.0 * line.macro_accuracy),
            format!("{:.0}", line.trained_parameters),
            line.pack_bytes.map_or("none".into(), |bytes| format!("{bytes:.0}")),
            format!("{:.3}", line.flops / 1e9),
            format!("{:.3}", line.flops_of_8 / 1e9),
            format!("{:.0}", line.steps),
            format!("{:.0}", line.seconds),
            line.seeds.to_string(),
            (place + 1).to_string(),
            known.map_or(String::new(), |known| format!("{known:.1}")),
            rank.map_or(String::new(), |rank| format!("{} of {}", rank + 1, ranks.len())),
        ];
        out.push_str(&format!("| {} |\n", cells[..head.len()].join(" | ")));
    }
    out
}

fn accuracy(line: &Standing) -> String {
    let mean = 100.0 * line.accuracy;
    line.deviation.map_or(format!("{mean:.2}"), |by| format!("{mean:.2} ± {:.2}", 100.0 * by))
}

/// Methods of the table with a published accuracy, best first.
fn ranks<'a>(standings: &'a Standings, published: &Published) -> Vec<&'a str> {
    let known = |line: &'a Standing| Some((published.accuracies.get(&line.method)?, line.method.as_str()));
    let mut known: Vec<(&f64, &str)> = standings.lines.iter().filter_map(known).collect();
    known.sort_by(|a, b| b.0.total_cmp(a.0));
    known.into_iter().map(|(_, name)| name).collect()
}
