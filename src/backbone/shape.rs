//! What every family of backbones tells of its shape.

use super::{Activation, Error, Form, Place, Site};

/// What flows through a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceShape {
    /// Width of what enters (D_in).
    pub input: usize,
    /// Shape of a shift of what leaves: `[D_out]`, or `[H, n, n]` for scores.
    pub output: Vec<usize>,
    /// Tokens that leave it (N).
    pub tokens: usize,
}

impl PlaceShape {
    pub(super) fn new(input: usize, output: usize, tokens: usize) -> Self {
        Self { input, output: vec![output], tokens }
    }

    /// Width of what leaves (D_out).
    pub fn width(&self) -> usize {
        self.output.last().copied().unwrap_or_default()
    }
}

/// The numbers of a block that tell the shapes of its usual places.
#[derive(Clone, Copy)]
pub(super) struct BlockShape {
    /// D.
    pub(super) width: usize,
    /// Width of the MLP's hidden layer.
    pub(super) hidden: usize,
    /// Tokens that are normed first.
    pub(super) all: usize,
    /// Tokens that keys and values are made of.
    pub(super) keys: usize,
    /// Tokens that queries are made of; the block leaves no others.
    pub(super) asking: usize,
}

impl BlockShape {
    /// The shape of a place that every family's blocks have.
    pub(super) fn place(self, place: Place) -> Option<PlaceShape> {
        let Self { width: d, hidden, all, keys, asking } = self;
        match place {
            Place::Tokens | Place::TokensNorm | Place::Scores => None,
            Place::Norm1 => Some(PlaceShape::new(d, d, all)),
            Place::K | Place::V => Some(PlaceShape::new(d, d, keys)),
            Place::Fc1 => Some(PlaceShape::new(d, hidden, asking)),
            Place::Fc2 => Some(PlaceShape::new(hidden, d, asking)),
            Place::Q | Place::Proj | Place::Attn | Place::Norm2 | Place::Mlp | Place::Out => {
                Some(PlaceShape::new(d, d, asking))
            }
        }
    }
}

/// The numbers of a backbone that everything outside its own graph needs: the engine, the trainer and packs see
/// only these, so that a new family is one description here and one graph there.
pub trait Shape {
    /// Side of the square input, pixels (S).
    fn image_size(&self) -> usize;

    /// Number of blocks (L), stages flattened.
    fn depth(&self) -> usize;

    /// Width of the tokens in `block` (D), the width of adapters there.
    fn block_width(&self, block: usize) -> usize;

    /// Tokens that `block` leaves (N), which its adapters see.
    fn block_tokens(&self, block: usize) -> usize;

    /// Width of the pooled feature a head reads.
    fn feature_width(&self) -> usize;

    /// Non-linearity of the adapters: the backbone's own, as far as the method's reference goes (GELU for ViT and
    /// Swin, QuickGELU for CvT).
    fn activation(&self) -> Activation;

    /// Shape of one row entering `block`, which is not the first. What a block does before its first branch,
    /// merging of patches for one, belongs to it, so this is what the block before it left.
    ///
    /// # Shapes
    /// `[N, D]`, without the batch.
    fn hidden_shape(&self, block: usize) -> Vec<usize> {
        let before = block.saturating_sub(1);
        vec![self.block_tokens(before), self.block_width(before)]
    }

    /// What flows through a site; none where the backbone has no such place.
    fn place(&self, site: Site) -> Option<PlaceShape>;

    /// Side of the patches that the first tokens are made of, pixels.
    fn patch_size(&self) -> usize;

    /// What layer norms add to the variance (ε).
    fn layer_norm_eps(&self) -> f32;

    /// Why the family does not compute a form, if it does not.
    fn refuses(&self, _form: Form) -> Option<&'static str> {
        None
    }

    /// Every tensor the backbone has, by name, with its shape, in order of use.
    ///
    /// # Shapes
    /// Matrices are `[in, out]`.
    fn tensors(&self) -> Vec<(String, Vec<usize>)>;

    /// Number of learned values.
    fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
    }

    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field that cannot be.
    fn validate(&self) -> Result<(), Error>;
}

/// Lists weight and bias of a layer norm.
pub(super) fn push_norm(list: &mut Vec<(String, Vec<usize>)>, name: &str, width: usize) {
    list.push((format!("{name}.weight"), vec![width]));
    list.push((format!("{name}.bias"), vec![width]));
}

/// Lists weight and bias of a linear layer.
pub(super) fn push_linear(list: &mut Vec<(String, Vec<usize>)>, name: &str, input: usize, output: usize) {
    list.push((format!("{name}.weight"), vec![input, output]));
    list.push((format!("{name}.bias"), vec![output]));
}

/// [`Error::Invalid`] unless `holds`.
pub(super) fn ensure(
    holds: bool,
    field: &'static str,
    value: impl ToString,
    reason: &str,
) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    Err(Error::Invalid { field, value: value.to_string(), reason: reason.into() })
}

/// Checks what every family's blocks compute with.
pub(super) fn ensure_numerics(activation: Activation, layer_norm_eps: f32) -> Result<(), Error> {
    let reason = "a backbone's own must be gelu, quick_gelu or gelu_tanh";
    ensure(activation.is_gelu(), "activation", activation, reason)?;
    ensure(layer_norm_eps > 0.0, "layer_norm_eps", layer_norm_eps, "it must be positive")
}
