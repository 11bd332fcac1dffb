//! What was typed after `compare`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use mimi_server::train::study::{CompareOptions, Contender};
use mimi_server::train::{Adaptation, LinearOptions, MimiOptions};

use super::RuntimeArgs;
use super::augment::AugmentArgs;
use super::images::ImagesArgs;
use super::mimi::MimiArgs;
use super::recipe::RecipeArgs;

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Images, in any form that train-task reads.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    #[command(flatten)]
    pub images: ImagesArgs,
    /// Methods to compare: probe, adapters, uniform, wide, mimi, local, unscaled, widths, down-only,
    /// gradient, product, taylor, activation, contribution, random; and before training, with single weights or neurons:
    /// snip, snip-neurons, grasp, grasp-neurons, sparse-adapter, sparse-adapter-neurons; and the backbone's own weights, all
    /// or some: full, attention, mlp.
    #[arg(long, value_delimiter = ',', default_value = "probe,adapters,mimi", value_name = "NAMES")]
    pub contenders: Vec<Contender>,
    /// Runs of each method, with the seeds 0, 1, ...
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Most memory that training the backbone's own weights takes beside it, MiB. Default: no bound.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
    /// Folder for results.json, table.md and plot.svg. Runs that results.json already holds are not repeated.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Heading of the plot.
    #[arg(long, default_value = "MiMi")]
    pub title: String,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub mimi: MimiArgs,
    #[command(flatten)]
    pub augment: AugmentArgs,
}

impl CompareArgs {
    /// What to compare. The head alone keeps its own recipe, which suits it better, and sees images as they are.
    ///
    /// # Errors
    /// When a recipe cannot be read.
    pub fn options(&self) -> Result<CompareOptions> {
        ensure!(
            self.mimi.prunes == Adaptation::default(),
            "compare prunes adapters only, not {}",
            self.mimi.prunes.name()
        );
        let augment = self.augment.options();
        let mimi = MimiOptions { augment, ..self.mimi.options(&self.recipe, 0)? };
        Ok(CompareOptions {
            images: self.images.origin(&self.data, 0),
            mimi,
            linear: LinearOptions::default(),
            contenders: self.contenders.clone(),
            memory: self.memory.map(|mib| mib << 20),
            seeds: (0..self.seeds).collect(),
            results: self.out.join("results.json"),
        })
    }
}
