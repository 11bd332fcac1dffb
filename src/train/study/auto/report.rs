//! What was tried, what was chosen and why: as Markdown, and as a page.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::asked::{Limit, Prefer};
use super::found::{Absent, Against, Found, Tried};
use crate::files::write_atomically;
use crate::text::grouped;
use crate::train::report::html;

/// Titles of the table's columns.
const COLUMNS: [&str; 8] = [
    "candidate",
    "rung",
    "epochs",
    "steps",
    "accuracy, %",
    "GFLOPs of 8",
    "pack, bytes",
    "what became of it",
];
/// What the columns mean.
const LEGEND: &str = "Accuracy is that on training images that were held out of the candidates' trainings. GFLOPs of 8 are those of \
    one image under eight such tasks, the shared blocks counted once. What needs features alone is trained whole at once and has no \
    rung.";

/// Writes the report in every form into a folder that is there; returns the page's path.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(folder: &Path, found: &Found) -> Result<PathBuf> {
    write_atomically(&folder.join("report.json"), &serde_json::to_vec_pretty(found)?)?;
    write_atomically(&folder.join("report.md"), markdown(found).as_bytes())?;
    let page = folder.join("report.html");
    write_atomically(&page, document(found).as_bytes())?;
    Ok(page)
}

/// The report as Markdown.
pub fn markdown(found: &Found) -> String {
    let mut out = format!("# {}: {}\n\n", found.task, found.chosen);
    for sentence in sentences(found) {
        // A write into a text does not fail.
        let _ = writeln!(out, "{sentence}\n");
    }
    let _ = writeln!(out, "To train the same again:\n\n```sh\n{}\n```\n", found.command);
    let _ = writeln!(out, "## Candidates\n\n| {} |\n|---|--:|--:|--:|--:|--:|--:|---|", COLUMNS.join(" | "));
    for tried in &found.tried {
        let _ = writeln!(out, "| {} |", cells(tried).map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    let _ = writeln!(out, "\n{LEGEND}");
    for absent in &found.left_out {
        let _ = writeln!(out, "\n{}", missed(absent));
    }
    out
}

/// The report as a page that needs nothing else.
pub fn document(found: &Found) -> String {
    let paragraph = |text: &String| format!("<p>{}</p>\n", html::escape(text));
    let told: String = sentences(found).iter().map(paragraph).collect();
    let command = format!("<pre>{}</pre>\n", html::escape(&found.command));
    let rows: Vec<Vec<String>> =
        found.tried.iter().map(|tried| cells(tried).map(html::escape).to_vec()).collect();
    let absent: String = found.left_out.iter().map(|absent| paragraph(&missed(absent))).collect();
    let table = html::table(&COLUMNS, &rows) + &absent;
    let body = [
        format!(
            "<header>\n<h1>{}: {}</h1>\n</header>\n",
            html::escape(&found.task),
            html::escape(&found.chosen)
        ),
        html::section("Choice", "What was chosen, and why.", &told),
        html::section("Again", "An ordinary command that trains the same.", &command),
        html::section("Candidates", LEGEND, &table),
    ];
    html::document(&format!("{} – automatic choice", found.task), &body.concat())
}

fn sentences(found: &Found) -> Vec<String> {
    let Found { chosen, reason, trained, measured, seed, epochs, seconds, .. } = found;
    let preferred = match found.prefer {
        Prefer::Accuracy => "accuracy",
        Prefer::Cost => "cost",
        Prefer::Bytes => "bytes",
    };
    let limit = match found.limit {
        Limit::Seconds(most) => format!("It took {seconds:.0} of {most:.0} seconds."),
        Limit::Epochs(first) => format!("The first rung had {first} epoch(s), whatever the time."),
    };
    let mut all = vec![
        format!("{chosen} was chosen: {reason}. Preferred was {preferred}."),
        format!(
            "Candidates were trained on {} training images and measured on {} others, drawn with seed {seed}. {chosen} was then \
             trained on all of them for {epochs} epoch(s). {limit}",
            grouped(*trained as u64),
            grouped(*measured as u64)
        ),
    ];
    all.extend(found.against.as_ref().map(compared));
    all.extend(
        found.unmatched.as_ref().map(|reason| format!("It was not compared with the head alone: {reason}.")),
    );
    all.push(format!(
        "mimi-server {}; backbone {}, SHA-256 {}.",
        found.version, found.backbone, found.fingerprint
    ));
    all
}

fn missed(absent: &Absent) -> String {
    format!("{} did not take part: {}.", absent.name, absent.reason)
}

fn compared(against: &Against) -> String {
    let Against { images, count, accuracy, head, only_chosen, only_head, p } = against;
    format!(
        "On {} images that chose nothing ({images}), it is right on {:.1} %, and the head alone, trained on the same images, on \
         {:.1} %: {:+.1} points. {only_chosen} images only it is right on, {only_head} only the head: p = {p:.2e} by McNemar's exact \
         test.",
        grouped(*count as u64),
        100.0 * accuracy,
        100.0 * head,
        100.0 * (accuracy - head)
    )
}

fn cells(tried: &Tried) -> [String; 8] {
    let Tried { name, rung, epochs, steps, accuracy, cost, fate, .. } = tried;
    let none = || "–".to_owned();
    [
        name.clone(),
        if *rung == 0 { none() } else { rung.to_string() },
        epochs.to_string(),
        steps.to_string(),
        accuracy.map_or_else(none, |share| format!("{:.1}", 100.0 * share)),
        cost.map_or_else(none, |cost| format!("{:.3}", cost.flops_of_8 as f64 / 1e9)),
        cost.and_then(|cost| cost.pack_bytes).map_or_else(none, grouped),
        fate.clone(),
    ]
}
