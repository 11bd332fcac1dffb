//! What a head on several depths reads, and how it is fitted.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::backbone::BackboneConfig;
use crate::train::method::linear::LinearOptions;

/// Share of the least strength at which no depth is read, unless it is set.
pub const LASSO: f64 = 0.05;

/// A head on the features of several depths.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthHeadOptions {
    /// How a head is fitted.
    pub head: LinearOptions,
    /// Depths that it begins with, ascending; every second one of the later half without, the last among them.
    pub depths: Option<Vec<usize>>,
    /// Strength of the group lasso, as a share of the least one at which no depth is read. 0 drops none.
    pub lasso: f64,
}

impl Default for DepthHeadOptions {
    fn default() -> Self {
        Self { head: LinearOptions::default(), depths: None, lasso: LASSO }
    }
}

impl DepthHeadOptions {
    /// Its name.
    pub const NAME: &str = "depth-head";

    /// One whose head is fitted so.
    pub fn of(head: LinearOptions) -> Self {
        Self { head, ..Self::default() }
    }

    /// Reads `lasso=NUMBER` or `depths=6,12`, as typed.
    ///
    /// # Errors
    /// When there is no such setting, or its value cannot be read.
    pub fn set(&mut self, typed: &str) -> Result<()> {
        let (name, value) = typed.split_once('=').unwrap_or((typed, ""));
        let context = || format!("{}: {name} = {value:?}", Self::NAME);
        match name {
            "lasso" => self.lasso = value.parse().with_context(context)?,
            "depths" => {
                let depths = value.split(',').map(|depth| depth.trim().parse::<usize>());
                self.depths = Some(depths.collect::<Result<_, _>>().with_context(context)?);
            }
            _ => bail!("{} has no setting {name:?}: it has depths and lasso", Self::NAME),
        }
        Ok(())
    }

    /// As [`DepthHeadOptions::set`], of a value from JSON.
    ///
    /// # Errors
    /// As [`DepthHeadOptions::set`].
    pub(in crate::train) fn set_json(&mut self, name: &str, value: &Value) -> Result<()> {
        let told = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let typed = match value {
            Value::Array(several) => several.iter().map(told).collect::<Vec<_>>().join(","),
            one => told(one),
        };
        self.set(&format!("{name}={typed}"))
    }

    /// The depths that it begins with, on a backbone.
    pub fn candidates(&self, config: &BackboneConfig) -> Vec<usize> {
        let last = config.depth();
        self.depths.clone().unwrap_or_else(|| {
            let mut depths: Vec<usize> =
                (1..=last).rev().step_by(2).filter(|depth| 2 * depth >= last).collect();
            depths.reverse();
            depths
        })
    }

    /// Checks that the backbone has the depths, and that the options can train.
    ///
    /// # Errors
    /// With the option that cannot.
    pub(in crate::train) fn checked(&self, config: &BackboneConfig) -> Result<()> {
        self.head.check()?;
        let (lasso, depths, last) = (self.lasso, self.candidates(config), config.depth());
        ensure!(lasso >= 0.0 && lasso.is_finite(), "lasso is {lasso}, expected 0 or more");
        ensure!(!depths.is_empty(), "depths is empty, expected some of 1 to {last}");
        let other = depths.iter().find(|depth| !(1..=last).contains(*depth));
        ensure!(other.is_none(), "depth {}: expected 1 to {last}", other.copied().unwrap_or_default());
        ensure!(depths.is_sorted_by(|a, b| a < b), "depths {depths:?}: expected each once, ascending");
        Ok(())
    }
}
