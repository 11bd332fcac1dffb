//! What models did.

use super::Protocol;
use super::protocol::Serving;
use super::repository::MAX_INDEX;
use crate::pack::TaskId;
use crate::service::{Error, Phase, Tally};
use crate::tenants::{Caller, Scope};

/// The phases of requests and their images.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Requests that were answered, from their bodies to their answers.
    pub success: Phase,
    /// Requests that were not.
    pub fail: Phase,
    /// Waits of images for their batches.
    pub queue: Phase,
    /// Decoding and resizing of images.
    pub compute_input: Phase,
    /// Runs of batches, counted once for each image in them.
    pub compute_infer: Phase,
}

/// Batches of one size that had images of the model, beside those of other models.
#[derive(Clone, Copy, Debug)]
pub struct BatchStatistics {
    /// Images in the batch.
    pub size: usize,
    /// Runs, counted once for each image of the model.
    pub compute_infer: Phase,
}

/// What a model's live version did since the server started.
#[derive(Clone, Debug)]
pub struct ModelStatistics {
    /// The task.
    pub name: String,
    /// The live version.
    pub version: String,
    /// When the last request was answered, milliseconds since the epoch; 0 before the first.
    pub last_inference: u64,
    /// Images answered.
    pub inference_count: u64,
    /// Batches, each counted by the model's part of it.
    pub execution_count: u64,
    /// Time by phase.
    pub phases: Phases,
    /// Runs by the size of their batches.
    pub batches: Vec<BatchStatistics>,
}

impl Protocol {
    /// What one model did, or every model that the caller may know of.
    ///
    /// # Errors
    /// As [`Protocol::model_ready`] where a model is named.
    pub async fn statistics(
        &self,
        caller: &Caller,
        model: Option<&str>,
        version: Option<&str>,
    ) -> Result<Vec<ModelStatistics>, Error> {
        if let Some(model) = model {
            let Serving { task, version } = self.serving(caller, model, version).await?;
            return Ok(vec![self.told(caller, &task, version)]);
        }
        let all = self.service.page(caller, None, MAX_INDEX).tasks;
        Ok(all.iter().filter_map(|status| Some(self.told(caller, &status.task, status.live?))).collect())
    }

    /// What a caller may know: of a task that it shares with others nothing but its version, and of batches, which have
    /// others' rows too, only with the scope `admin`.
    fn told(&self, caller: &Caller, task: &TaskId, version: u64) -> ModelStatistics {
        let tally = match caller.may_change(task) {
            true => self.service.tally(task, version),
            false => Tally { version, ..Tally::default() },
        };
        let count = tally.run.count;
        let tally = if caller.has(Scope::Admin) { tally } else { tally.without_batches() };
        let Tally { version, last, success, fail, decode, queue, run, batches, shares } = tally;
        let phases = Phases { success, fail, queue, compute_input: decode, compute_infer: run };
        let batch = |(size, compute_infer)| BatchStatistics { size, compute_infer };
        ModelStatistics {
            name: task.to_string(),
            version: version.to_string(),
            last_inference: u64::try_from(last.as_millis()).unwrap_or(u64::MAX),
            inference_count: count,
            execution_count: shares.round() as u64,
            phases,
            batches: batches.into_iter().map(batch).collect(),
        }
    }
}
