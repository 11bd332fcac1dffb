//! A backbone as it comes out of a checkpoint: shape and tensors under our names.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::{Checkpoint, Tensor};
use super::config_files::PretrainedConfig;
use super::ledger::{Ledger, Told};
use super::{Request, cvt, families, finite, hugging_face, position, prefix, swin, timm};
use crate::backbone::{Architecture, Error};

/// Which training a checkpoint comes from, where its tensors tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// CLIP's vision tower.
    Clip,
    /// SigLIP's vision tower.
    Siglip,
    /// DINOv2.
    Dinov2,
    /// ViT or DeiT.
    Plain,
}

/// Shape and tensors under our names, matrices still to be checked.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) family: Family,
    pub(super) architecture: Architecture,
    /// `timm` or `hugging_face`.
    pub(super) naming: &'static str,
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) left_out: Vec<String>,
    /// How timm's `config.json` prepares images.
    pub(super) pretrained_cfg: Option<PretrainedConfig>,
    /// What was taken so far, and from where.
    pub(super) ledger: Ledger,
}

impl Draft {
    /// Recognises the naming, takes every tensor it knows, and names every one that does not fit.
    pub(super) fn from(mut checkpoint: Checkpoint, request: &Request) -> Result<Self, Error> {
        let path = checkpoint.path.clone();
        prefix::strip(&mut checkpoint)?;
        let names = |names: &mut dyn Iterator<Item = &'_ String>| names.cloned().collect::<Vec<_>>();
        let (inside, outside) =
            (names(&mut checkpoint.tensors.keys()), names(&mut checkpoint.outside.keys()));
        families::refuse_names(&inside, &outside, &path)?;
        let not_finite = finite::not_finite(&checkpoint.tensors);
        let mut drawer = Drawer::new(checkpoint);
        let recognised = match &drawer.from {
            from if swin::recognises(from) => swin::draw(&mut drawer, request)?,
            from if cvt::recognises(from) => cvt::draw(&mut drawer, request)?,
            from if hugging_face::recognises(from) => hugging_face::draw(&mut drawer, request)?,
            _ => timm::draw(&mut drawer, request)?,
        };
        let Recognised { family, mut architecture, naming, leave_out, pretrained_cfg } = recognised;
        let left_out = drawer.leave_out(leave_out);
        let problems = drawer.problems(&architecture.shape().tensors());
        if !problems.is_empty() {
            return Err(Error::Tensors { path, problems });
        }
        finite::refuse(not_finite, &left_out.iter().map(String::as_str).collect::<BTreeSet<_>>(), &path)?;
        let mut tensors: BTreeMap<_, _> =
            drawer.tensors.into_iter().map(|(name, drawn)| (name, drawn.tensor)).collect();
        let size = request.image_size.filter(|&size| size != architecture.shape().image_size());
        match (&mut architecture, size) {
            (Architecture::Vit(vit), Some(size)) => {
                position::resample(vit, &mut tensors, size)?;
                let how = if vit.registers > 0 { "bicubic, antialiased" } else { "bicubic, not antialiased" };
                drawer
                    .ledger
                    .note("position table", Told::default(how, "as Hugging Face's models resample it"));
            }
            // A Swin has no positions but those within windows, a CvT none.
            (Architecture::Swin(_) | Architecture::Cvt(_), _) | (_, None) => {}
        }
        Ok(Self { family, architecture, naming, tensors, left_out, pretrained_cfg, ledger: drawer.ledger })
    }
}

/// What a checkpoint turned out to be.
pub(super) struct Recognised {
    pub(super) family: Family,
    pub(super) architecture: Architecture,
    /// `timm` or `hugging_face`.
    pub(super) naming: &'static str,
    /// How the names begin of what belongs to classifiers and training, not to the backbone.
    pub(super) leave_out: &'static [&'static str],
    /// How timm's `config.json` prepares images.
    pub(super) pretrained_cfg: Option<PretrainedConfig>,
}

/// Takes tensors out of a checkpoint and puts them under our names, noting what is missing.
pub(super) struct Drawer {
    pub(super) from: Checkpoint,
    pub(super) ledger: Ledger,
    tensors: BTreeMap<String, Drawn>,
    /// By the checkpoint's name, so that each tensor is reported once.
    problems: BTreeMap<String, String>,
}

/// A tensor under our name, and the one it was made of.
struct Drawn {
    theirs: String,
    tensor: Tensor,
}

impl Drawer {
    fn new(mut from: Checkpoint) -> Self {
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
            self.tensors.insert(ours.to_owned(), Drawn { theirs: theirs.to_owned(), tensor });
        } else {
            let problem = || format!("has an unexpected shape and cannot become {ours}");
            self.problems.entry(theirs.to_owned()).or_insert_with(problem);
        }
    }

    /// One sentence for each tensor that is missing, mis-shaped or not understood.
    fn problems(&mut self, expected: &[(String, Vec<usize>)]) -> Vec<String> {
        for (ours, expected) in expected {
            // A tensor that was not drawn has been noted by `take` or `put`.
            let Some(Drawn { theirs, tensor }) = self.tensors.get(ours) else { continue };
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

    /// Takes out what is known to be no part of the backbone.
    fn leave_out(&mut self, known: &[&str]) -> Vec<String> {
        let is_known = |name: &str| known.iter().any(|prefix| name.starts_with(prefix));
        let names: Vec<String> = self.from.tensors.keys().filter(|name| is_known(name)).cloned().collect();
        names.iter().for_each(|name| drop(self.from.tensors.remove(name)));
        let mut left_out = std::mem::take(&mut self.from.left_out);
        left_out.extend(names);
        left_out
    }
}

/// Heads: as `sources` agree, else as the published models of that width have.
///
/// Tiny to Large (192 to 1024) have one for each 64 of width; SO400M (1152), Huge (1280), Giant (1408) and
/// Gigantic (1664) have 16. The rule holds for every ViT of timm 1.0.31 with these tensors but
/// `vit_base_patch16_gap_224`, whose weights were never published. Other widths differ from model to model.
pub(super) fn heads(
    ledger: &mut Ledger,
    sources: impl IntoIterator<Item = Option<Told<usize>>>,
    width: usize,
) -> Result<usize, Error> {
    const HEAD_WIDTH: usize = 64;
    const LARGE: usize = 1024;
    let usual = match width {
        1152 | 1280 | 1408 | 1664 => Some(16),
        1..=LARGE if width.is_multiple_of(HEAD_WIDTH) => Some(width / HEAD_WIDTH),
        _ => None,
    };
    let guess =
        usual.and_then(|heads| Told::guess(heads, format!("as published models of width {width} have")));
    ledger.settle("heads", sources, guess)?.ok_or_else(|| {
        let reason = format!("no file tells, and models of width {width} do not agree; give the number");
        Error::Invalid { field: "heads", value: "unknown".into(), reason }
    })
}

/// The side of a square of `patches`.
pub(super) fn square(patches: usize) -> Option<usize> {
    let side = patches.isqrt();
    (side * side == patches).then_some(side)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: Option<usize>, told: Option<usize>, width: usize) -> Result<usize, Error> {
        heads(&mut Ledger::default(), [Told::flag(asked, "heads"), Told::config(told, "config.json")], width)
    }

    #[test]
    fn heads_are_those_of_the_published_models() {
        // timm 1.0.31: vit_tiny, small, base, large; so400m, huge, giant, gigantic.
        let published =
            [(192, 3), (384, 6), (768, 12), (1024, 16), (1152, 16), (1280, 16), (1408, 16), (1664, 16)];
        for (width, expected) in published {
            assert_eq!(of(None, None, width).unwrap(), expected, "width {width}");
        }
    }

    #[test]
    fn heads_of_other_widths_must_be_told_and_told_alike() {
        // 1536: DINOv2's giant has 24, SigLIP 2's giant 16.
        for width in [0, 48, 1536, 2048] {
            assert!(of(None, None, width).is_err(), "width {width}");
        }
        assert_eq!(of(None, Some(24), 1536).unwrap(), 24);
        assert_eq!(of(Some(24), Some(24), 1536).unwrap(), 24);
        let error = of(Some(16), Some(24), 1536).unwrap_err().to_string();
        assert!(error.contains("--heads says 16") && error.contains("config.json says 24"), "{error}");
    }
}
