//! Outputs of a run, by name.

use std::collections::BTreeMap;

use super::Error;

/// A tensor given by a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub data: Vec<f32>,
}

/// The outputs of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    program: String,
    named: BTreeMap<String, Output>,
}

impl Outputs {
    /// Puts outputs of a program under their names.
    pub(super) fn new(program: &str, named: impl Iterator<Item = (String, Output)>) -> Self {
        Self { program: program.into(), named: named.collect() }
    }

    /// Takes the output of that name.
    ///
    /// # Errors
    /// [`Error::Output`] when the program has none of that name, or it was taken before.
    pub fn take(&mut self, name: &str) -> Result<Output, Error> {
        let missing = || Error::Output { program: self.program.clone(), output: name.into() };
        self.named.remove(name).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_is_missing_is_an_error_with_its_name() {
        let output = Output { shape: vec![1], data: vec![2.0] };
        let mut outputs = Outputs::new("step", [("loss".to_owned(), output.clone())].into_iter());
        assert_eq!(outputs.take("loss").unwrap(), output);
        assert_eq!(outputs.take("logits").unwrap_err().to_string(), "program step has no output logits");
    }
}
