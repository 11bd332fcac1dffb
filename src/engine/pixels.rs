//! An image as it enters the first block.

use std::sync::Arc;

use bytes::Bytes;

use crate::runtime::DeviceTensor;

/// What the first block reads of an image.
#[derive(Clone, Debug)]
pub enum Pixels {
    /// Samples; the program makes pixels of them.
    Sampled(Samples),
    /// `[3, S, S]`, normalised by whoever asks.
    Prepared(Arc<[f32]>),
}

/// Samples of an image that has the backbone's size, and what makes pixels of them.
#[derive(Clone, Debug)]
pub struct Samples {
    /// `[S, S, 3]`: red, green and blue of each pixel, row-major.
    pub levels: Bytes,
    /// What is subtracted from each channel, of samples from 0 to 1.
    pub mean: [f32; 3],
    /// What each channel is then divided by.
    pub std: [f32; 3],
}

impl Pixels {
    /// Whether two are certainly one: they lie in the same place, and the same is made of them.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prepared(own), Self::Prepared(other)) => Arc::ptr_eq(own, other),
            (Self::Sampled(own), Self::Sampled(other)) => {
                let place = |levels: &Bytes| (levels.as_ptr(), levels.len());
                place(&own.levels) == place(&other.levels) && (own.mean, own.std) == (other.mean, other.std)
            }
            _ => false,
        }
    }

    /// The same, borrowed by a batch.
    pub(super) fn entering(&self) -> Entering<'_> {
        match self {
            Self::Sampled(samples) => Entering::Samples(samples),
            Self::Prepared(pixels) => Entering::Values(pixels),
        }
    }
}

impl From<Arc<[f32]>> for Pixels {
    fn from(pixels: Arc<[f32]>) -> Self {
        Self::Prepared(pixels)
    }
}

/// What a row brings to the first of a program's blocks.
#[derive(Clone, Copy)]
pub(super) enum Entering<'a> {
    /// An image's samples, at the first block alone.
    Samples(&'a Samples),
    /// Its pixels, `[3, S, S]`, or what the blocks before left, `[N, D]`.
    Values(&'a [f32]),
    /// What the blocks before left, as an entry of a tensor on the device.
    State(&'a DeviceTensor, usize),
}

impl<'a> Entering<'a> {
    /// The samples, if it is some.
    pub(super) fn samples(self) -> Option<&'a Samples> {
        match self {
            Self::Samples(samples) => Some(samples),
            Self::Values(_) | Self::State(..) => None,
        }
    }

    /// The values, if it is some.
    pub(super) fn values(self) -> Option<&'a [f32]> {
        match self {
            Self::Samples(_) | Self::State(..) => None,
            Self::Values(values) => Some(values),
        }
    }

    /// Where it is on the device, if it is there.
    pub(super) fn state(self) -> Option<(&'a DeviceTensor, usize)> {
        match self {
            Self::State(tensor, entry) => Some((tensor, entry)),
            Self::Samples(_) | Self::Values(_) => None,
        }
    }
}
