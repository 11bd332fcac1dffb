//! `ModelStatistics`.

use super::asked::{Asked, version};
use crate::grpc::door::Door;
use crate::grpc::messages::{
    InferBatchStatistics, InferStatistics, ModelStatistics, ModelStatisticsRequest, ModelStatisticsResponse,
    StatisticDuration,
};
use crate::oip::{self, BatchStatistics};
use crate::service::{Error, Phase};

pub(super) async fn answer(
    door: Door,
    asked: Asked<ModelStatisticsRequest>,
) -> Result<ModelStatisticsResponse, Error> {
    let Asked { message: ModelStatisticsRequest { name, version: wanted }, caller, .. } = asked;
    let model = (!name.is_empty()).then_some(name.as_str());
    let all = door.protocol.statistics(&caller, model, version(&wanted)).await?;
    Ok(ModelStatisticsResponse { model_stats: all.into_iter().map(told).collect() })
}

fn told(model: oip::ModelStatistics) -> ModelStatistics {
    let phases = model.phases;
    let nothing = Some(StatisticDuration::default());
    let inference_stats = InferStatistics {
        success: duration(phases.success),
        fail: duration(phases.fail),
        queue: duration(phases.queue),
        compute_input: duration(phases.compute_input),
        compute_infer: duration(phases.compute_infer),
        compute_output: nothing,
        cache_hit: nothing,
        cache_miss: nothing,
    };
    ModelStatistics {
        name: model.name,
        version: model.version,
        last_inference: model.last_inference,
        inference_count: model.inference_count,
        execution_count: model.execution_count,
        inference_stats: Some(inference_stats),
        batch_stats: model.batches.into_iter().map(batch).collect(),
        memory_usage: Vec::new(),
    }
}

fn batch(told: BatchStatistics) -> InferBatchStatistics {
    InferBatchStatistics {
        batch_size: told.size as u64,
        compute_infer: duration(told.compute_infer),
        ..InferBatchStatistics::default()
    }
}

fn duration(phase: Phase) -> Option<StatisticDuration> {
    Some(StatisticDuration {
        count: phase.count,
        ns: u64::try_from(phase.time.as_nanos()).unwrap_or(u64::MAX),
    })
}
