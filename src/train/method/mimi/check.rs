//! Whether a training's options make sense on a backbone.

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::options::{MimiOptions, Target};
use super::price::STEEPEST;
use super::prune::Selection;
use crate::adaptation::{Chosen, Drawn};
use crate::backbone::{BackboneConfig, Part};
use crate::train::optim::recipe::{check_head_bits, check_rates};

/// First values that are looked at.
const SAMPLE: usize = 16;

impl MimiOptions {
    /// Checks that the numbers make sense on this backbone.
    ///
    /// # Errors
    /// When one does not, with its name.
    pub fn check(&self, config: &BackboneConfig) -> Result<()> {
        let (block, depth) = (self.first_block, config.depth());
        ensure!(block < depth, "the first block with adapters is {block}, the backbone has {depth} blocks");
        let sigma = self.sigma;
        ensure!(sigma > 0.0 && sigma.is_finite(), "sigma_0 is {sigma}, expected more than 0");
        ensure!(self.rho > 0.0 && self.rho < 1.0, "rho is {}, expected a share between 0 and 1", self.rho);
        ensure!(self.rank > 0, "the rank is 0, expected at least 1");
        ensure!(
            !self.modules(config).is_empty(),
            "{} has no module in the blocks from {block} on of {}",
            self.adaptation.name(),
            config.name
        );
        self.check_widths(config)?;
        self.kind(config).on(config).check()?;
        self.check_target()?;
        self.check_front()?;
        self.check_gates()?;
        self.check_bits()?;
        self.check_score(config)?;
        ensure!(self.epochs > 0 && self.batch > 0, "epochs and batch must be at least 1");
        check_rates(self.rate, self.step.decay)?;
        let drop_path = self.step.drop_path;
        ensure!((0.0..1.0).contains(&drop_path), "the drop path is {drop_path}, expected 0 to less than 1");
        let smoothing = self.smoothing;
        ensure!((0.0..=1.0).contains(&smoothing), "smoothing is {smoothing}, expected 0 to 1");
        self.augment.check()
    }

    /// Widths must fit a pack, and pruning must have something to do.
    fn check_widths(&self, config: &BackboneConfig) -> Result<()> {
        let (widths, name) = (self.first_widths(config), self.adaptation.name());
        for (module, &width) in &widths {
            let most = config.widest(*module);
            ensure!(width <= most, "{module} would be {width} wide, a pack holds at most {most} there");
        }
        if self.target == Target::Never {
            return Ok(());
        }
        ensure!(
            !self.adaptation.is_factorised(self.modules(config)),
            "{name} makes its matrices of smaller ones: there are no neurons to prune"
        );
        ensure!(widths.keys().any(|module| module.form.has_neurons()), "{name} has no neurons to prune");
        if let Target::Sigma(sigma) = self.target {
            let whole: usize = widths.keys().map(|module| config.block_width(module.site.block)).sum();
            let first = whole as f64 / widths.values().sum::<usize>() as f64;
            ensure!(
                self.adaptation.follows_sigma() || first < sigma,
                "{name} begins at a rate of {first:.1} and pruning ends at {sigma}: choose a larger rank or rate"
            );
        }
        Ok(())
    }

    /// Served tensors of other methods are made of trained ones.
    fn check_bits(&self) -> Result<()> {
        ensure!(
            self.bits.adapters.is_none() || self.adaptation == Chosen::default(),
            "few bits a weight are of adapters: {} keeps its own tensors",
            self.adaptation.name()
        );
        ensure!(
            self.bits.adapters.is_none() || self.at_start().is_none(),
            "few bits a weight have no zeros that a score before training could hold"
        );
        check_head_bits(self.bits.head)
    }

    /// Whole blocks go only where neurons are chosen among all, after a training.
    fn check_front(&self) -> Result<()> {
        let Some(share) = self.front.filter(|_| self.target != Target::Never) else { return Ok(()) };
        ensure!((0.0..1.0).contains(&share), "tau is {share}, expected 0 to less than 1");
        ensure!(
            self.selection == Selection::Global && self.at_start().is_none(),
            "the front-first cut removes whole blocks after a training: it needs the global selection, and no score \
             before training"
        );
        Ok(())
    }

    /// Gates choose neurons among all while they are trained.
    fn check_gates(&self) -> Result<()> {
        let Some(price) = self.gates() else { return Ok(()) };
        ensure!((0.0..=STEEPEST).contains(&price), "the price is {price}, expected 0 to {STEEPEST}");
        ensure!(self.front.is_none(), "neurons go by gates or with whole early blocks: give a price or tau");
        ensure!(
            self.selection == Selection::Global && self.at_start().is_none(),
            "gates choose neurons among all while they are trained: they need the global selection, and no score before \
             training"
        );
        ensure!(
            !matches!(self.target, Target::Accuracy(_)),
            "gates are frozen at a size: choose a target of sigma or parameters instead of an accuracy"
        );
        ensure!(self.bits.adapters.is_none(), "few bits a weight are of matrices without gates");
        ensure!(
            self.epochs > 1,
            "gates are frozen after half of the epochs: there is 1, expected at least 2"
        );
        Ok(())
    }

    fn check_target(&self) -> Result<()> {
        match self.target {
            Target::Sigma(sigma) => {
                ensure!(sigma > 0.0 && sigma.is_finite(), "sigma is {sigma}, expected more than 0");
            }
            Target::Accuracy(least) => {
                ensure!(least >= 0.0, "the accuracy to keep is {least}, expected 0 or more");
            }
            Target::Parameters(_) | Target::Never => {}
        }
        Ok(())
    }

    /// A score before training must see weights that are not zero, and has no accuracy to go by.
    fn check_score(&self, config: &BackboneConfig) -> Result<()> {
        if self.target == Target::Never {
            return Ok(());
        }
        let Some(score) = self.at_start() else {
            ensure!(
                self.selection != Selection::Unstructured,
                "only the scores before training (snip, grasp, sparse-adapter) choose single weights: with {:?}, \
                 select neurons globally or locally",
                self.score
            );
            return Ok(());
        };
        ensure!(
            !matches!(self.target, Target::Accuracy(_)),
            "{score:?} prunes once, before training: choose a target of sigma or parameters instead of an accuracy"
        );
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut draw = Drawn { config, random: &mut random, count: SAMPLE, fan_in: SAMPLE, init: self.init };
        let second = self.adaptation.begin(Part::Up, &mut draw);
        ensure!(
            second.iter().any(|value| *value != 0.0),
            "{score:?} scores weights before training, and {} would begin with a second matrix of zeros: each weight \
             times its gradient would be 0. Choose another --init",
            self.adaptation.name()
        );
        Ok(())
    }
}
