//! The first line of a list: names of the columns, and the delimiter.

use anyhow::{Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};

use crate::pack::ProblemType;

/// Delimiters that are tried.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The columns that are read, each with the names it goes by.
const COLUMNS: [&[&str]; 3] = [
    &[
        "path",
        "file",
        "filename",
        "filepath",
        "image",
        "imagepath",
        "imagefile",
        "imagename",
        "img",
        "imgpath",
    ],
    &["label", "class", "category", "target", "classname", "labelname"],
    &["split", "subset", "partition", "set", "phase"],
];

/// Marks between the labels, or values, of one image.
pub(super) const MARKS: [char; 2] = [';', '|'];

/// Names of the label's column where it has none of those above.
const LABELS: [&str; 4] = ["labels", "value", "values", "targets"];

/// Where each column stands; a list may have none for the split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub delimiter: u8,
    pub path: usize,
    pub label: Label,
    pub split: Option<usize>,
}

/// Where labels stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// In one column of that name.
    In(Column),
    /// In a column each, which holds 1 where the label applies and 0 where not.
    Each(Vec<Column>),
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub place: usize,
    /// Its name, as it is written.
    pub name: String,
}

/// Parses the header of `text`. Without a column of labels, a list of several labels an image has a column for each.
///
/// # Errors
/// When the path or the label is missing, or a column occurs twice.
pub(super) fn read(text: &str, problem: ProblemType) -> Result<Header> {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |d: &u8| line.bytes().filter(|byte| byte == d).count();
    let likeliest = DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',');
    let there = DELIMITERS.into_iter().filter(|d| *d != likeliest && count(d) > 0);
    let understood = |delimiter| columns(&first(text, delimiter)?, delimiter, problem);
    let refused = match understood(likeliest) {
        Ok(header) => return Ok(header),
        Err(refused) => refused,
    };
    // A name may hold more of another mark than there are columns.
    there.map(understood).find_map(Result::ok).ok_or(refused)
}

/// The first line's cells.
fn first(text: &str, delimiter: u8) -> Result<StringRecord> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).trim(Trim::All).from_reader(text.as_bytes());
    Ok(reader.headers()?.clone())
}

fn columns(header: &StringRecord, delimiter: u8, problem: ProblemType) -> Result<Header> {
    let mut places = [None; 3];
    for (place, name) in header.iter().enumerate() {
        let plain = plain(name);
        let Some(column) = COLUMNS.iter().position(|names| names.contains(&plain.as_str())) else { continue };
        if let Some(first) = places[column].replace(place) {
            let (first, meaning) = (&header[first], COLUMNS[column][0]);
            ensure!(first != name, "line 1: column {name} occurs twice");
            bail!("line 1: columns {first} and {name} can both be the {meaning}: rename or remove one");
        }
    }
    if places[1].is_none() {
        places[1] = header.iter().position(|name| LABELS.contains(&plain(name).as_str()));
    }
    let found = |column: usize| {
        let names = COLUMNS[column];
        let cells: Vec<String> = header.iter().map(|cell| format!("{cell:?}")).collect();
        places[column].ok_or_else(|| {
            let (missing, all, cells) = (names[0], names.join(", "), cells.join(", "));
            anyhow::anyhow!("line 1: there is no column {missing} (or {all}) among {cells}; expected path, label and split")
        })
    };
    let (path, split) = (found(0)?, places[2]);
    let label = match (places[1], problem) {
        (None, ProblemType::MultiLabelClassification) => Label::Each(each(header, &[Some(path), split])?),
        _ => Label::In(column(header, found(1)?)),
    };
    Ok(Header { delimiter, path, label, split })
}

fn column(header: &StringRecord, place: usize) -> Column {
    Column { place, name: header.get(place).unwrap_or_default().to_owned() }
}

/// Every column but those `taken`: a label each.
fn each(header: &StringRecord, taken: &[Option<usize>]) -> Result<Vec<Column>> {
    let free = (0..header.len()).filter(|place| !taken.contains(&Some(*place)));
    let labels: Vec<Column> = free.map(|place| column(header, place)).collect();
    ensure!(!labels.is_empty(), "line 1: there is no column of labels, nor one for each label");
    for (at, Column { name, .. }) in labels.iter().enumerate() {
        ensure!(!name.is_empty(), "line 1: a column has no name, so its label would have none");
        let mark = name.chars().find(|mark| MARKS.contains(mark));
        ensure!(mark.is_none(), "line 1: the label {name:?} holds {mark:?}, which separates labels");
        ensure!(labels[..at].iter().all(|other| other.name != *name), "line 1: column {name} occurs twice");
    }
    Ok(labels)
}

/// A name without case, blanks and joints.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
