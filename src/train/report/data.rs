//! The images: how many of each class, and which could not be read.

use super::Story;
use super::html::{details, escape, section as part, table};

/// Most classes that are shown unasked.
const OPEN: usize = 24;

/// Counts and unreadable files.
pub(super) fn section(story: &Story<'_>) -> String {
    let counts = &story.data.counts;
    let rows =
        story.labels.iter().zip(counts).map(|(label, (trained, held_out))| {
            vec![escape(label), trained.to_string(), held_out.to_string()]
        });
    let classes = table(&["class", "trained on", "held out"], &rows.collect::<Vec<_>>());
    let mut body = match counts.len() <= OPEN {
        true => classes,
        false => details(&format!("All {} classes", counts.len()), &classes),
    };
    body.push_str(&unreadable(story));
    let mut trained: Vec<usize> = counts.iter().map(|&(trained, _)| trained).collect();
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

fn unreadable(story: &Story<'_>) -> String {
    let files = &story.data.unreadable;
    if files.is_empty() {
        return "<p>Every file could be read.</p>\n".into();
    }
    let rows = files.iter().map(|(path, reason)| vec![escape(path.display()), escape(reason)]);
    let title = format!("{} files could not be read and were left out", files.len());
    details(&title, &table(&["file", "reason"], &rows.collect::<Vec<_>>()))
}
