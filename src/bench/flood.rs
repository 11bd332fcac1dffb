//! What a light flow feels of one that floods the engine, and how flows share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Bench, median};
use crate::engine::{Engine, EngineOptions, Flow, Row, Share};
use crate::metrics::Metrics;
use crate::pack::Pack;

/// Connections of the flow that floods.
const CONNECTIONS: usize = 8;
/// Rows of each of its requests, each under a task of its own.
const ROWS: usize = 4;
/// Time between an answer of the light flow and its next request.
const PAUSE: Duration = Duration::from_millis(20);

/// A light flow's waits beside nobody, and beside a flow that floods.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Harm {
    /// Rows in a batch.
    pub batch: usize,
    /// Whether the two are flows of their own, or both the shared one.
    pub apart: bool,
    /// Median and 99th percentile alone, seconds.
    pub alone: [f64; 2],
    /// The same beside the flood.
    pub beside: [f64; 2],
    /// Answers that the flood got a second.
    pub flood_rows_per_second: f64,
}

/// How flows that all want everything shared FLOPs.
#[derive(Clone, Debug, Serialize)]
pub struct Parted {
    /// Weights.
    pub weights: Vec<u32>,
    /// What each got, of all.
    pub parts: Vec<f64>,
    /// Jain's index of FLOPs for the weight: 1 is equal.
    pub jain: f64,
    /// Largest relative distance of a part from what the weights say.
    pub worst: f64,
}

/// An engine, and what it is asked.
struct Flooded {
    engine: Engine,
    packs: Vec<Arc<Pack>>,
    pixels: Vec<Arc<[f32]>>,
}

/// Who asks.
struct Asker<'a> {
    engine: &'a Engine,
    packs: &'a [Arc<Pack>],
    pixels: &'a [Arc<[f32]>],
    /// Names its tasks.
    name: u64,
    share: Share,
    stop: &'a AtomicBool,
    flops: &'a AtomicU64,
}

impl Asker<'_> {
    /// Asks for `rows` rows, each under another task, and waits for them. What is refused is tried again.
    fn ask(&self, rows: usize) -> Result<()> {
        let permits = loop {
            match self.engine.admit(self.share, rows) {
                Ok(permits) => break permits,
                Err(error) if error.retry_after().is_some() => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(error.into()),
            }
        };
        let mut waiting = Vec::new();
        for (number, permit) in permits.into_iter().enumerate() {
            let pack = Arc::clone(&self.packs[number % self.packs.len()]);
            let pixels = Arc::clone(&self.pixels[number % self.pixels.len()]);
            let row = Row::new(format!("bench-{}-{number}", self.name).parse()?, pixels, pack);
            waiting.push(self.engine.submit(Row { share: self.share, ..row }, permit));
        }
        for answer in waiting {
            let answer = answer.blocking_recv().context("the engine stopped")??;
            self.flops.fetch_add(answer.flops, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flood(&self, rows: usize) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            self.ask(rows)?;
        }
        Ok(())
    }

    /// Median and 99th percentile of single rows over some time.
    fn waits(&self, time: Duration) -> Result<[f64; 2]> {
        let end = Instant::now() + time;
        let mut waits = Vec::new();
        while Instant::now() < end {
            waits.push(super::seconds(|| self.ask(1))?);
            thread::sleep(PAUSE);
        }
        waits.sort_by(f64::total_cmp);
        let last = waits.get(waits.len() * 99 / 100).copied().unwrap_or(f64::NAN);
        Ok([median(waits), last])
    }
}

impl Bench {
    /// Times a light flow alone and beside a flood, each for `time`.
    ///
    /// # Errors
    /// When a program cannot be compiled or run.
    pub fn harm(&self, batch: usize, apart: bool, time: Duration) -> Result<Harm> {
        let Flooded { engine, packs, pixels } = self.flooded(batch)?;
        let (stop, mine, theirs) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let share = |number| if apart { Share::new(Flow::new(number), 1) } else { Share::EVERYBODY };
        let asker = |number, flops| Asker {
            engine: &engine,
            packs: &packs,
            pixels: &pixels,
            name: number,
            share: share(number),
            stop: &stop,
            flops,
        };
        let (light, heavy) = (asker(1, &mine), asker(2, &theirs));
        let alone = light.waits(time)?;
        let beside = thread::scope(|scope| {
            let floods: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| heavy.flood(ROWS))).collect();
            let beside = light.waits(time);
            stop.store(true, Ordering::Relaxed);
            floods.into_iter().try_for_each(joined)?;
            beside
        })?;
        let rows = theirs.into_inner() as f64 / packs[0].flops as f64;
        Ok(Harm { batch, apart, alone, beside, flood_rows_per_second: rows / time.as_secs_f64() })
    }

    /// How flows of such weights share the engine when all want everything, for `time`.
    ///
    /// # Errors
    /// When a program cannot be compiled or run.
    pub fn parted(&self, batch: usize, weights: &[u32], time: Duration) -> Result<Parted> {
        let Flooded { engine, packs, pixels } = self.flooded(batch)?;
        let stop = AtomicBool::new(false);
        let flops: Vec<AtomicU64> = weights.iter().map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            let mut floods = Vec::new();
            for ((number, &weight), flops) in (1..).zip(weights).zip(&flops) {
                let share = Share::new(Flow::new(number), weight);
                for _ in 0..CONNECTIONS {
                    let (engine, packs, pixels, stop) = (&engine, &packs, &pixels, &stop);
                    floods.push(scope.spawn(move || {
                        Asker { engine, packs, pixels, name: number, share, stop, flops }.flood(ROWS)
                    }));
                }
            }
            thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
            // What is served while all others end is not shared any more.
            let got: Vec<f64> = flops.iter().map(|flops| flops.load(Ordering::Relaxed) as f64).collect();
            floods.into_iter().try_for_each(joined)?;
            Ok(Parted::of(weights, &got))
        })
    }

    fn flooded(&self, max_batch: usize) -> Result<Flooded> {
        let max_wait = Duration::from_millis(2);
        let options = EngineOptions { max_wait, queue_limit: 128, ..self.one_batch(max_batch) };
        let engine = Engine::start(self.resident.clone(), Arc::new(Metrics::new()?), &options)?;
        let packs = (0..ROWS).map(|seed| self.pack(seed as u64)).collect::<Result<_>>()?;
        Ok(Flooded { engine, packs, pixels: self.images(ROWS) })
    }
}

fn joined(flood: thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    flood.join().ok().context("a thread that asks panicked")?
}

impl Parted {
    fn of(weights: &[u32], got: &[f64]) -> Self {
        let (all, weight) = (got.iter().sum::<f64>(), weights.iter().map(|&w| f64::from(w)).sum::<f64>());
        let parts: Vec<f64> = got.iter().map(|flops| flops / all).collect();
        let fair: Vec<f64> =
            parts.iter().zip(weights).map(|(part, &own)| part * weight / f64::from(own)).collect();
        let squares: f64 = fair.iter().map(|x| x * x).sum();
        let jain = fair.iter().sum::<f64>().powi(2) / (fair.len() as f64 * squares);
        let worst = fair.iter().map(|x| (x - 1.0).abs()).fold(0.0, f64::max);
        Self { weights: weights.to_vec(), parts, jain, worst }
    }
}
