//! The held-out images the model finds hardest.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::html::{escape, percent, section as part};
use super::story::Story;
use crate::pack::ProblemType;
use crate::train::data::truth::{Scale, logistic};
use crate::train::measure::examine::Verdict;

/// Most labels of an image that are named.
const NAMED: usize = 6;

/// A card an image.
pub(super) fn section(story: &Story<'_>) -> String {
    let mut body = String::from("<div class=\"cards\">\n");
    let none = None;
    for (index, verdict) in story.examined.hardest.iter().enumerate() {
        card(&mut body, story, (verdict, story.thumbnails.get(index).unwrap_or(&none)));
    }
    body.push_str("</div>\n");
    let lead = "The held-out images with the highest loss. Wrong labels and odd pictures show up here first.";
    part("Hardest held-out images", lead, &body)
}

fn card(body: &mut String, story: &Story<'_>, (verdict, png): (&Verdict, &Option<Vec<u8>>)) {
    let name = |class: usize| story.labels.get(class).map(escape).unwrap_or_default();
    let (mut shows, mut taken) = (name(verdict.class), name(verdict.predicted));
    let is_single = story.decision.problem.is_single_label();
    if !is_single {
        (shows, taken) = (truth(story, verdict), answer(story, verdict));
    }
    body.push_str("<div class=\"card\">");
    if let Some(png) = png {
        let _ = write!(body, "<img alt=\"{shows}\" src=\"data:image/png;base64,{}\">", STANDARD.encode(png));
    }
    if !is_single {
        let _ = write!(body, "{shows}<br>taken for <span class=\"wrong\">{taken}</span>");
    } else if verdict.predicted == verdict.class {
        let _ = write!(body, "{shows}, seen as such at {}", percent(verdict.confidence));
    } else {
        let _ = write!(
            body,
            "{shows} ({})<br>taken for <span class=\"wrong\">{taken}</span> ({})",
            percent(verdict.probability()),
            percent(verdict.confidence)
        );
    }
    let file = verdict.path.file_name().unwrap_or_default().to_string_lossy();
    let _ = writeln!(
        body,
        "<br><span class=\"quiet\" title=\"{}\">loss {:.2} · {}</span></div>",
        escape(verdict.path.display()),
        verdict.loss,
        escape(file)
    );
}

/// The labels or values that an image shows.
fn truth(story: &Story<'_>, verdict: &Verdict) -> String {
    let row = story.examined.scorer.truths().row(verdict.class);
    match story.decision.problem {
        ProblemType::Regression => numbers(row.iter().copied()),
        _ => named(story, row.iter().map(|&truth| truth > 0.5)),
    }
}

/// The labels or values that it was taken for.
fn answer(story: &Story<'_>, verdict: &Verdict) -> String {
    let scales = story.examined.scorer.truths().scales();
    let thresholds = story.decision.thresholds.as_deref().unwrap_or_default();
    let outputs = verdict.outputs.iter().enumerate();
    match story.decision.problem {
        ProblemType::Regression => {
            numbers(outputs.map(|(at, &x)| scales.get(at).copied().unwrap_or(Scale::NONE).to_own(x)))
        }
        _ => named(
            story,
            outputs.map(|(at, &x)| thresholds.get(at).is_some_and(|&least| logistic(x) >= least)),
        ),
    }
}

fn numbers(values: impl Iterator<Item = f32>) -> String {
    values.map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(", ")
}

/// Names of the labels that apply, the first few.
fn named(story: &Story<'_>, applies: impl Iterator<Item = bool>) -> String {
    let labels =
        story.labels.iter().zip(applies).filter(|(_, applies)| *applies).map(|(label, _)| escape(label));
    let labels: Vec<String> = labels.collect();
    match labels.len() {
        0 => "nothing".into(),
        count if count > NAMED => format!("{} and {} more", labels[..NAMED].join(", "), count - NAMED),
        _ => labels.join(", "),
    }
}
