//! What is known of a wire before anything runs.

use std::fmt;

use crate::backbone::Module;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float (IEEE 754's half).
    F16,
    /// 64-bit signed integer (shapes and indices).
    I64,
    /// Signed byte (quantised weights).
    I8,
    /// Unsigned byte (quantised activations).
    U8,
}

/// One dimension: a number, or one that each run decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Known when the graph is built.
    Fixed(usize),
    /// Rows in the batch (B).
    Batch,
    /// Rows in the batch times a number: a flattened `[B, n]`.
    Rows(usize),
    /// Width of a module (R).
    Width(Module),
    /// The width of a module and a number: tokens of a prefix or prompts before those of the image (R + N).
    Joined(Module, usize),
    /// Classes of the head (C).
    Classes,
    /// Entries of a bank (P).
    Slots,
    /// Images of the batch (I).
    Images,
    /// Rows of the batch that come as samples (Bs).
    Sampled,
    /// Rows of the batch that come as pixels (Bp).
    Prepared,
}

impl Dim {
    /// The number, where it is known.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Self::Fixed(n) => Some(n),
            _ => None,
        }
    }

    /// Its size, each that a run decides given by `bind`.
    pub fn size(self, bind: impl Fn(Self) -> u64) -> u64 {
        match self {
            Self::Fixed(n) => n as u64,
            Self::Rows(n) => n as u64 * bind(Self::Batch),
            Self::Joined(module, n) => n as u64 + bind(Self::Width(module)),
            open => bind(open),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Batch => write!(f, "B"),
            Self::Rows(n) => write!(f, "B*{n}"),
            Self::Width(module) => write!(f, "R@{module}"),
            Self::Joined(module, n) => write!(f, "R@{module}+{n}"),
            Self::Classes => write!(f, "C"),
            Self::Slots => write!(f, "P"),
            Self::Images => write!(f, "I"),
            Self::Sampled => write!(f, "Bs"),
            Self::Prepared => write!(f, "Bp"),
        }
    }
}

/// Dtype and shape of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Element type.
    pub dtype: DType,
    /// Shape. For a module's tensor (see [`Fact::free_rank`]) what follows the rows.
    pub shape: Vec<Dim>,
    /// Whether a batch dimension may precede the shape: one module for all rows, or one for each row. Of a shape that
    /// begins with 1 and has three axes or more, that 1 may be the batch.
    pub free_rank: bool,
}

impl Fact {
    /// An fp32 tensor.
    pub fn f32(shape: impl Into<Vec<Dim>>) -> Self {
        Self { dtype: DType::F32, shape: shape.into(), free_rank: false }
    }

    /// A module's tensor: of that shape for all rows, or with `B` before it, one for each row.
    pub fn module(shape: impl Into<Vec<Dim>>) -> Self {
        Self { dtype: DType::F32, shape: shape.into(), free_rank: true }
    }

    /// The same shape, of another dtype.
    pub fn of(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    /// An fp32 tensor of known shape.
    pub fn fixed(shape: &[usize]) -> Self {
        Self::f32(shape.iter().map(|&n| Dim::Fixed(n)).collect::<Vec<_>>())
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.shape.iter().map(Dim::to_string).collect();
        let prefix = if self.free_rank { "[B?] " } else { "" };
        write!(f, "{prefix}{:?}[{}]", self.dtype, dims.join(", "))
    }
}
