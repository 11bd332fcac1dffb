//! A CSV file with a header: `path,label` and, if it likes, `split`. Paths are relative to the file's folder.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::listing::{Entry, Part};

/// Columns it may have; the last may be missing.
const COLUMNS: [&str; 3] = ["path", "label", "split"];

/// Lists a file.
///
/// # Errors
/// With the line: when it cannot be read, a column is missing, unknown or there twice, a cell is empty, or a split is
/// none.
pub(super) fn read(file: &Path) -> Result<Vec<Entry>> {
    let context = || file.display().to_string();
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_path(file).with_context(context)?;
    let columns = columns(reader.headers().with_context(context)?).with_context(context)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record.with_context(context)?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = || format!("{} line {line}", file.display());
        entries.push(entry(&record, &columns, (folder, line)).with_context(place)?);
    }
    ensure!(!entries.is_empty(), "{} lists no image", file.display());
    Ok(entries)
}

/// Where each of [`COLUMNS`] stands.
fn columns(header: &StringRecord) -> Result<[Option<usize>; 3]> {
    let mut places = [None; 3];
    for (place, name) in header.iter().enumerate() {
        let Some(column) = COLUMNS.iter().position(|column| *column == name) else {
            bail!("line 1: column {name:?} is not known; expected path, label and split");
        };
        ensure!(places[column].replace(place).is_none(), "line 1: column {name} stands twice");
    }
    for (name, place) in COLUMNS.iter().zip(places).take(2) {
        ensure!(place.is_some(), "line 1: there is no column {name}; expected path, label and split");
    }
    Ok(places)
}

fn entry(record: &StringRecord, columns: &[Option<usize>; 3], (folder, line): (&Path, u64)) -> Result<Entry> {
    let cell = |column: usize| columns[column].and_then(|place| record.get(place));
    let filled = |column: usize| {
        let text = cell(column).unwrap_or_default();
        ensure!(!text.is_empty(), "the {} is empty", COLUMNS[column]);
        Ok(text)
    };
    let part = match cell(2) {
        None => Part::Train,
        Some(name) => Part::named(name)
            .with_context(|| format!("the split is {name:?}, expected train, validation or test"))?,
    };
    Ok(Entry { path: folder.join(filled(0)?), label: filled(1)?.to_owned(), part, line: Some(line) })
}
