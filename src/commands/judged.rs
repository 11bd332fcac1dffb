//! Answers beyond their score: labels or values one by one, as a table, and what abstaining gives.

use mimi_server::train::{Abstention, Answers, Judged};

/// Prints answers on the images of a part.
pub fn show(part: &str, answers: &Answers) {
    if let Some(Abstention { below, kept, accuracy }) = answers.abstention {
        println!(
            "abstains below {below:.4}: keeps {kept:.4} of the {part} images, {accuracy:.4} of them right"
        );
    }
    let judged = &answers.judged;
    if !judged.is_empty() {
        println!("{part} images:");
    }
    match judged.first() {
        None => {}
        Some(Judged::Label { .. }) => println!(
            "{:<24} {:>6} {:>9} {:>9} {:>9} {:>8} {:>8}",
            "label", "images", "AP", "threshold", "precision", "recall", "F1"
        ),
        Some(Judged::Value { .. }) => println!("{:<24} {:>12} {:>12} {:>8}", "value", "MAE", "RMSE", "R²"),
    }
    judged.iter().for_each(line);
}

fn line(judged: &Judged) {
    match judged {
        Judged::Label { label, images, average_precision, threshold, precision, recall, f1 } => {
            let found = average_precision.map_or_else(|| "-".to_owned(), |share| format!("{share:.4}"));
            println!(
                "{label:<24} {images:>6} {found:>9} {threshold:>9.4} {precision:>9.4} {recall:>8.4} {f1:>8.4}"
            );
        }
        Judged::Value { value, mean_absolute_error, root_mean_square_error, r2 } => {
            println!("{value:<24} {mean_absolute_error:>12.4} {root_mean_square_error:>12.4} {r2:>8.4}");
        }
    }
}
