//! One image after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt};
use sha2::{Digest, Sha256};

use super::asker::Asker;
use super::images::Listed;
use super::ledger::{Format, Identity, Ledger};
use super::patience::ask;
use super::question::{Outcome, Question};
use crate::backbone::hex;
use crate::service::Code;

/// How images are asked about.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is asked of each.
    pub question: Question,
    /// Who answers, so that a run goes on only with the same.
    pub by: String,
    /// Images asked about at once.
    pub at_once: usize,
    /// Largest image, bytes.
    pub largest: u64,
    /// How long a server may give no answer before the run stops.
    pub patience: Duration,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Images with a line.
    pub done: usize,
    /// Images.
    pub count: usize,
    /// Images a second since this run began.
    pub rate: f64,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Images.
    pub images: usize,
    /// Of those, the ones that were at fault: no task says anything of them.
    pub failed: usize,
    /// Of those, the ones that a run before had asked about.
    pub resumed: usize,
    /// Answers of single tasks: predictions.
    pub predicted: usize,
    /// Answers of single tasks: failures.
    pub refused: usize,
}

/// Asks about every image and writes what is answered. `out` appears when all of it is there.
///
/// # Errors
/// When a file cannot be written, `out` is there already or was begun by another run, or no answer comes. What was
/// answered until then is kept for the next run.
pub async fn run(
    asker: Arc<dyn Asker>,
    images: &[Listed],
    out: &Path,
    settings: &Settings,
    mut show: impl FnMut(Progress),
) -> Result<Summary> {
    let format = Format::of(out)?;
    let mut ledger = Ledger::open(out, &settings.identity(images))?;
    let (resumed, count, begun) = (ledger.done, images.len(), Instant::now());
    let asked = images[resumed..].iter().map(|image| {
        let (asker, image, settings) = (Arc::clone(&asker), image.clone(), settings.clone());
        async move { (image.name.clone(), settings.about(&*asker, &image).await) }
    });
    let mut outcomes = std::pin::pin!(stream::iter(asked).buffered(settings.at_once.max(1)));
    while let Some((name, outcome)) = outcomes.next().await {
        ledger.write(&name, outcome.with_context(|| format!("image {name}"))?)?;
        let rate = (ledger.done - resumed) as f64 / begun.elapsed().as_secs_f64().max(1e-9);
        show(Progress { done: ledger.done, count, rate });
    }
    let (predicted, refused) = (ledger.tasks.answered, ledger.tasks.failed);
    let summary = Summary { images: count, failed: ledger.failed, resumed, predicted, refused };
    ledger.finish(format)?;
    Ok(summary)
}

impl Settings {
    fn identity(&self, images: &[Listed]) -> Identity {
        let Question { tasks, top_k, logits } = self.question.clone();
        let mut names = Sha256::new();
        for Listed { name, path } in images {
            let path = path.as_os_str().as_encoded_bytes();
            for part in [name.as_bytes(), path] {
                names.update((part.len() as u64).to_le_bytes());
                names.update(part);
            }
        }
        let names = hex(&names.finalize());
        Identity { tasks, top_k, logits, by: self.by.clone(), images: images.len(), names }
    }

    async fn about(&self, asker: &dyn Asker, image: &Listed) -> Result<Outcome> {
        match self.read(image).await {
            Ok(bytes) => ask(asker, &self.question, &bytes, self.patience).await,
            Err(refused) => Ok(refused),
        }
    }

    /// An image's bytes, or why there are none.
    async fn read(&self, image: &Listed) -> Result<Vec<u8>, Outcome> {
        let refused = |code: Code, error: String| Outcome::Refused { error, code: code.as_str().into() };
        let unread = |error: std::io::Error| refused(Code::InvalidImage, format!("cannot be read: {error}"));
        let data = tokio::fs::metadata(&image.path).await.map_err(unread)?;
        if !data.is_file() {
            return Err(refused(Code::InvalidImage, "is not a file".into()));
        }
        if data.len() > self.largest {
            let error = format!("{} bytes: at most {}", data.len(), self.largest);
            return Err(refused(Code::ImageTooLarge, error));
        }
        tokio::fs::read(&image.path).await.map_err(unread)
    }
}
