//! Preparation: bytes to pixels, off the threads that serve sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ask::Terms;
use super::bill::Bill;
use super::error::Error;
use super::handle::Service;
use crate::engine::ImageKey;
use crate::image::{self, Preprocessing};
use crate::reload::Pinned;

/// One of a request's images.
pub(super) struct Encoded {
    /// Which one.
    pub(super) index: usize,
    pub(super) bytes: Bytes,
}

/// An image as it enters the backbone.
#[derive(Clone)]
pub(super) struct Input {
    /// `[3, S, S]`.
    pub(super) pixels: Arc<[f32]>,
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
        image: Encoded,
        tasks: &[Pinned],
        (terms, bill): (&Terms, Arc<Bill>),
    ) -> Result<Prepared, Error> {
        let late = |_| Error::late();
        let wanted: Vec<Preprocessing> =
            tasks.iter().map(|task| task.pack.manifest.preprocessing.clone()).collect();
        let Encoded { index, bytes } = image;
        let (deadline, may_keep, limits) = (terms.deadline.into(), terms.may_keep, self.shared.options.image);
        // Decoding is CPU work: a bounded number at once, in turn between flows.
        let place = self.shared.decoders.place(terms.caller.share());
        let place = tokio::time::timeout_at(deadline, place).await.map_err(late)??;
        // Only other images that are being decoded are waited for.
        let held = self.shared.memory.decoding(terms.caller.share(), image::footprint(&bytes, &limits));
        let held = tokio::time::timeout_at(deadline, held).await.map_err(late)??;
        let work = move || {
            let started = Instant::now();
            // From here on the image is paid for, whether anybody still waits for it or not.
            bill.decodes(wanted.len());
            let inputs = inputs(&bytes, may_keep, &limits, &wanted);
            drop((held, bill));
            (inputs, started.elapsed())
        };
        let done = tokio::time::timeout_at(deadline, place.run(work)).await.map_err(late)?;
        let (inputs, took) = done?;
        self.shared.metrics.decode_seconds.observe(took.as_secs_f64());
        Ok(Prepared { inputs: inputs.map_err(|reason| Error::Image { index, reason })?, took })
    }
}

/// One input for each preprocessing that is wanted.
fn inputs(
    bytes: &[u8],
    may_keep: bool,
    limits: &image::Limits,
    wanted: &[Preprocessing],
) -> Result<Vec<Input>, image::Error> {
    let decoded = image::decode(bytes, limits)?;
    let mut inputs: Vec<Input> = Vec::with_capacity(wanted.len());
    for (at, preprocessing) in wanted.iter().enumerate() {
        let same = wanted[..at].iter().position(|earlier| earlier == preprocessing);
        let input = match same {
            Some(earlier) => inputs[earlier].clone(),
            None => Input {
                pixels: preprocessing.apply(&decoded)?.into(),
                image: may_keep.then(|| ImageKey::new(bytes, preprocessing.identity())),
            },
        };
        inputs.push(input);
    }
    Ok(inputs)
}
