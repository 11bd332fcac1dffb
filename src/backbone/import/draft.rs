//! A backbone as it comes out of a checkpoint: shape and tensors under our names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::checkpoint::{Checkpoint, Tensor};
use super::{Request, hugging_face, position, timm};
use crate::backbone::{Error, VitConfig};

/// Which training a checkpoint comes from, where its tensors tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// CLIP's vision tower.
    Clip,
    /// DINOv2.
    Dinov2,
    /// ViT or DeiT.
    Plain,
}

/// Shape and tensors under our names, matrices still to be checked.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) family: Family,
    pub(super) vit: VitConfig,
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) left_out: Vec<String>,
}

impl Draft {
    /// Recognises the naming, takes every tensor it knows, and names every one that does not fit.
    pub(super) fn from(checkpoint: Checkpoint, request: &Request) -> Result<Self, Error> {
        let path = checkpoint.path.clone();
        let mut drawer = Drawer::new(checkpoint);
        let (family, mut vit, leave_out) = match hugging_face::recognises(&drawer.from) {
            true => hugging_face::draw(&mut drawer, request)?,
            false => timm::draw(&mut drawer, request)?,
        };
        let left_out = drawer.leave_out(leave_out);
        let mut problems = drawer.problems;
        problems.extend(drawer.from.tensors.keys().map(|name| format!("{name} is not part of the backbone")));
        for (name, shape) in vit.tensors() {
            match drawer.tensors.get(&name) {
                Some(tensor) if tensor.shape != shape => {
                    problems.push(format!("{name} has shape {:?}, expected {shape:?}", tensor.shape));
                }
                Some(_) => {}
                None if problems.is_empty() => problems.push(format!("{name} is missing")),
                // Its source has been named already.
                None => {}
            }
        }
        if !problems.is_empty() {
            return Err(Error::Tensors { path, problems });
        }
        let mut tensors = drawer.tensors;
        if let Some(size) = request.image_size.filter(|&size| size != vit.image_size) {
            position::resample(&mut vit, &mut tensors, size)?;
        }
        Ok(Self { family, vit, tensors, left_out })
    }
}

/// Takes tensors out of a checkpoint and puts them under our names, noting what is missing.
pub(super) struct Drawer {
    pub(super) from: Checkpoint,
    tensors: BTreeMap<String, Tensor>,
    problems: Vec<String>,
}

impl Drawer {
    fn new(from: Checkpoint) -> Self {
        Self { from, tensors: BTreeMap::new(), problems: Vec::new() }
    }

    /// Takes a tensor out; notes it when it is missing.
    pub(super) fn take(&mut self, name: &str) -> Option<Tensor> {
        let tensor = self.from.tensors.remove(name);
        if tensor.is_none() {
            self.problems.push(format!("{name} is missing"));
        }
        tensor
    }

    /// Puts a tensor under our name; notes it when its shape did not allow what was done to it.
    pub(super) fn put(&mut self, ours: &str, theirs: &str, tensor: Option<Tensor>) {
        match tensor {
            Some(tensor) => drop(self.tensors.insert(ours.to_owned(), tensor)),
            None if self.problems.iter().any(|p| p.starts_with(theirs)) => {}
            None => self.problems.push(format!("{theirs} has an unexpected shape")),
        }
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

    /// Takes out what is known to be no part of the backbone.
    fn leave_out(&mut self, known: &[&str]) -> Vec<String> {
        let is_known = |name: &str| known.iter().any(|prefix| name.starts_with(prefix));
        let names: Vec<String> = self.from.tensors.keys().filter(|name| is_known(name)).cloned().collect();
        names.iter().for_each(|name| drop(self.from.tensors.remove(name)));
        names
    }

    /// The checkpoint's file, for errors.
    pub(super) fn path(&self) -> PathBuf {
        self.from.path.clone()
    }
}

/// Heads: asked for, else one for each 64 of width, as in every published ViT from Tiny to Giant.
pub(super) fn heads(request: &Request, told: Option<usize>, width: usize) -> Result<usize, Error> {
    const HEAD_WIDTH: usize = 64;
    if let Some(heads) = request.heads.or(told) {
        return Ok(heads);
    }
    if width.is_multiple_of(HEAD_WIDTH) {
        return Ok(width / HEAD_WIDTH);
    }
    let reason =
        format!("the file does not tell, and width {width} is no multiple of {HEAD_WIDTH}; give the number");
    Err(Error::Invalid { field: "heads", value: "unknown".into(), reason })
}

/// The side of a square of `patches`.
pub(super) fn square(patches: usize) -> Option<usize> {
    let side = patches.isqrt();
    (side * side == patches).then_some(side)
}
