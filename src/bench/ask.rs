//! One batch through the engine.

use std::sync::Arc;

use anyhow::{Context, Result};

use crate::engine::{Engine, ImageKey, Row, Share};
use crate::pack::Pack;

/// One batch, admitted together so that it runs together.
pub(super) fn ask(
    engine: &Engine,
    (pixels, image): (&[Arc<[f32]>], Option<ImageKey>),
    packs: &[Arc<Pack>],
) -> Result<()> {
    let permits = engine.admit(Share::EVERYBODY, packs.len())?;
    let mut waiting = Vec::new();
    for (i, ((pack, pixels), permit)) in packs.iter().zip(pixels).zip(permits).enumerate() {
        let (task, pixels, pack) = (format!("bench-{i}").parse()?, Arc::clone(pixels), Arc::clone(pack));
        waiting.push(engine.submit(Row { image, ..Row::new(task, pixels, pack) }, permit));
    }
    for answer in waiting {
        answer.blocking_recv().context("the engine stopped")??;
    }
    Ok(())
}
