//! Modules: the forms of change that a server computes, each at a site. Every method comes down to these.

use std::fmt;

use super::{Activation, Place, Site};

/// What a bypass reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// What enters the place: the input of a linear layer; of the attention and the MLP, the residual stream before the norm.
    Input,
    /// What leaves the place.
    Output,
}

/// How a module changes what leaves its place, `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// `y + up · act(down · y)`, with the backbone's non-linearity and without biases: MiMi's adapter.
    Adapter,
    /// `y + up · act(down · x + a) + u`, with `x` from the source. Without a non-linearity there are no biases.
    Bypass {
        /// What `x` is.
        source: Source,
        /// The non-linearity, if there is one.
        activation: Option<Activation>,
    },
    /// `y ⊙ scale + shift`.
    Affine,
    /// `y + shift`.
    Shift,
    /// Keys and values before those of the tokens, in every window of an attention that has windows.
    Prefix,
    /// Tokens before all others, from the first block on. They stand alone: a row that has them has no other module.
    Prompts,
}

/// One tensor of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `[D_in, R]`, from the place's width to the module's.
    Down,
    /// `[R]`, added before the non-linearity.
    DownBias,
    /// `[R, D_out]`, back to the place's width.
    Up,
    /// `[D_out]`, added after it.
    UpBias,
    /// `[D_out]`, multiplied.
    Scale,
    /// `[D_out]`, added; at [`Place::Scores`] `[H, n, n]`.
    Shift,
    /// `[R, D]`, keys of a prefix.
    Keys,
    /// `[R, D]`, its values; of prompts what they are.
    Values,
    /// `[R]`, added to the scores of a prefix: 0, or what makes a key count for nothing. No pack has it: a batch makes it.
    Mask,
    /// `[R, 1]`, what each hidden neuron is multiplied by. No pack has it: training folds it into [`Part::Up`].
    Gate,
}

/// What is added to the score of a key that counts for nothing; the softmax makes it exactly 0.
const HIDDEN: f32 = -1e30;

impl Part {
    const ALL: [Self; 9] = [
        Self::Down,
        Self::DownBias,
        Self::Up,
        Self::UpBias,
        Self::Scale,
        Self::Shift,
        Self::Keys,
        Self::Values,
        Self::Gate,
    ];

    /// The part's word in tensor names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::DownBias => "down_bias",
            Self::Up => "up",
            Self::UpBias => "up_bias",
            Self::Scale => "scale",
            Self::Shift => "shift",
            Self::Keys => "keys",
            Self::Values => "values",
            Self::Mask => "mask",
            Self::Gate => "gate",
        }
    }

    /// The part of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == text)
    }

    /// Whether its first axis is 1 for all rows, or has an entry for each; other parts get an axis of rows before theirs.
    pub fn has_row_axis(self) -> bool {
        matches!(self, Self::Keys | Self::Values | Self::Mask)
    }

    /// Whether it is a matrix, which weight decay acts on.
    pub fn is_matrix(self) -> bool {
        matches!(self, Self::Down | Self::Up)
    }

    /// Each element where a row has no such module.
    pub fn neutral(self) -> f32 {
        match self {
            Self::Scale => 1.0,
            Self::Mask => HIDDEN,
            _ => 0.0,
        }
    }
}

const ACTIVATIONS: [Option<Activation>; 6] = [
    None,
    Some(Activation::Gelu),
    Some(Activation::GeluTanh),
    Some(Activation::QuickGelu),
    Some(Activation::Relu),
    Some(Activation::Silu),
];

impl Form {
    /// Every form.
    pub fn all() -> impl Iterator<Item = Self> {
        let bypass = |source| ACTIVATIONS.map(|activation| Self::Bypass { source, activation });
        let bypasses = [Source::Input, Source::Output].into_iter().flat_map(bypass);
        [Self::Adapter].into_iter().chain(bypasses).chain([
            Self::Affine,
            Self::Shift,
            Self::Prefix,
            Self::Prompts,
        ])
    }

    /// Whether a server computes the form at a place.
    pub fn fits(self, place: Place) -> bool {
        let is_branch = matches!(place, Place::Attn | Place::Mlp);
        match self {
            Self::Adapter => is_branch,
            Self::Bypass { source: Source::Input, activation: None } => is_branch || place.is_linear(),
            Self::Bypass { source: Source::Input, .. } => is_branch,
            Self::Bypass { source: Source::Output, .. } => is_branch || place == Place::Out,
            Self::Affine => !is_branch && !matches!(place, Place::Out | Place::Scores),
            Self::Shift => !is_branch && place != Place::Out,
            Self::Prefix => place == Place::Attn,
            Self::Prompts => place == Place::Tokens,
        }
    }

    /// Its tensors.
    pub fn parts(self) -> &'static [Part] {
        match self {
            Self::Adapter | Self::Bypass { activation: None, .. } => &[Part::Down, Part::Up],
            Self::Bypass { .. } => &[Part::Down, Part::DownBias, Part::Up, Part::UpBias],
            Self::Affine => &[Part::Scale, Part::Shift],
            Self::Shift => &[Part::Shift],
            Self::Prefix => &[Part::Keys, Part::Values],
            Self::Prompts => &[Part::Values],
        }
    }

    /// What a program is fed: its tensors, and what tells rows that lack some of them.
    pub fn fed(self) -> &'static [Part] {
        match self {
            Self::Prefix => &[Part::Keys, Part::Values, Part::Mask],
            _ => self.parts(),
        }
    }

    /// Whether the form has a width of its own (R): hidden neurons, or tokens.
    pub fn has_width(self) -> bool {
        self.has_neurons() || matches!(self, Self::Prefix | Self::Prompts)
    }

    /// Whether that width counts hidden neurons, which can be scored and pruned.
    pub fn has_neurons(self) -> bool {
        matches!(self, Self::Adapter | Self::Bypass { .. })
    }

    /// Parses the form's word in tensor names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|form| form.to_string() == text)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adapter => f.write_str("adapter"),
            Self::Bypass { source, activation } => {
                let source = if *source == Source::Input { "input" } else { "output" };
                match activation {
                    Some(activation) => write!(f, "bypass_{source}_{activation}"),
                    None => write!(f, "bypass_{source}_none"),
                }
            }
            Self::Affine => f.write_str("affine"),
            Self::Shift => f.write_str("shift"),
            Self::Prefix => f.write_str("prefix"),
            Self::Prompts => f.write_str("prompts"),
        }
    }
}

/// A form at a site.
///
/// ```
/// use mimi_server::backbone::{Form, Module, Place, Site};
///
/// let module = Module { site: Site::new(3, Place::Norm1), form: Form::Affine };
/// assert_eq!(module.to_string(), "blocks.3.norm1.affine");
/// assert_eq!(Module::parse("blocks.3.norm1.affine"), Some(module));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Module {
    /// Where it is.
    pub site: Site,
    /// What it does.
    pub form: Form,
}

impl Module {
    /// MiMi's adapter at a site.
    pub fn adapter(site: Site) -> Self {
        Self { site, form: Form::Adapter }
    }

    /// Parses the form `blocks.3.attn.adapter`; none for a form that does not fit the place.
    pub fn parse(text: &str) -> Option<Self> {
        let (site, form) = text.rsplit_once('.')?;
        let (site, form) = (Site::parse(site)?, Form::parse(form)?);
        form.fits(site.place).then_some(Self { site, form })
    }
}

impl From<Site> for Module {
    fn from(site: Site) -> Self {
        Self::adapter(site)
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.site, self.form)
    }
}
