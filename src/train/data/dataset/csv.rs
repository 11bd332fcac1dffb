//! A list of images as CSV. The header names path, label and optionally split. Paths are relative to the list's folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};
use rayon::prelude::*;

use super::entry::{Entry, Part};
use super::header::{self, Column, Header, Label, MARKS};
use super::left_out::{LeftOut, Reason};
use super::text::{read_text, text};
use super::tree::look;
use crate::pack::ProblemType;

/// Lists a file; skips files that are missing or are not images.
///
/// # Errors
/// With the line: when it cannot be read, a column is missing or there twice, a cell is empty, or a split is none; with
/// the class when none of its images is left.
pub(super) fn read(file: &Path, problem: ProblemType, left_out: &mut Vec<LeftOut>) -> Result<Listed> {
    let text = read_text(file)?;
    let entries = parse(&text, file, problem)?;
    let looked: Vec<_> = entries.par_iter().map(|entry| look(&entry.path)).collect();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for (entry, looked) in entries.into_iter().zip(looked) {
        match looked {
            Ok(()) => there.push(entry),
            Err(why) => {
                left_out.push(LeftOut { detail: line(&entry, &why.detail), ..why });
                gone.push(entry);
            }
        }
    }
    if problem.is_single_label() {
        check_classes(file, &there, (&gone, left_out))?;
    }
    Ok(Listed { entries: there, label: header::read(&text, problem)?.label })
}

/// The content of a list.
pub(super) struct Listed {
    /// Its images.
    pub entries: Vec<Entry>,
    /// Where its labels stood.
    pub label: Label,
}

/// Parses a CSV file from its bytes and counts the lines; the files themselves are not checked.
///
/// # Errors
/// With the line that is wrong.
pub fn parse_list(bytes: &[u8], file: &Path) -> Result<usize> {
    Ok(parse(&text(bytes)?, file, ProblemType::SingleLabelClassification)?.len())
}

/// The lines of a list; the files themselves are not checked.
///
/// # Errors
/// As [`read`], but for what lies behind the paths.
pub(super) fn parse(text: &str, file: &Path, problem: ProblemType) -> Result<Vec<Entry>> {
    let context = || file.display().to_string();
    let header = header::read(text, problem).with_context(context)?;
    let mut reader =
        ReaderBuilder::new().delimiter(header.delimiter).trim(Trim::All).from_reader(text.as_bytes());
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record.with_context(context)?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = || format!("{} line {line}", file.display());
        let entry = entry(&record, &header, (folder, line)).with_context(place)?;
        // An image may show none of several labels.
        let is_bare = entry.label.is_empty() && problem != ProblemType::MultiLabelClassification;
        ensure!(!is_bare, "{}: the label is empty", place());
        entries.push(entry);
    }
    ensure!(!entries.is_empty(), "{} lists no image", file.display());
    Ok(entries)
}

fn entry(record: &StringRecord, header: &Header, (folder, line): (&Path, u64)) -> Result<Entry> {
    let part = match header.split.and_then(|place| record.get(place)) {
        None => Part::Train,
        Some(name) => Part::named(name)
            .with_context(|| format!("the split is {name:?}, expected train, validation or test"))?,
    };
    let path = record.get(header.path).unwrap_or_default();
    ensure!(!path.is_empty(), "the path is empty");
    let path = located(folder, path);
    let label = match &header.label {
        Label::In(column) => record.get(column.place).unwrap_or_default().to_owned(),
        Label::Each(columns) => applying(record, columns)?.join(&MARKS[0].to_string()),
    };
    Ok(Entry { path, label, part, line: Some(line) })
}

/// Names of the columns that say yes.
fn applying<'c>(record: &StringRecord, columns: &'c [Column]) -> Result<Vec<&'c str>> {
    let mut found = Vec::new();
    for Column { place, name } in columns {
        match record.get(*place).unwrap_or_default().to_lowercase().as_str() {
            "1" | "1.0" | "true" => found.push(name.as_str()),
            "0" | "0.0" | "false" => {}
            other => bail!(
                "column {name} holds {other:?}, expected 0 or 1: without a column labels, every column but path and \
                 split is a label"
            ),
        }
    }
    Ok(found)
}

/// The file that a cell names; one with backslashes, as Windows writes it, where there is none of that very name.
fn located(folder: &Path, cell: &str) -> PathBuf {
    let path = folder.join(cell);
    match cell.contains('\\') && path.symlink_metadata().is_err() {
        true => folder.join(cell.replace('\\', "/")),
        false => path,
    }
}

fn line(entry: &Entry, detail: &str) -> String {
    let line = entry.line.map(|line| format!("line {line}")).unwrap_or_default();
    if detail.is_empty() { line } else { format!("{line}: {detail}") }
}

/// A class must not vanish with its images.
fn check_classes(file: &Path, there: &[Entry], (gone, left_out): (&[Entry], &[LeftOut])) -> Result<()> {
    let left: std::collections::BTreeSet<(&str, Part)> =
        there.iter().map(|entry| (entry.label.as_str(), entry.part)).collect();
    let lost = gone.iter().find(|entry| !left.contains(&(entry.label.as_str(), entry.part)));
    let Some(lost) = lost else { return Ok(()) };
    let count = gone.iter().filter(|entry| (&entry.label, entry.part) == (&lost.label, lost.part)).count();
    let why = left_out.iter().find(|one| one.path == lost.path).map(LeftOut::to_string).unwrap_or_default();
    let (file, label, part) = (file.display(), &lost.label, lost.part.adjective());
    bail!("{file}: class {label} has no {part} image left: {count} are left out, the first {why}")
}

/// Why a repeated entry is skipped.
pub(super) fn repeated(entry: &Entry, first: &str) -> LeftOut {
    LeftOut::new(
        entry.path.clone(),
        Reason::Duplicate,
        line(entry, &format!("it is listed at {first} already")),
    )
}
