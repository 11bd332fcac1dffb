//! Names of classes.

use anyhow::{Result, ensure};
use serde_json::Value;

/// Most labels that are read.
const MOST: usize = 100_000;

/// The names given, which must be as many as there are classes; numbers where none are given.
pub(super) fn of_classes(given: Option<&[String]>, classes: usize) -> Result<Vec<String>> {
    let Some(labels) = given else { return Ok((0..classes).map(|class| format!("class-{class}")).collect()) };
    ensure!(labels.len() == classes, "{} labels for a head of {classes} classes", labels.len());
    Ok(labels.to_vec())
}

/// The labels of a configuration, by `id2label` or `label2id`; none where it has neither.
///
/// # Errors
/// A sentence, when they do not number the classes from 0 on.
pub fn labels_of_config(config: &Value) -> Result<Option<Vec<String>>, String> {
    let pairs: Vec<(Option<usize>, Option<&str>)> = match (&config["id2label"], &config["label2id"]) {
        (Value::Object(map), _) => map.iter().map(|(id, label)| (id.parse().ok(), label.as_str())).collect(),
        (_, Value::Object(map)) => map.iter().map(|(label, id)| (number(id), Some(label.as_str()))).collect(),
        _ => return Ok(None),
    };
    let count = pairs.len();
    if count == 0 || count > MOST {
        return Err(format!("id2label has {count} labels, expected 1 to {MOST}"));
    }
    let mut labels = vec![None; count];
    for (id, label) in pairs {
        match id.and_then(|id| labels.get_mut(id)) {
            Some(place) if place.is_none() => *place = label.map(str::to_owned),
            _ => return Err(format!("id2label does not number its {count} labels from 0 on, each once")),
        }
    }
    let labels: Option<Vec<String>> = labels.into_iter().collect();
    labels.map(Some).ok_or_else(|| "id2label has a label that is not a text".into())
}

fn number(id: &Value) -> Option<usize> {
    id.as_u64().and_then(|id| id.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_put_in_order_or_refused() {
        let of = |config: Value| labels_of_config(&config);
        let two = Ok(Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(of(json!({"id2label": {"1": "b", "0": "a"}})), two);
        assert_eq!(of(json!({"label2id": {"b": 1, "a": 0}})), two);
        assert_eq!(of(json!({"id2label": null})), Ok(None));
        for odd in [json!({"id2label": {"1": "a"}}), json!({"label2id": {"a": 0, "b": 0}})] {
            assert!(of(odd).unwrap_err().contains("from 0 on"));
        }
        assert!(of(json!({"id2label": {"0": 3}})).unwrap_err().contains("not a text"));
        assert!(of(json!({"id2label": {}})).is_err());
    }
}
