//! How exactly the backbone's products are computed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Numbers in which the frozen matrices are multiplied. Adapters, norms and heads are fp32 in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// 8-bit integers: a scale for each output channel of a matrix, and for each token at each run.
    Int8,
    /// As `Int8`, with matrices in a reduced range that the fast kernels of CPUs without VNNI sum exactly.
    Int8Reduced,
    /// 32-bit floats whose factors a GPU rounds to 10 bits of mantissa (NVIDIA's TF32). Sums are 32-bit floats.
    Tf32,
    /// 16-bit floats, for a GPU. A CPU without instructions for them multiplies the rounded weights in fp32.
    Fp16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 5] = [Self::Fp32, Self::Int8, Self::Int8Reduced, Self::Tf32, Self::Fp16];

    /// The name in manifests and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Int8 => "int8",
            Self::Int8Reduced => "int8-reduced",
            Self::Tf32 => "tf32",
            Self::Fp16 => "fp16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|precision| precision.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown precision {text:?}: expected one of {names}")
        })
    }
}
