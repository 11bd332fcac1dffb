//! Preparation: bytes to pixels, off the threads that serve sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ask::{Picture, Terms};
use super::bill::Bill;
use super::error::Error;
use super::handle::Service;
use crate::engine::{self, Engine, ImageKey, Pixels};
use crate::image::{self, Preprocessing, RgbImage};
use crate::reload::Pinned;

/// One of a request's images.
pub(super) struct Given {
    /// Which one.
    pub(super) index: usize,
    pub(super) picture: Picture,
}

impl Given {
    /// One in a format of images.
    pub(super) fn encoded(index: usize, bytes: Bytes) -> Self {
        Self { index, picture: Picture::Encoded(bytes) }
    }
}

/// An image as it enters the backbone.
#[derive(Clone)]
pub(super) struct Input {
    /// At the backbone's size.
    pub(super) pixels: Pixels,
    /// By what it may be found again.
    pub(super) image: Option<ImageKey>,
}

/// An image as tasks want it.
pub(super) struct Prepared {
    /// One for each task.
    pub(super) inputs: Vec<Input>,
    /// How long that took.
    pub(super) took: Duration,
}

impl Service {
    /// Decodes an image and prepares it as each task's pack wants; packs that want the same share the pixels.
    pub(super) async fn prepare(
        &self,
        image: Given,
        tasks: &[Pinned],
        (terms, bill): (&Terms, Arc<Bill>),
    ) -> Result<Prepared, Error> {
        let late = |_| Error::late();
        let wanted: Vec<Preprocessing> =
            tasks.iter().map(|task| task.pack.manifest.preprocessing.clone()).collect();
        let Given { index, picture } = image;
        if let Picture::Prepared(pixels) = &picture {
            // Without a known task it is one all the same.
            bill.decodes(wanted.len().max(1));
            let inputs =
                wanted.iter().map(|_| Input { pixels: Arc::clone(pixels).into(), image: None }).collect();
            return Ok(Prepared { inputs, took: Duration::ZERO });
        }
        let (deadline, may_keep, limits) = (terms.deadline.into(), terms.may_keep, self.shared.options.image);
        // Decoding is CPU work: a bounded number at once, in turn between flows.
        let place = self.shared.decoders.place(terms.share());
        let place = tokio::time::timeout_at(deadline, place).await.map_err(late)??;
        // Only other images that are being decoded are waited for.
        let held = self.shared.memory.decoding(terms.share(), footprint(&picture, &limits));
        let held = tokio::time::timeout_at(deadline, held).await.map_err(late)??;
        let span = tracing::debug_span!("decode", image = index);
        let engine = self.shared.engine.clone();
        let work = move || {
            let _span = span.entered();
            let started = Instant::now();
            // From here on the image is paid for, whether anybody still waits for it or not.
            bill.decodes(wanted.len());
            let inputs = inputs(&engine, (&picture, may_keep), &limits, &wanted);
            drop((held, bill));
            (inputs, started.elapsed())
        };
        let done = tokio::time::timeout_at(deadline, place.run(work)).await.map_err(late)?;
        let (inputs, took) = done?;
        self.shared.metrics.requests.decode_seconds.observe(took.as_secs_f64());
        Ok(Prepared { inputs: inputs.map_err(|failed| failed.of_image(index))?, took })
    }
}

/// Why an image was not prepared.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// It cannot be.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// There is no memory for it.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl Failed {
    /// The same of a request's image.
    fn of_image(self, index: usize) -> Error {
        match self {
            Self::Image(reason) => Error::Image { index, reason },
            Self::Engine(error) => error.into(),
        }
    }
}

/// One input for each preprocessing that is wanted.
fn inputs(
    engine: &Engine,
    (picture, may_keep): (&Picture, bool),
    limits: &image::Limits,
    wanted: &[Preprocessing],
) -> Result<Vec<Input>, Failed> {
    let decoded = decoded(picture, limits)?;
    let mut inputs: Vec<Input> = Vec::with_capacity(wanted.len());
    for (at, preprocessing) in wanted.iter().enumerate() {
        let same = wanted[..at].iter().position(|earlier| earlier == preprocessing);
        let input = match same {
            Some(earlier) => inputs[earlier].clone(),
            None => Input {
                pixels: engine.canvas()?.pixels(&decoded, preprocessing)?,
                image: may_keep.then(|| key(picture, preprocessing)).flatten(),
            },
        };
        inputs.push(input);
    }
    Ok(inputs)
}

/// Memory that an image takes while it is prepared, bytes.
fn footprint(picture: &Picture, limits: &image::Limits) -> u64 {
    match picture {
        Picture::Encoded(bytes) => image::footprint(bytes, limits),
        Picture::Rgb { samples, .. } => samples.len() as u64,
        Picture::Prepared(_) => 0,
    }
}

fn decoded(picture: &Picture, limits: &image::Limits) -> Result<RgbImage, image::Error> {
    match picture {
        Picture::Encoded(bytes) => image::decode(bytes, limits),
        Picture::Rgb { width, height, samples } => image::of_samples(*width, *height, samples, limits),
        Picture::Prepared(_) => Err(image::Error::Empty),
    }
}

/// By what an image may be found again. Samples are hashed with their size: the same samples in other lines differ.
fn key(picture: &Picture, preprocessing: &Preprocessing) -> Option<ImageKey> {
    let identity = preprocessing.identity();
    match picture {
        Picture::Encoded(bytes) => Some(ImageKey::new(bytes, identity)),
        Picture::Rgb { width, height, samples } => {
            let size = [&b"rgb"[..], &width.to_le_bytes(), &height.to_le_bytes()].concat();
            Some(ImageKey::new(samples, [&identity[..], &size].concat()))
        }
        Picture::Prepared(_) => None,
    }
}
