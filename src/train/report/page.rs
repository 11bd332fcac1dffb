//! The page: one section after the other.

use anyhow::Result;

use super::story::Story;
use super::{confusion, cost, curves, data, hardest, html, origin, outputs, summary, survivors};

/// Name of the page in a version's folder.
pub const REPORT_FILE: &str = "report.html";

/// The page.
///
/// # Errors
/// When a curve cannot be drawn or the backbone's cost cannot be counted.
pub fn page(story: &Story<'_>) -> Result<String> {
    let sections = [
        summary::section(story)?,
        curves::section(story)?,
        survivors::section(story),
        cost::section(story)?,
        match story.decision.problem.is_single_label() {
            true => confusion::section(story),
            false => outputs::section(story),
        },
        hardest::section(story),
        data::section(story),
        origin::section(story),
    ];
    Ok(html::document(&format!("{} – training report", story.task), &sections.concat()))
}
