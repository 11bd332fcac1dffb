//! The head of the page: the task and the numbers that matter, each with the images it was measured on.

use anyhow::Result;

use super::html::{escape, percent};
use super::story::Story;
use crate::pack::ProblemType;
use crate::text::grouped;
use crate::train::measure::abstain::Abstention;
use crate::train::measure::final_test::Tested;
use crate::train::measure::judged::Answers;

/// Two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_964;

/// The head of the page.
pub(super) fn section(story: &Story<'_>) -> Result<String> {
    let accuracy = story.examined.measure.accuracy;
    let held_out = story.provenance.validation_images;
    let mut tiles = Vec::new();
    if let Some(Tested { measure, images }) = story.data.test {
        tiles.push(scored(story, "test", measure.accuracy, images));
    }
    tiles.push(scored(story, "held-out", accuracy, held_out));
    if let Some(trained) = story.provenance.details.get("train_accuracy").and_then(|a| a.as_f64()) {
        let count = grouped(story.provenance.train_images as u64);
        let (value, score) = (shown(story, trained), story.decision.problem.score());
        tiles.push((value, format!("{score} on the {count} images trained on")));
    }
    for (part, scorer) in [("held-out", &story.examined.scorer), ("test", &story.data.test_scorer)] {
        let Some(found) = Answers::of(scorer, story.labels, story.decision).abstention else { continue };
        let Abstention { below, kept, accuracy } = found;
        let about = format!(
            "of the {part} images keep their answer, {} of them right: the others are below {below:.3}",
            percent(accuracy)
        );
        tiles.push((percent(kept), about));
    }
    if let Some(cycle) = story.own.and_then(|own| story.history.cycles.get(own)) {
        let (own, all) = (cycle.widths.len(), story.config.sites());
        let about = match cycle.widths.keys().all(|name| all.iter().any(|site| site.to_string() == *name)) {
            true => {
                let (none, all) = (all.len() - own, all.len());
                format!("parameters of {own} adapters; {none} of {all} sites have none")
            }
            false => format!("parameters trained beside the head, of {} module(s)", story.modules.len()),
        };
        tiles.push((grouped(cycle.adapter_parameters as u64), about));
    }
    let head = story.labels.len() * (story.config.head_width(story.modules) + 1);
    let outputs = plural(story.decision.problem);
    tiles.push((grouped(head as u64), format!("parameters of the head, {} {outputs}", story.labels.len())));
    let tile = |(value, about): &(String, String)| {
        format!("<div class=\"tile\"><b>{value}</b><span>{}</span></div>\n", escape(about))
    };
    let tiles: String = tiles.iter().map(tile).collect();
    let warnings: String =
        story.data.warnings.iter().map(|w| format!("<p class=\"warn\">{}</p>\n", escape(w))).collect();
    Ok(format!(
        "<header>\n<h1>{}</h1>\n<p class=\"quiet\">{} on {}{}</p>\n<div class=\"tiles\">\n{tiles}</div>\n\
         <p class=\"quiet\">{}</p>\n{warnings}</header>\n",
        escape(story.task),
        escape(&story.provenance.method),
        escape(&story.config.name),
        description(story),
        escape(use_of_images(story)),
    ))
}

/// A tile of a score: of classes with how many were right.
fn scored(story: &Story<'_>, part: &str, score: f64, images: usize) -> (String, String) {
    let name = story.decision.problem.score();
    let about = match story.decision.problem.is_single_label() {
        true => format!("{part} {name}, {}", among(score, images)),
        false => format!("{part} {name}, {} images", grouped(images as u64)),
    };
    (shown(story, score), about)
}

/// What outputs are.
pub(super) fn plural(problem: ProblemType) -> &'static str {
    match problem {
        ProblemType::SingleLabelClassification => "classes",
        ProblemType::MultiLabelClassification => "labels",
        ProblemType::Regression => "values",
    }
}

/// A share in per cent; R² is none.
pub(super) fn shown(story: &Story<'_>, score: f64) -> String {
    match story.decision.problem {
        ProblemType::Regression => format!("{score:.3}"),
        _ => percent(score),
    }
}

fn description(story: &Story<'_>) -> String {
    let text = &story.provenance.dataset;
    if text.is_empty() { String::new() } else { format!(" · {}", escape(text)) }
}

/// How held-out images were used, which decides how much their accuracy means.
fn use_of_images(story: &Story<'_>) -> String {
    let decided = story.decision.thresholds.is_some() || story.decision.abstain_below.is_some();
    let chose = if decided {
        "Held-out images were never trained on, but the pack's thresholds were chosen on them, so the figures at \
         thresholds are somewhat flattering."
    } else if story.held_out_chose {
        "Held-out images were never trained on, but their accuracy chose how far pruning went, so it is somewhat \
         flattering."
    } else {
        "Held-out images were never trained on and chose nothing: every setting was fixed before, and the model is \
         the last epoch's."
    };
    let test = if story.data.test.is_some() {
        " Test images were run once, at the end, and chose nothing."
    } else {
        ""
    };
    format!("Held out: {}. {chose}{test}", story.data.held_out)
}

/// `120 of 135 right; 95 % interval 81–93 %`, the interval of Wilson (1927).
fn among(accuracy: f64, count: usize) -> String {
    let n = count.max(1) as f64;
    let middle = (accuracy + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let spread = Z / (1.0 + Z * Z / n) * (accuracy * (1.0 - accuracy) / n + Z * Z / (4.0 * n * n)).sqrt();
    let (low, high) = ((middle - spread).max(0.0), (middle + spread).min(1.0));
    let right = (accuracy * count as f64).round() as u64;
    format!(
        "{} of {} right; 95 % interval {:.1}–{:.1} %",
        grouped(right),
        grouped(count as u64),
        100.0 * low,
        100.0 * high
    )
}

#[cfg(test)]
mod tests {
    use super::among;

    #[test]
    fn the_interval_is_wilsons() {
        // statsmodels: proportion_confint(45, 50, method="wilson") = (0.7864, 0.9565).
        assert_eq!(among(0.9, 50), "45 of 50 right; 95 % interval 78.6–95.7 %");
        assert_eq!(among(0.0, 0), "0 of 0 right; 95 % interval 0.0–79.3 %");
    }
}
