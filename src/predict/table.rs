//! Lines of JSON as CSV: a row a prediction, and one for whatever failed.

use std::fs::File;
use std::io::BufRead;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

/// Columns, in order.
const COLUMNS: [&str; 10] =
    ["image", "task", "version", "rank", "label", "index", "score", "value", "abstained", "error"];

/// Writes the table of all lines.
pub(super) fn write(lines: impl BufRead, to: &Path) -> Result<()> {
    let mut table = csv::Writer::from_writer(File::create_new(to)?);
    table.write_record(COLUMNS)?;
    for line in lines.split(b'\n') {
        let line: Value = serde_json::from_slice(&line?)?;
        rows(&line).into_iter().try_for_each(|row| table.write_record(row))?;
    }
    table.flush()?;
    table.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(())
}

type Row = [String; COLUMNS.len()];

fn rows(line: &Value) -> Vec<Row> {
    let image = text(&line["image"]);
    let Some(results) = line["results"].as_array() else {
        return vec![failed(image, "", &line["error"])];
    };
    results.iter().flat_map(|result| of_task(&image, result)).collect()
}

fn of_task(image: &str, result: &Value) -> Vec<Row> {
    let task = text(&result["task"]);
    let Some(predictions) = result["predictions"].as_array() else {
        return vec![failed(image.to_owned(), &task, &result["error"])];
    };
    let row = |(rank, prediction): (usize, &Value)| {
        [
            image.to_owned(),
            task.clone(),
            text(&result["version"]),
            (rank + 1).to_string(),
            text(&prediction["label"]),
            text(&prediction["index"]),
            text(&prediction["score"]),
            text(&prediction["value"]),
            text(&result["abstained"]),
            String::new(),
        ]
    };
    predictions.iter().enumerate().map(row).collect()
}

fn failed(image: String, task: &str, error: &Value) -> Row {
    let mut row = Row::default();
    (row[0], row[1], row[9]) = (image, task.to_owned(), text(error));
    row
}

/// A text as it is, a number or truth value as JSON writes it, nothing for nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
