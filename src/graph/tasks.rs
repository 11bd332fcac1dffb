//! What one image costs under several tasks.

use super::build::plan_flops;
use super::{Error, Plan};
use crate::backbone::{BackboneConfig, BlockRange, Module, ModuleSet};

/// FLOPs of one image under `tasks` tasks with the same modules, none of which is in a block before `first`: those blocks
/// run once, the others once a task. Heads are not counted.
///
/// # Errors
/// As [`build`](super::build()).
pub fn tasks_flops(
    config: &BackboneConfig,
    first: usize,
    tasks: u64,
    (modules, width): (ModuleSet, &dyn Fn(Module) -> usize),
) -> Result<u64, Error> {
    let of = |start, end, modules| match start < end {
        true => plan_flops(config, &Plan { blocks: BlockRange { start, end }, modules }, width),
        false => Ok(0),
    };
    Ok(of(0, first, ModuleSet::EMPTY)? + tasks * of(first, config.depth(), modules)?)
}
