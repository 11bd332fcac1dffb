//! Labels or values one by one.

use super::html::{escape, percent, section as part, table};
use super::story::Story;
use crate::pack::ProblemType;
use crate::train::measure::judged::{Answers, Judged};
use crate::train::measure::scorer::Scorer;

/// A row a label or a value, of the test images too where there are some.
pub(super) fn section(story: &Story<'_>) -> String {
    let held_out = rows(story, &story.examined.scorer);
    let test = rows(story, &story.data.test_scorer);
    let (title, lead, columns): (_, _, &[&str]) = match story.decision.problem {
        ProblemType::Regression => (
            "Value by value",
            "Held-out images; errors in the value's own unit.",
            &["value", "mean absolute error", "root mean square error", "R²"],
        ),
        _ => (
            "Label by label",
            "Held-out images. Each label's threshold is the one of its highest F1 on these very images, so precision, \
             recall and F1 are somewhat flattering; no threshold changes the average precision.",
            &["label", "images", "average precision", "threshold", "precision", "recall", "F1"],
        ),
    };
    let mut body = table(columns, &held_out);
    if !test.is_empty() {
        body.push_str(&format!("<h3>Test images, which chose nothing</h3>\n{}", table(columns, &test)));
    }
    part(title, lead, &body)
}

fn rows(story: &Story<'_>, scorer: &Scorer) -> Vec<Vec<String>> {
    Answers::of(scorer, story.labels, story.decision).judged.iter().map(cells).collect()
}

fn cells(judged: &Judged) -> Vec<String> {
    match judged {
        Judged::Label { label, images, average_precision, threshold, precision, recall, f1 } => vec![
            escape(label),
            images.to_string(),
            average_precision.map_or("–".into(), percent),
            format!("{threshold:.3}"),
            percent(*precision),
            percent(*recall),
            percent(*f1),
        ],
        Judged::Value { value, mean_absolute_error, root_mean_square_error, r2 } => vec![
            escape(value),
            format!("{mean_absolute_error:.4}"),
            format!("{root_mean_square_error:.4}"),
            format!("{r2:.4}"),
        ],
    }
}
