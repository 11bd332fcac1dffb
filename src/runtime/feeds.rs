//! What a run reads and writes.

use std::ops::Range;

use super::Error;
use super::device_tensor::{AnyTensor, DeviceTensor};
use super::graphs::Place;
use crate::graph::{Dim, Fact};

/// A tensor fed to a run; it is read in place.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The input's name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements, row-major.
    pub data: &'a [f32],
}

/// What a run is fed besides tensors of the host's floats.
#[derive(Clone, Copy)]
pub enum Held<'a> {
    /// A tensor that lies on the device.
    Tensor(&'a dyn AnyTensor),
    /// Numbers, `[n]`.
    Numbers(&'a [i64]),
    /// Bytes of some shape, row-major.
    Bytes {
        /// The shape.
        shape: &'a [usize],
        /// The bytes.
        data: &'a [u8],
    },
}

/// A named [`Held`].
#[derive(Clone, Copy)]
pub struct HeldInput<'a> {
    /// The input's name.
    pub name: &'a str,
    /// What it is fed.
    pub held: Held<'a>,
}

impl HeldInput<'_> {
    fn shape(&self) -> Vec<usize> {
        match self.held {
            Held::Tensor(tensor) => tensor.shape().to_vec(),
            Held::Numbers(numbers) => vec![numbers.len()],
            Held::Bytes { shape, .. } => shape.to_vec(),
        }
    }

    /// Where it lies, if it is on the device.
    pub(super) fn place(&self) -> Option<Place> {
        match self.held {
            Held::Tensor(tensor) => Some(Place { address: tensor.address(), shape: tensor.shape().to_vec() }),
            Held::Numbers(_) | Held::Bytes { .. } => None,
        }
    }
}

/// A tensor of the device that an output is written to.
#[derive(Clone)]
pub struct HeldOutput<'a> {
    /// The output's name.
    pub name: &'a str,
    /// Where it goes.
    pub tensor: &'a DeviceTensor,
    /// Which of its entries. Together they have the output's shape.
    pub entries: Range<usize>,
}

impl<'a> HeldOutput<'a> {
    /// An output that fills a tensor.
    pub fn whole(name: &'a str, tensor: &'a DeviceTensor) -> Self {
        Self { name, tensor, entries: 0..tensor.entries() }
    }

    /// Where it goes.
    pub(super) fn place(&self) -> Place {
        self.tensor.place(&self.entries)
    }
}

/// Compares what a program is fed with its inputs.
///
/// # Errors
/// [`Error::Input`] when an input is missing, unknown or mis-shaped.
pub(super) fn check(
    program: &str,
    expected: &[(String, Fact)],
    inputs: &[Input<'_>],
    held: &[HeldInput<'_>],
) -> Result<(), Error> {
    let fail = |input: &str, reason: String| {
        Err(Error::Input { program: program.into(), input: input.into(), reason })
    };
    for (name, _) in expected {
        let is_fed = inputs.iter().map(|input| input.name).chain(held.iter().map(|input| input.name));
        if !is_fed.into_iter().any(|fed| fed == name) {
            return fail(name, "is missing".into());
        }
    }
    let fed = |name: &str, shape: &[usize]| {
        let Some((_, fact)) = expected.iter().find(|(known, _)| known == name) else {
            return fail(name, "is not an input of this program".into());
        };
        match fits(fact, shape) {
            true => Ok(()),
            false => fail(name, format!("has shape {shape:?}, expected {fact}")),
        }
    };
    let filled = |name: &str, shape: &[usize], found: usize| match shape.iter().product::<usize>() == found {
        true => fed(name, shape),
        false => fail(name, format!("{shape:?} has {found} elements")),
    };
    for input in held {
        match input.held {
            Held::Bytes { shape, data } => filled(input.name, shape, data.len())?,
            Held::Tensor(_) | Held::Numbers(_) => fed(input.name, &input.shape())?,
        }
    }
    inputs.iter().try_for_each(|input| filled(input.name, input.shape, input.data.len()))
}

/// Whether a shape is one the fact allows; open dimensions take any size.
fn fits(fact: &Fact, shape: &[usize]) -> bool {
    let extra = shape.len().wrapping_sub(fact.rank());
    if extra != 0 && !(fact.free_rank && extra == 1) {
        return false;
    }
    // What is the same for all rows, or has one entry for each.
    let is_by_row = fact.free_rank && extra == 0 && fact.rank() > 2;
    let allows = |(axis, (dim, &n)): (usize, (&Dim, &usize))| {
        dim.fixed().is_none_or(|size| size == n) || is_by_row && axis == 0 && dim.fixed() == Some(1)
    };
    fact.shape.iter().zip(&shape[extra..]).enumerate().all(allows)
}
