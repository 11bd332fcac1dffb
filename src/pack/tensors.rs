//! Tensors of a file, trusting nothing in it.

use safetensors::{Dtype, SafeTensors};

use super::small::{Bits, CODES, HEAD_WEIGHT, SCALE, Small};
use super::{Error, Manifest};

/// The tensors of a pack's file, and how many of them were read.
pub(super) struct Tensors<'a> {
    pub file: SafeTensors<'a>,
    pub read: usize,
}

impl Tensors<'_> {
    /// The finite fp32 values of a tensor that must have `shape`.
    pub fn floats(&mut self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let bytes = self.bytes(tensor, Dtype::F32, shape)?;
        let values: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(Error::NotFinite { tensor: tensor.into(), index, value: values[index] }),
            None => Ok(values),
        }
    }

    pub fn bytes(&mut self, tensor: &str, dtype: Dtype, shape: &[usize]) -> Result<&[u8], Error> {
        let missing = |_| Error::Missing { tensor: tensor.into(), expected: shape.to_vec() };
        let view = self.file.tensor(tensor).map_err(missing)?;
        if view.dtype() != dtype || view.shape() != shape {
            let found = format!("{:?} {:?}", view.dtype(), view.shape());
            return Err(Error::Mismatch {
                tensor: tensor.into(),
                found,
                expected: format!("{dtype:?} {shape:?}"),
            });
        }
        self.read += 1;
        Ok(view.data())
    }

    /// A matrix `[in, out]` at few bits, expanded.
    pub fn small(
        &mut self,
        key: &str,
        (input, output): (usize, usize),
        bits: Bits,
    ) -> Result<Vec<f32>, Error> {
        let (codes, scale) = (format!("{key}.{CODES}"), format!("{key}.{SCALE}"));
        let count = if key == HEAD_WEIGHT { output } else { bits.scales() };
        let scales = self.floats(&scale, &[count])?;
        // Of the two numbers of a whole matrix the first is a mean, which may be negative.
        let first = usize::from(bits != Bits::Eight);
        if let Some(index) = scales[first..].iter().position(|scale| *scale < 0.0) {
            let found = format!("{} at {}", scales[first + index], first + index);
            return Err(Error::Mismatch { tensor: scale, found, expected: "0 or more".into() });
        }
        let bytes = self.bytes(&codes, Dtype::U8, &[bits.bytes(input * output)])?;
        let small = Small::from_outputs(bytes, (input, output), (bits, scales));
        let misfit = |found| Error::Mismatch {
            tensor: codes,
            found,
            expected: format!("{} bits a weight", bits.count()),
        };
        let values = small.map_err(misfit)?.weights();
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => {
                Err(Error::NotFinite { tensor: format!("{key}, expanded,"), index, value: values[index] })
            }
            None => Ok(values),
        }
    }

    /// Refuses unknown tensors: a misspelt adapter would otherwise be left out silently.
    pub fn check_all_read(&self, manifest: &Manifest) -> Result<(), Error> {
        if self.read == self.file.len() {
            return Ok(());
        }
        let known = |name: &str| {
            // `{module}.down.weight` and `{module}.scale`.
            let mut prefixes = name.match_indices('.').map(|(end, _)| &name[..end]);
            let has_adapter = |site: &str| manifest.adapter_widths.contains_key(site);
            let is_shared = manifest.factorised.is_some() && name.starts_with("shared.");
            is_shared
                || ["head.", "self_test."].iter().any(|start| name.starts_with(start))
                || prefixes.any(|prefix| {
                    manifest.modules.contains_key(prefix)
                        || prefix.strip_suffix(".adapter").is_some_and(has_adapter)
                })
        };
        let names = self.file.names();
        let extra = names.iter().find(|name| !known(name)).or(names.first());
        Err(Error::Unexpected { tensor: extra.map(|name| name.to_string()).unwrap_or_default() })
    }
}
