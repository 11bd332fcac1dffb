//! The first line of a list: names of the columns, and the delimiter.

use anyhow::{Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};

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

/// Names of the label's column where it has none of those above.
const LABELS: [&str; 4] = ["labels", "value", "values", "targets"];

/// Where each column stands; a list may have none for the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub delimiter: u8,
    pub path: usize,
    pub label: usize,
    pub split: Option<usize>,
}

/// Parses the header of `text`.
///
/// # Errors
/// When the path or the label is missing, or a column occurs twice.
pub(super) fn read(text: &str) -> Result<Header> {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |d: &u8| line.bytes().filter(|byte| byte == d).count();
    let likeliest = DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',');
    let there = DELIMITERS.into_iter().filter(|d| *d != likeliest && count(d) > 0);
    let understood = |delimiter| columns(&first(text, delimiter)?, delimiter);
    let refused = match understood(likeliest) {
        Ok(header) => return Ok(header),
        Err(refused) => refused,
    };
    // A name may hold more of another mark than there are columns.
    there.map(understood).find_map(Result::ok).ok_or(refused)
}

/// The name of the column of labels, as it is written.
///
/// # Errors
/// As [`read`].
pub(super) fn label_name(text: &str) -> Result<String> {
    let Header { delimiter, label, .. } = read(text)?;
    Ok(first(text, delimiter)?.get(label).unwrap_or_default().to_owned())
}

/// The first line's cells.
fn first(text: &str, delimiter: u8) -> Result<StringRecord> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).trim(Trim::All).from_reader(text.as_bytes());
    Ok(reader.headers()?.clone())
}

fn columns(header: &StringRecord, delimiter: u8) -> Result<Header> {
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
    Ok(Header { delimiter, path: found(0)?, label: found(1)?, split: places[2] })
}

/// A name without case, blanks and joints.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
