//! What a program is fed where all rows have the same modules.

use std::borrow::Cow;

use super::{Error, ParameterName};
use crate::backbone::{BackboneConfig, Form, Module, Part};

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub struct Fed<'a> {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub data: Cow<'a, [f32]>,
}

impl Fed<'_> {
    /// The same, with elements of its own.
    pub fn into_owned(self) -> Fed<'static> {
        Fed { name: self.name, shape: self.shape, data: Cow::Owned(self.data.into_owned()) }
    }
}

/// The inputs of a module that `rows` rows share: its tensors as `values` has them, all of a prefix seen, prompts once
/// for each row.
///
/// # Errors
/// When the backbone has no place for it.
pub fn uniform<'a>(
    config: &BackboneConfig,
    (module, width): (Module, usize),
    rows: usize,
    values: impl Fn(Part) -> &'a [f32],
) -> Result<Vec<Fed<'a>>, Error> {
    let fed = |&part: &Part| {
        let no_place =
            || Error::Plan { plan: module.to_string(), reason: format!("{} has no such place", config.name) };
        let mut shape = config.part_shape(module, part, width).ok_or_else(no_place)?;
        let data = match (module.form, part) {
            (_, Part::Mask) => Cow::Owned(vec![0.0; width]),
            (Form::Prompts, _) => {
                shape[0] = rows;
                Cow::Owned(values(part).repeat(rows))
            }
            _ => Cow::Borrowed(values(part)),
        };
        Ok(Fed { name: ParameterName::Module(module, part).to_string(), shape, data })
    };
    module.form.fed().iter().map(fed).collect()
}
