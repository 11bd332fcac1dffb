//! `RepositoryIndex`.

use super::asked::Asked;
use crate::grpc::door::Door;
use crate::grpc::messages::repository_index_response::ModelIndex;
use crate::grpc::messages::{RepositoryIndexRequest, RepositoryIndexResponse};
use crate::oip::IndexEntry;
use crate::service::Error;

pub(super) async fn answer(
    door: Door,
    asked: Asked<RepositoryIndexRequest>,
) -> Result<RepositoryIndexResponse, Error> {
    let all = door.protocol.index(&asked.caller, asked.message.ready);
    let told = |entry: IndexEntry| ModelIndex {
        name: entry.name,
        version: entry.version.unwrap_or_default(),
        state: entry.state.as_str().to_owned(),
        reason: entry.reason,
    };
    Ok(RepositoryIndexResponse { models: all.into_iter().map(told).collect() })
}
