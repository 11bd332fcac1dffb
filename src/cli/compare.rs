//! What was typed after `compare`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use mimi_server::train::study::{
    CompareOptions, Contender, Entrant, ImageSet, Machine, MethodsOptions, Terms, Turn,
};
use mimi_server::train::{
    Adaptation, FinetuneOptions, LinearOptions, MimiOptions, StepOptions, Subset, Target,
};

use super::RuntimeArgs;
use super::augment::AugmentArgs;
use super::images::ImagesArgs;
use super::methods::{MethodsArgs, Named, Seeds};
use super::mimi::MimiArgs;
use super::recipe::RecipeArgs;

/// Images in one step of every method: as many steps are then as many images.
const BATCH: usize = 64;

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Images, in any form that train-task reads; with --methods several sets, each with a name for the tables.
    #[arg(long, value_name = "[NAME=]DIR", required = true,
        value_parser = OsStringValueParser::new().try_map(Named::read))]
    pub data: Vec<Named>,
    #[command(flatten)]
    pub images: ImagesArgs,
    /// MiMi and its ablations, to be compared on one set: probe, adapters, uniform, wide, mimi, local, unscaled, widths,
    /// down-only, gradient, product, taylor, activation, contribution, random, front-first, gates; and before training, with single weights or
    /// neurons: snip, snip-neurons, grasp, grasp-neurons, sparse-adapter, sparse-adapter-neurons; and the backbone's own
    /// weights, all or some: full, attention, mlp.
    #[arg(long, value_delimiter = ',', default_value = "probe,adapters,mimi", value_name = "NAMES")]
    pub contenders: Vec<Contender>,
    /// Most memory that training the backbone's own weights takes beside it, MiB. Default: no bound.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
    /// Seeds: a list such as 0,1,2, or a count of runs with the seeds 0, 1, ...
    #[arg(long, default_value = "3")]
    pub seeds: Seeds,
    /// Folder for results.json (results.jsonl of --methods), table.md and plots. Runs that are there are not made again.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Heading of the plots. Default: MiMi, or the backbone's name with --methods.
    #[arg(long)]
    pub title: Option<String>,
    #[command(flatten)]
    pub methods: MethodsArgs,
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
        self.check()?;
        let [data] = &self.data[..] else { bail!("contenders meet on one set of images; see --methods") };
        let augment = self.augment.options();
        let mimi = MimiOptions { augment, ..self.mimi.options(&self.recipe, 0)? };
        Ok(CompareOptions {
            images: self.images.origin(&data.path, 0),
            mimi,
            linear: LinearOptions::default(),
            contenders: self.contenders.clone(),
            seeds: self.seeds.0.clone(),
            memory: self.memory.map(|mib| mib << 20),
            results: self.out.join("results.json"),
        })
    }

    /// What is compared prunes adapters, or what its name says, to a rate.
    fn check(&self) -> Result<()> {
        ensure!(
            self.mimi.prunes == Adaptation::default(),
            "compare prunes adapters, not {}: see mimi:{0} of --methods",
            self.mimi.prunes.name()
        );
        ensure!(
            matches!(self.mimi.target(), Target::Sigma(_)),
            "compare prunes to a rate: give --sigma instead of --parameters or --accuracy"
        );
        self.mimi.pruning.check(true)
    }

    /// Which methods to compare; none where contenders are.
    ///
    /// # Errors
    /// When a method, a setting or a recipe does not exist or cannot be read, or two sets have one name.
    pub fn methods(&self) -> Result<Option<MethodsOptions>> {
        let names = self.methods.names();
        if names.is_empty() {
            return Ok(None);
        }
        self.check()?;
        let recipe = RecipeArgs { epochs: None, batch: self.recipe.batch.or(Some(BATCH)), ..self.recipe };
        let adapt = |adaptation| {
            let augment = self.augment.options();
            Ok(MimiOptions { augment, ..self.mimi.once(adaptation, &recipe, 0)? })
        };
        let finetune = |subset| self.finetune(subset, &recipe);
        let linear = recipe.linear(0);
        let terms = Terms { linear, target: self.mimi.target(), adapt: &adapt, finetune: &finetune };
        let asked = |name: &String| self.methods.methods.contains(name);
        let entrant = |name: &String| {
            let found = Entrant::named(name, &terms)?;
            Ok(Entrant { is_optional: !asked(name), ..found })
        };
        Ok(Some(MethodsOptions {
            sets: self.sets()?,
            entrants: names.iter().map(entrant).collect::<Result<_>>()?,
            settings: self.methods.settings()?,
            tune: self.methods.tune,
            seeds: self.seeds.0.clone(),
            budget: self.methods.budget(self.recipe.epochs),
            first_block: self.mimi.first_block,
            results: self.out.join("results.jsonl"),
            multiple: 1,
            elsewhere: Vec::new(),
            turn: Turn::default(),
            machine: Machine::here(""),
            protocol: None,
        }))
    }

    /// How weights of the backbone itself are trained: by their recipe, with everybody's batches and images.
    fn finetune(&self, subset: Subset, recipe: &RecipeArgs) -> Result<FinetuneOptions> {
        let own = FinetuneOptions::of(subset)?;
        Ok(FinetuneOptions {
            first_block: self.mimi.first_block,
            batch: recipe.batch.unwrap_or(own.batch),
            augment: self.augment.options(),
            memory: self.memory.map(|mib| mib << 20),
            rate: recipe.learning_rate.unwrap_or(own.rate),
            smoothing: self.mimi.smoothing.unwrap_or(own.smoothing),
            step: StepOptions {
                decay: recipe.weight_decay.unwrap_or(own.step.decay),
                clip: self.mimi.clip.unwrap_or(own.step.clip),
                drop_path: self.mimi.drop_path.unwrap_or(own.step.drop_path),
                micro_batch: self.mimi.micro_batch,
            },
            ..own
        })
    }

    fn sets(&self) -> Result<Vec<ImageSet>> {
        let set = |named: &Named| {
            let origin = self.images.origin(&named.path, 0);
            ImageSet { name: named.told(), origin, is_moved: false, refuses_tests: false }
        };
        let sets: Vec<ImageSet> = self.data.iter().map(set).collect();
        let odd = sets.iter().find(|set| set.name.is_empty() || set.name.contains(['/', '\\']));
        ensure!(odd.is_none(), "{:?} cannot name a set: give NAME=DIR", odd.map_or("", |set| &set.name));
        let names: BTreeSet<&str> = sets.iter().map(|set| set.name.as_str()).collect();
        ensure!(names.len() == sets.len(), "two sets of images have one name: give them names, NAME=DIR");
        let alone = sets.len() == 1 || self.images.validation.is_none();
        ensure!(alone, "--validation is of one set: several must hold their own test images");
        let listed = self.images.walk.list_skipped.is_some();
        ensure!(
            sets.len() == 1 || !listed,
            "--list-skipped is of one set: several would write over each other's"
        );
        Ok(sets)
    }
}
