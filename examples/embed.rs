//! Embeds the engine in a program: one backbone, one pack, one image, no HTTP.
//!
//! ```text
//! cargo run --release --example embed -- models/clip-vit-b16 adapters/openclipart/4 tests/images/sample.png
//! ```
//!
//! A program with many packs starts one [`Engine`], reads its packs once, and submits a row per image and pack. Rows
//! that wait together run together, whatever their packs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use mimi_server::engine::{Engine, EngineOptions, Row, Share};
use mimi_server::image::{self, Limits};
use mimi_server::metrics::Metrics;
use mimi_server::pack;
use mimi_server::runtime::{self, Resident, RuntimeOptions, WeightOptions};

/// Starts an engine over the backbone in a folder.
pub fn start(backbone: &Path, options: &RuntimeOptions) -> Result<Engine> {
    let resident = Resident::open(backbone, options, WeightOptions::default())?;
    let options =
        EngineOptions { max_batch: 4, queue_limit: 64, max_programs: 4, ..EngineOptions::default() };
    Ok(Engine::start(resident, Arc::new(Metrics::new()?), &options)?)
}

/// The likeliest label of an image under the pack in a folder, with its logit.
pub fn classify(engine: &Engine, folder: &Path, image: &[u8]) -> Result<(String, f32)> {
    let (pack, _self_test) = pack::read(folder, engine.config())?;
    let decoded = image::decode(image, &Limits::default())?;
    let pixels = engine.canvas()?.pixels(&decoded, &pack.manifest.preprocessing)?;
    let pack = Arc::new(pack);
    // A program for exactly the pack's modules: adapters that training removed cost nothing.
    engine.prepare(pack.modules).blocking_recv().context("the engine has stopped")??;
    let permit = engine.admit(Share::EVERYBODY, 1)?.pop().context("one row was asked for")?;
    let row = Row::new("embedded".parse()?, pixels, Arc::clone(&pack));
    let answer = engine.submit(row, permit).blocking_recv().context("the engine has stopped")??;
    let scored = pack.manifest.labels.iter().zip(answer.logits);
    let (label, logit) = scored.max_by(|a, b| a.1.total_cmp(&b.1)).context("the pack has no class")?;
    Ok((label.clone(), logit))
}

#[allow(dead_code, reason = "a test includes this file for the functions above")]
fn main() -> Result<()> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let mut next = || paths.next().context("usage: embed BACKBONE PACK IMAGE");
    let (backbone, folder, image) = (next()?, next()?, next()?);
    let library = std::env::var_os("MIMI_ONNXRUNTIME").map(PathBuf::from);
    let library = library.unwrap_or_else(|| "vendor/onnxruntime/libonnxruntime.so.1.31.1".into());
    // Before the library is loaded: ONNX Runtime sends telemetry otherwise.
    runtime::disable_telemetry();
    let options = RuntimeOptions { library, device: "cpu".parse()?, threads: 2, spin: false };
    let engine = start(&backbone, &options)?;
    let (label, logit) = classify(&engine, &folder, &std::fs::read(image)?)?;
    println!("{label} (logit {logit:.2})");
    engine.stop();
    Ok(())
}
