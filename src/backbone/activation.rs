//! Non-linearities.

use serde::{Deserialize, Serialize};

/// The non-linearity of the MLP, and of the adapters put beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x Φ(x)` with the exact error function, as `torch.nn.GELU()`.
    Gelu,
    /// `x σ(1.702 x)`, as CLIP's QuickGELU.
    QuickGelu,
    /// GELU by its tanh approximation, as `torch.nn.GELU(approximate="tanh")`; SigLIP's.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x σ(x)`, also called Swish.
    Silu,
}

impl Activation {
    /// Whether it is GELU or stands for it, as a backbone's own non-linearity must: 8-bit products know its least value.
    pub fn is_gelu(self) -> bool {
        matches!(self, Self::Gelu | Self::QuickGelu | Self::GeluTanh)
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gelu => "gelu",
            Self::QuickGelu => "quick_gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Relu => "relu",
            Self::Silu => "silu",
        })
    }
}
