//! The images: counts by class, and skipped files.

use super::html::{details, escape, section as part, table};
use super::story::Story;
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
    let classes = table(&["class", "trained on", "held out"], &rows.collect::<Vec<_>>());
    let mut body = match counts.len() <= OPEN {
        true => classes,
        false => details(&format!("All {} classes", counts.len()), &classes),
    };
    body.push_str(&left_out(story));
    let mut trained: Vec<usize> = counts.iter().map(|count| count.trained).collect();
    trained.sort_unstable();
    let at = |place: usize| trained.get(place).copied().unwrap_or(0);
    let lead = format!(
        "{} images trained on, {} held out ({}). Training images a class: {} at least, {} in the middle, {} at most.",
        story.provenance.train_images,
        story.provenance.validation_images,
        escape(&story.data.held_out),
        at(0),
        at(trained.len() / 2),
        at(trained.len().saturating_sub(1))
    );
    part("Data", &lead, &body)
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
