//! The images: counts by class, and skipped files.

use super::html::{details, escape, section as part, table};
use super::story::Story;
use super::summary::plural;
use crate::pack::ProblemType;
use crate::train::data::dataset::left_out::by_reason;

/// Maximum number of skipped files listed.
const LISTED: usize = 200;
/// Maximum number of classes shown without unfolding.
const OPEN: usize = 24;

/// Counts by class, and skipped files.
pub(super) fn section(story: &Story<'_>) -> String {
    let counts = &story.data.counts;
    let rows = story
        .labels
        .iter()
        .zip(counts)
        .map(|(label, count)| vec![escape(label), count.trained.to_string(), count.held_out.to_string()]);
    let problem = story.decision.problem;
    let classes = table(&[one(problem), "trained on", "held out"], &rows.collect::<Vec<_>>());
    let mut body = match counts.len() <= OPEN {
        true => classes,
        false => details(&format!("All {} {}", counts.len(), plural(problem)), &classes),
    };
    body.push_str(&left_out(story));
    let lead = format!(
        "{} images trained on, {} held out ({}). {}",
        story.provenance.train_images,
        story.provenance.validation_images,
        escape(&story.data.held_out),
        spread(story)
    );
    part("Data", &lead, &body)
}

/// What one output is.
fn one(problem: ProblemType) -> &'static str {
    match problem {
        ProblemType::SingleLabelClassification => "class",
        ProblemType::MultiLabelClassification => "label",
        ProblemType::Regression => "value",
    }
}

/// How evenly images are spread over the outputs.
fn spread(story: &Story<'_>) -> String {
    let (problem, counts) = (story.decision.problem, &story.data.counts);
    let mut trained: Vec<usize> = counts.iter().map(|count| count.trained).collect();
    trained.sort_unstable();
    let at = |place: usize| trained.get(place).copied().unwrap_or(0);
    let (least, middle, most) = (at(0), at(trained.len() / 2), at(trained.len().saturating_sub(1)));
    match problem {
        ProblemType::Regression => "Every image has every value.".into(),
        _ => format!(
            "Training images a {}: {least} at least, {middle} in the middle, {most} at most.",
            one(problem)
        ),
    }
}

fn left_out(story: &Story<'_>) -> String {
    let files = &story.data.left_out;
    if files.is_empty() {
        return "<p>Every file was an image that could be read.</p>\n".into();
    }
    let counts = by_reason(files).into_iter().map(|(reason, count)| format!("{count} {reason}"));
    let counts: Vec<String> = counts.collect();
    let shown = files.iter().take(LISTED);
    let rows = shown.map(|one| vec![escape(one.path.display()), one.reason.to_string(), escape(&one.detail)]);
    let mut title = format!("{} files were left out: {}", files.len(), counts.join(", "));
    if files.len() > LISTED {
        title.push_str(&format!("; the first {LISTED}"));
    }
    details(&title, &table(&["file", "reason", "detail"], &rows.collect::<Vec<_>>()))
}
