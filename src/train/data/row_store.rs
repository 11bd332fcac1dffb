//! Rows of numbers of equal length, in memory or in an unnamed file.

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

/// Bytes of a number.
const BYTES: usize = 4;

/// Rows of `size` numbers each.
#[derive(Clone, Debug)]
pub struct RowStore {
    size: usize,
    count: usize,
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    Memory(Vec<f32>),
    /// Shared by clones, and changed by none while it is.
    File(Arc<File>),
}

impl RowStore {
    /// No rows yet, in memory, with room for `capacity` numbers: as many as the rows will have at their longest.
    pub fn in_memory(size: usize, capacity: usize) -> Self {
        Self { size, count: 0, store: Store::Memory(Vec::with_capacity(capacity)) }
    }

    /// No rows yet, in a file made at `path`. The file loses its name at once, so that it goes with the process,
    /// however that ends.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn in_file(size: usize, path: &Path) -> Result<Self> {
        Ok(Self { size, count: 0, store: Store::File(Arc::new(unnamed(path)?)) })
    }

    /// Numbers in a row.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds whole rows.
    ///
    /// # Errors
    /// When they are not whole or the disk is full.
    pub fn push(&mut self, rows: &[f32]) -> Result<()> {
        ensure!(
            rows.len().is_multiple_of(self.size),
            "{} numbers do not fill rows of {}",
            rows.len(),
            self.size
        );
        let end = self.count * self.size;
        match &mut self.store {
            Store::Memory(values) => values.extend_from_slice(rows),
            Store::File(file) => write(file, rows, end)?,
        }
        self.count += rows.len() / self.size;
        Ok(())
    }

    /// The rows at `indices`, one after the other.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn gather(&self, indices: &[usize]) -> Result<Vec<f32>> {
        let mut found = Vec::with_capacity(indices.len() * self.size);
        for &index in indices {
            self.append(&mut found, index..index + 1)?;
        }
        Ok(found)
    }

    /// The rows of a range.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn range(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        let mut found = Vec::with_capacity(rows.len() * self.size);
        self.append(&mut found, rows)?;
        Ok(found)
    }

    /// Replaces every row by what `change` makes of it, a row of `size` numbers, taking at most `batch` at a time.
    /// Happens in place: at no time are there both the old and the new rows.
    ///
    /// # Errors
    /// Those of `change`; when rows are shared; when the disk is full. The rows are then unusable.
    pub fn replace(
        &mut self,
        size: usize,
        batch: usize,
        mut change: impl FnMut(Vec<f32>) -> Result<Vec<f32>>,
    ) -> Result<()> {
        let (old, count) = (self.size, self.count);
        if let Store::Memory(values) = &mut self.store {
            values.resize(count * old.max(size), 0.0);
        }
        let mut starts: Vec<usize> = (0..count).step_by(batch).collect();
        if size > old {
            // Longer rows end later: from the back, so that none is written over before it is read.
            starts.reverse();
        }
        for start in starts {
            let rows = self.range(start..(start + batch).min(count))?;
            let fresh = change(rows)?;
            self.put(&fresh, start * size)?;
        }
        if let Store::Memory(values) = &mut self.store {
            values.truncate(count * size);
            if 2 * size < old {
                values.shrink_to_fit();
            }
        }
        self.size = size;
        Ok(())
    }

    fn put(&mut self, values: &[f32], place: usize) -> Result<()> {
        match &mut self.store {
            Store::Memory(all) => all[place..place + values.len()].copy_from_slice(values),
            Store::File(file) => {
                ensure!(
                    Arc::get_mut(file).is_some(),
                    "rows in a file cannot be changed while they are shared"
                );
                write(file, values, place)?;
            }
        }
        Ok(())
    }

    fn append(&self, found: &mut Vec<f32>, rows: Range<usize>) -> Result<()> {
        let place = rows.start * self.size..rows.end * self.size;
        match &self.store {
            Store::Memory(values) => found.extend_from_slice(&values[place]),
            Store::File(file) => {
                let mut bytes = vec![0; place.len() * BYTES];
                file.read_exact_at(&mut bytes, (place.start * BYTES) as u64).context("kept rows")?;
                let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                found.extend(bytes.chunks_exact(BYTES).map(number));
            }
        }
        Ok(())
    }
}

/// A file made at `path` that loses its name at once, so that it goes with the process, however that ends.
pub(super) fn unnamed(path: &Path) -> Result<File> {
    let context = || path.display().to_string();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).with_context(context)?;
    fs::remove_file(path).with_context(context)?;
    Ok(file)
}

fn write(file: &File, values: &[f32], place: usize) -> Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    file.write_all_at(&bytes, (place * BYTES) as u64)
        .context("rows that exceed the memory could not be kept on disk")
}
