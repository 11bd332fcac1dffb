//! Canvases: memory that decoders write images to, at the backbone's size.
//!
//! A canvas goes back when the last row with its image is gone, and takes the next image: no image pays for fresh pages, and
//! where the device is a GPU the memory is pinned once.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::error::Error;
use super::pixels::{Pixels, Samples};
use crate::image::{self, Preprocessing, RgbImage};
use crate::runtime::{HostList, HostMemory};

/// Most bytes of free canvases that the next image leaves: those of 400 images at 224 px.
const KEPT: usize = 64 << 20;

/// Where canvases come from, and go back to.
pub(super) struct Canvases {
    memory: Arc<HostMemory>,
    /// Samples of an image, `S * S * 3`.
    size: usize,
    free: Mutex<Vec<HostList<u8>>>,
}

/// Memory for the samples of one image.
pub struct Canvas {
    samples: HostList<u8>,
    canvases: Arc<Canvases>,
}

impl Canvases {
    /// Canvases for images of side S.
    pub(super) fn new(memory: &Arc<HostMemory>, side: usize) -> Self {
        Self { memory: Arc::clone(memory), size: 3 * side * side, free: Mutex::default() }
    }

    /// A canvas, with whatever was on it. What is free beyond the bound is given back here, while the engine lives: a thread that
    /// drops an image may be one that answers.
    ///
    /// # Errors
    /// When there is no memory for one.
    pub(super) fn take(self: &Arc<Self>) -> Result<Canvas, Error> {
        let (samples, surplus) = {
            let mut free = self.free();
            let samples = free.pop();
            let kept = free.len().min(KEPT / self.size.max(1));
            (samples, free.split_off(kept))
        };
        drop(surplus);
        let samples = match samples {
            Some(samples) => samples,
            None => {
                let mut samples = HostList::new(&self.memory);
                samples.fill(self.size, 0, |_| {})?;
                samples
            }
        };
        Ok(Canvas { samples, canvases: Arc::clone(self) })
    }

    fn free(&self) -> MutexGuard<'_, Vec<HostList<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Canvas {
    /// An image at the backbone's size, a byte a sample.
    ///
    /// # Errors
    /// As [`Preprocessing::resize_into`].
    pub fn pixels(mut self, image: &RgbImage, preprocessing: &Preprocessing) -> Result<Pixels, image::Error> {
        preprocessing.resize_into(image, self.samples.as_mut_slice())?;
        let &Preprocessing { mean, std, .. } = preprocessing;
        Ok(Pixels::Sampled(Samples { levels: Bytes::from_owner(self), mean, std }))
    }
}

impl AsRef<[u8]> for Canvas {
    fn as_ref(&self) -> &[u8] {
        self.samples.as_slice()
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        let samples = mem::replace(&mut self.samples, HostList::new(&self.canvases.memory));
        self.canvases.free().push(samples);
    }
}
