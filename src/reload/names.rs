//! The file with the names of the tasks whose packs are in memory, a name a line.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::files;
use crate::pack::TaskId;
use crate::text::brief;

/// Most names in the file.
pub(super) const MOST: usize = 65_536;
/// Largest file that is read, bytes: no name has more than 64.
const LARGEST: u64 = MOST as u64 * 65;

pub(super) fn text(names: &BTreeSet<TaskId>) -> String {
    names.iter().map(|task| format!("{task}\n")).collect()
}

pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    files::write_atomically(file, text.as_bytes())
}

/// The names in a file; none where there is no file. Lines that are no names are left out, and the first of them is told.
pub(super) fn read(file: &Path) -> io::Result<BTreeSet<TaskId>> {
    let bytes = match fs::metadata(file) {
        Ok(data) if data.len() > LARGEST => {
            return Err(io::Error::other(format!("{} bytes: at most {LARGEST}", data.len())));
        }
        Ok(_) => fs::read(file)?,
        Err(error) if files::is_absence(&error) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let (names, wrong) = parse(&text);
    if let Some(line) = wrong.first() {
        let (file, line, count) = (file.display(), brief(line), wrong.len());
        tracing::warn!(%file, line, count, "lines that name no task are left out");
    }
    Ok(names)
}

/// The names, and the lines that are none.
fn parse(text: &str) -> (BTreeSet<TaskId>, Vec<&str>) {
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in text.lines().take(MOST) {
        match line.parse() {
            Ok(name) => drop(names.insert(name)),
            Err(_) => wrong.push(line),
        }
    }
    (names, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_wrong_line_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resident");
        assert!(read(&file).unwrap().is_empty());
        let names: BTreeSet<TaskId> = ["a.one", "b", "c-2"].map(|name| name.parse().unwrap()).into();
        write(&file, &text(&names)).unwrap();
        assert_eq!(read(&file).unwrap(), names);
        fs::write(&file, b"a.one\n../b\nb\n\xff\nc-2\n").unwrap();
        assert_eq!(read(&file).unwrap(), names);
        assert_eq!(parse("a\n../b\n\nc").1, ["../b", ""]);
        fs::write(&file, vec![b'a'; LARGEST as usize + 1]).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("at most"));
    }
}
