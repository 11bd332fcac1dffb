//! From a checkpoint's names and layouts to ours.

use std::collections::BTreeMap;

use super::checkpoint::{Checkpoint, Tensor};
use super::ledger::Ledger;

/// Takes tensors out of a checkpoint and puts them under our names, noting what is missing.
pub(super) struct Translator {
    pub(super) from: Checkpoint,
    pub(super) ledger: Ledger,
    tensors: BTreeMap<String, Translated>,
    /// By the checkpoint's name, so that each tensor is reported once.
    problems: BTreeMap<String, String>,
}

/// A tensor under our name, and the one it was made of.
struct Translated {
    theirs: String,
    tensor: Tensor,
}

impl Translator {
    pub(super) fn new(mut from: Checkpoint) -> Self {
        let ledger = Ledger::new(std::mem::take(&mut from.notes));
        Self { from, ledger, tensors: BTreeMap::new(), problems: BTreeMap::new() }
    }

    /// Takes a tensor out; notes it when it is missing.
    pub(super) fn take(&mut self, name: &str) -> Option<Tensor> {
        let tensor = self.from.tensors.remove(name);
        if tensor.is_none() {
            self.problems.insert(name.to_owned(), "is missing".into());
        }
        tensor
    }

    /// Puts a tensor under our name; notes it when its shape did not allow what was done to it.
    pub(super) fn put(&mut self, ours: &str, theirs: &str, tensor: Option<Tensor>) {
        if let Some(tensor) = tensor {
            self.tensors.insert(ours.to_owned(), Translated { theirs: theirs.to_owned(), tensor });
        } else {
            let problem = || format!("has an unexpected shape and cannot become {ours}");
            self.problems.entry(theirs.to_owned()).or_insert_with(problem);
        }
    }

    /// One sentence for each tensor that is missing, mis-shaped or not understood.
    pub(super) fn problems(&mut self, expected: &[(String, Vec<usize>)]) -> Vec<String> {
        for (ours, expected) in expected {
            // A tensor that was not translated has been noted by `take` or `put`.
            let Some(Translated { theirs, tensor }) = self.tensors.get(ours) else { continue };
            if &tensor.shape != expected {
                let problem =
                    || format!("would give {ours} the shape {:?}, expected {expected:?}", tensor.shape);
                self.problems.entry(theirs.clone()).or_insert_with(problem);
            }
        }
        for name in self.from.tensors.keys() {
            self.problems.insert(name.clone(), "is not part of the backbone".into());
        }
        self.problems.iter().map(|(name, problem)| format!("{name} {problem}")).collect()
    }

    /// Takes a tensor over as it is.
    pub(super) fn copy(&mut self, theirs: &str, ours: &str) {
        let tensor = self.take(theirs);
        self.put(ours, theirs, tensor);
    }

    /// Takes a tensor over in another shape.
    pub(super) fn reshape(&mut self, theirs: &str, ours: &str, shape: Vec<usize>) {
        let tensor = self.take(theirs).and_then(|tensor| tensor.reshaped(shape));
        self.put(ours, theirs, tensor);
    }

    /// Takes over weight and bias of a norm.
    pub(super) fn norm(&mut self, theirs: &str, ours: &str) {
        self.copy(&format!("{theirs}.weight"), &format!("{ours}.weight"));
        self.copy(&format!("{theirs}.bias"), &format!("{ours}.bias"));
    }

    /// Takes over a linear layer: `[out, in]` becomes `[in, out]`.
    pub(super) fn linear(&mut self, theirs: &str, ours: &str) {
        let weight = format!("{theirs}.weight");
        let transposed = self.take(&weight).and_then(|tensor| tensor.transposed());
        self.put(&format!("{ours}.weight"), &weight, transposed);
        self.copy(&format!("{theirs}.bias"), &format!("{ours}.bias"));
    }

    /// Every tensor translated so far, by our names, and where each line of the table came from.
    pub(super) fn into_parts(self) -> (BTreeMap<String, Tensor>, Ledger) {
        let tensors = self.tensors.into_iter().map(|(name, translated)| (name, translated.tensor));
        (tensors.collect(), self.ledger)
    }

    /// Takes out what is known to be no part of the backbone.
    pub(super) fn leave_out(&mut self, known: &[&str]) -> Vec<String> {
        let is_known = |name: &str| known.iter().any(|prefix| name.starts_with(prefix));
        let names: Vec<String> = self.from.tensors.keys().filter(|name| is_known(name)).cloned().collect();
        names.iter().for_each(|name| drop(self.from.tensors.remove(name)));
        let mut left_out = std::mem::take(&mut self.from.left_out);
        left_out.extend(names);
        left_out
    }
}
