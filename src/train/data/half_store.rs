//! Rows of numbers kept as halves (f16), in memory or in an unnamed file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use half::f16;

use super::row_store::unnamed;

/// Bytes of a half.
const BYTES: usize = 2;

/// Rows of `size` numbers each.
#[derive(Clone, Debug)]
pub struct HalfStore {
    size: usize,
    count: usize,
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    Memory(Arc<Vec<f16>>),
    File(Arc<File>),
}

impl HalfStore {
    /// No rows yet, in memory with room for `rows`, or in a file made at `path` that goes with the process.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(size: usize, rows: usize, path: Option<&Path>) -> Result<Self> {
        let store = match path {
            None => Store::Memory(Arc::new(Vec::with_capacity(rows * size))),
            Some(path) => Store::File(Arc::new(unnamed(path)?)),
        };
        Ok(Self { size, count: 0, store })
    }

    /// Adds whole rows, rounded to the nearest half.
    ///
    /// # Errors
    /// When a number is too large for a half or the disk is full.
    pub fn push(&mut self, values: &[f32]) -> Result<()> {
        let large = values.iter().find(|&&value| !f16::from_f32(value).is_finite());
        ensure!(large.is_none(), "{} is too large for a 16-bit float", large.unwrap_or(&f32::NAN));
        let halves = values.iter().map(|&value| f16::from_f32(value));
        match &mut self.store {
            Store::Memory(all) => Arc::make_mut(all).extend(halves),
            Store::File(file) => {
                let bytes: Vec<u8> = halves.flat_map(f16::to_le_bytes).collect();
                file.write_all_at(&bytes, (self.count * self.size * BYTES) as u64)
                    .context("variants that exceed the memory could not be kept on disk")?;
            }
        }
        self.count += values.len() / self.size;
        Ok(())
    }

    /// The rows at these places, one behind another.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn gather(&self, places: &[usize]) -> Result<Vec<f32>> {
        let mut found = Vec::with_capacity(places.len() * self.size);
        for &place in places {
            match &self.store {
                Store::Memory(all) => {
                    let row = &all[place * self.size..(place + 1) * self.size];
                    found.extend(row.iter().map(|half| half.to_f32()));
                }
                Store::File(file) => {
                    let row = self.size * BYTES;
                    let mut bytes = vec![0; row];
                    file.read_exact_at(&mut bytes, (place * row) as u64).context("kept variants")?;
                    found
                        .extend(bytes.chunks_exact(BYTES).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_halves_from_memory_and_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let values = [0.1, -2.5, 60_001.0, 0.333, 5.0, -0.0];
        let halves = values.map(|value| f16::from_f32(value).to_f32());
        for path in [None, Some(dir.path().join("rows"))] {
            let mut store = HalfStore::new(2, 3, path.as_deref()).unwrap();
            store.push(&values[..2]).unwrap();
            store.push(&values[2..]).unwrap();
            assert_eq!(store.gather(&[2, 0]).unwrap(), [halves[4], halves[5], halves[0], halves[1]]);
            assert!(store.push(&[1.0, 70_000.0]).unwrap_err().to_string().contains("70000"));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
    }
}
