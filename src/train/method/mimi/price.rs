//! What a neuron costs where it is, when many tasks share an image.

use std::collections::BTreeMap;

use crate::backbone::{BackboneConfig, Module, ModuleSet};
use crate::graph::{Error, tasks_flops};

/// How steeply prices rise, unless another exponent is asked for: as the root of costs. As costs themselves, they left only the
/// last of twelve blocks in a training of 416 steps (docs/method.md).
pub const STEEPNESS: f64 = 0.5;
/// The steepest prices. Those of the first and the last of 24 blocks are then 11 powers of ten apart.
pub const STEEPEST: f64 = 8.0;
/// Tasks that share an image.
const TASKS: u64 = 8;

/// The price of a neuron of each module, of the dearest 1:
///
/// ```text
/// c = F({neuron}) − F({}) = (K − 1) · S + K · a          p = (c / max c) ^ steepness
/// ```
/// F are the FLOPs of one image under K = 8 tasks ([`tasks_flops`]), S those from the neuron's block to the end, a the
/// neuron's own. So c is what eight tasks pay for their first neuron there. Later ones in the same block, or behind it, cost
/// only their own; that each pays for all is what makes blocks empty as a whole.
///
/// # Errors
/// When the backbone has no such module.
pub fn prices(
    config: &BackboneConfig,
    modules: ModuleSet,
    steepness: f64,
) -> Result<BTreeMap<Module, f64>, Error> {
    let under_eight = |first, modules| tasks_flops(config, first, TASKS, (modules, &|_| 1));
    let none = under_eight(config.depth(), ModuleSet::EMPTY)?;
    let cost = |module: Module| {
        let with = under_eight(module.site.block, ModuleSet::from_iter([module]))?;
        Ok((module, (with - none) as f64))
    };
    let costs = modules.iter().map(cost).collect::<Result<BTreeMap<_, _>, Error>>()?;
    let dearest = costs.values().fold(f64::MIN_POSITIVE, |most, cost| most.max(*cost));
    Ok(costs.into_iter().map(|(module, cost)| (module, (cost / dearest).powf(steepness))).collect())
}
