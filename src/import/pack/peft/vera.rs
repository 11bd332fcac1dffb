//! VeRA: `λ_b ⊙ (B · (λ_d ⊙ (A · x)))`, with A and B shared by all layers and cut to each one's widths.

use super::config::START;
use crate::backbone::{Form, Module, Source};
use crate::import::backbone::checkpoint::Tensor;
use crate::import::pack::gathered::{Gathered, LowRank};
use crate::import::pack::linear;
use crate::import::pack::refused::Refused;
use crate::import::pack::tensors::Tensors;

const DOWN: &str = "base_model.vera_A";
const UP: &str = "base_model.vera_B";

/// Takes the shared matrices and every layer's two vectors.
pub(super) fn take(tensors: &mut Tensors, gathered: &mut Gathered<'_>) -> Result<(), Refused> {
    let (down, up) = (tensors.take(DOWN)?, tensors.take(UP)?);
    for key in tensors.names() {
        let Some(start) = key.strip_suffix(".vera_lambda_d") else { continue };
        let (of_rank, of_output) = (tensors.take(&key)?, tensors.take(&format!("{start}.vera_lambda_b"))?);
        let module = start.strip_prefix(START).unwrap_or(start);
        let shared = Shared { down: &down, up: &up };
        shared
            .add(gathered, module, [&of_rank, &of_output])
            .map_err(|reason| tensors.refuse(&key, reason))?;
    }
    Ok(())
}

/// A `[r, widest input]` and B `[widest output, r]`.
struct Shared<'a> {
    down: &'a Tensor,
    up: &'a Tensor,
}

impl Shared<'_> {
    fn add(
        &self,
        gathered: &mut Gathered<'_>,
        module: &str,
        [of_rank, of_output]: [&Tensor; 2],
    ) -> Result<(), String> {
        let ([r, input], [output, r_up]) = (self.down.matrix()?, self.up.matrix()?);
        let sites = linear::sites(gathered.config, module)?;
        for site in &sites {
            let form = Form::Bypass { source: Source::Input, activation: None };
            gathered.check(Module { site: *site, form }, r)?;
        }
        let place = sites.first().and_then(|site| gathered.config.place(*site));
        let (d_in, d_out) = place.map_or((0, 0), |place| (place.input, place.width() * sites.len()));
        if r != r_up || d_in > input || d_out > output || of_rank.shape != [r] || of_output.shape != [d_out] {
            return Err(format!(
                "vera_A {:?}, vera_B {:?}, lambda_d {:?} and lambda_b {:?} do not fit a layer of {d_in} by {d_out}",
                self.down.shape, self.up.shape, of_rank.shape, of_output.shape
            ));
        }
        let row =
            |j: usize| self.down.data[j * input..j * input + d_in].iter().map(move |v| v * of_rank.data[j]);
        let down = Tensor { shape: vec![r, d_in], data: (0..r).flat_map(row).collect() };
        let row = |i: usize| self.up.data[i * r..(i + 1) * r].iter().map(move |v| v * of_output.data[i]);
        let up = Tensor { shape: vec![d_out, r], data: (0..d_out).flat_map(row).collect() };
        gathered.add_low_rank(&sites, &LowRank { down: &down, up: &up, scale: 1.0 })
    }
}
