//! LoRA: `lora_A` `[r, in]` and `lora_B` `[out, r]` beside a linear layer.

use super::config::{Lora, START};
use crate::import::pack::gathered::{Gathered, LowRank};
use crate::import::pack::linear;
use crate::import::pack::refused::Refused;
use crate::import::pack::tensors::Tensors;

/// Takes every pair of matrices.
pub(super) fn take(tensors: &mut Tensors, lora: &Lora, gathered: &mut Gathered<'_>) -> Result<(), Refused> {
    for key in tensors.names() {
        let Some(start) = key.strip_suffix(".lora_A.weight") else { continue };
        let down = tensors.take(&key)?;
        let up = tensors.take(&format!("{start}.lora_B.weight"))?;
        let module = start.strip_prefix(START).unwrap_or(start);
        let rank = lora.rank(module);
        let mut add = || {
            let sites = linear::sites(gathered.config, module)?;
            if down.shape.first().is_none_or(|found| *found as f64 != rank) {
                return Err(format!("has shape {:?}, the configuration says rank {rank}", down.shape));
            }
            let scale = lora.scale(module) as f32;
            gathered.add_low_rank(&sites, &LowRank { down: &down, up: &up, scale })
        };
        add().map_err(|reason| tensors.refuse(&key, reason))?;
    }
    Ok(())
}
