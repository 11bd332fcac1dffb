//! The held-out images the model finds hardest.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::html::{escape, percent, section as part};
use super::story::Story;
use crate::train::measure::examine::Verdict;

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
    let (shows, taken) = (name(verdict.class), name(verdict.predicted));
    body.push_str("<div class=\"card\">");
    if let Some(png) = png {
        let _ = write!(body, "<img alt=\"{shows}\" src=\"data:image/png;base64,{}\">", STANDARD.encode(png));
    }
    if verdict.predicted == verdict.class {
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
