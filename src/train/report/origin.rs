//! Everything that is needed to do it again.

use serde_json::Value;

use super::html::{list, section as part};
use super::story::Story;

/// Settings, seeds, fingerprints and versions.
pub(super) fn section(story: &Story<'_>) -> String {
    let (provenance, config) = (story.provenance, story.config);
    let mut pairs = vec![
        ("method".to_owned(), provenance.method.clone()),
        ("dataset".to_owned(), provenance.dataset.clone()),
        ("held out".to_owned(), story.data.held_out.clone()),
        ("seed of the split".to_owned(), provenance.seed.to_string()),
        ("backbone".to_owned(), config.name.clone()),
        ("backbone SHA-256".to_owned(), config.fingerprint.clone()),
        ("precision".to_owned(), story.precision.to_string()),
        ("image side, pixels".to_owned(), config.image_size().to_string()),
        ("mimi-server".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    // The cycles have a table of their own.
    for (name, value) in provenance.details.iter().filter(|(name, _)| *name != "cycles") {
        pairs.push((name.replace('_', " "), text(value)));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    part("Provenance", "What it takes to do this again.", &list(&pairs))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(name, value)| format!("{name} {}", text(value))).collect();
            pairs.join(", ")
        }
        other => other.to_string(),
    }
}
