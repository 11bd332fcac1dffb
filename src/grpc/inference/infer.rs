//! `ModelInfer`.

use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::asked::{Asked, version};
use super::{contents, parameters};
use crate::grpc::door::Door;
use crate::grpc::messages::model_infer_request::InferRequestedOutputTensor;
use crate::grpc::messages::model_infer_response::InferOutputTensor;
use crate::grpc::messages::{ModelInferRequest, ModelInferResponse};
use crate::grpc::status::failed;
use crate::oip::{Arrived, InferRequest, InferResponse, Inferred, RequestedOutput, Tensor};
use crate::service::{self, AFFINITY, Costs, Ending, Error, Maker, PREFIX_CACHE};

/// The metadata that a request may set.
const KNOWN: [&str; 2] = [PREFIX_CACHE, AFFINITY];
/// Bytes before a message.
const HEAD: usize = 5;

pub(super) async fn answer(
    door: &Door,
    request: Request<ModelInferRequest>,
) -> Result<Response<ModelInferResponse>, Status> {
    let may_keep = may_keep(&request).map_err(|error| failed(&error))?;
    let asked = Asked::of(request).map_err(|error| failed(&error))?;
    let (task, caller, arrival) =
        (asked.message.model_name.clone(), asked.caller.clone(), asked.arrival.clone());
    let inferred = infer(door, asked, may_keep).await;
    let took = arrival.at.elapsed();
    door.service.count(Some(&caller), &task, Ending::of(&inferred), Some(took));
    door.service.took(took);
    let Inferred { response, task, images, maker, spent } = inferred.map_err(|error| failed(&error))?;
    let message = write(response);
    let mut costs = Costs::new(images, Some(&task));
    costs.bytes_out = (message.encoded_len() + HEAD) as u64;
    let mut response = Response::new(message);
    for (name, number) in spent.told(door.service.may_know_load(&caller)) {
        response.metadata_mut().insert(name, number.into());
    }
    tell(response.metadata_mut(), &maker);
    response.extensions_mut().insert(costs);
    Ok(response)
}

/// Puts what made an answer beside it.
fn tell(metadata: &mut MetadataMap, maker: &Maker) {
    for (fact, value) in maker.facts() {
        if let Ok(value) = value.parse() {
            metadata.insert(fact.key(), value);
        }
    }
}

async fn infer(door: &Door, asked: Asked<ModelInferRequest>, may_keep: bool) -> Result<Inferred, Error> {
    let Asked { message, caller, arrival } = asked;
    // What came is held already; a compressed message is larger here than it was, and tensors are laid out once more.
    arrival.hold(message.encoded_len())?;
    let (model, wanted) = (message.model_name.clone(), message.model_version.clone());
    let task = door.protocol.pin(&caller, &model, version(&wanted), arrival.deadline).await?;
    door.service.room()?;
    let request = read(message)?;
    let may_keep = may_keep && door.service.options().keeps_prefixes && caller.keeps_prefixes();
    let arrived = Arrived { at: arrival.at, deadline: arrival.deadline, may_keep, caller };
    door.protocol.infer(task, request, arrived).await
}

fn may_keep(request: &Request<ModelInferRequest>) -> Result<bool, Error> {
    // One that only looks like ours must not be ignored.
    let mut ours = request.metadata().as_ref().keys().filter(|name| name.as_str().starts_with("x-mimi-"));
    if let Some(name) = ours.find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(Error::Invalid(format!("unknown metadata {name}: known are {}", KNOWN.join(", "))));
    }
    service::may_keep(request.metadata().get(PREFIX_CACHE).map(|value| value.as_encoded_bytes()))
}

fn read(message: ModelInferRequest) -> Result<InferRequest, Error> {
    let ModelInferRequest { id, parameters: given, inputs, outputs, raw_input_contents, .. } = message;
    let output = |asked: InferRequestedOutputTensor| {
        Ok(RequestedOutput { name: asked.name, parameters: parameters::read(asked.parameters)? })
    };
    Ok(InferRequest {
        id: (!id.is_empty()).then_some(id),
        parameters: parameters::read(given)?,
        inputs: contents::read(inputs, raw_input_contents)?,
        outputs: outputs.into_iter().map(output).collect::<Result<_, Error>>()?,
    })
}

fn write(response: InferResponse) -> ModelInferResponse {
    let InferResponse { model_name, model_version, id, parameters: given, outputs } = response;
    let raw_output_contents = outputs.iter().map(Tensor::to_binary).collect();
    let output = |tensor: &Tensor| InferOutputTensor {
        name: tensor.name().to_owned(),
        datatype: tensor.datatype().to_string(),
        shape: tensor.shape().iter().map(|&side| i64::try_from(side).unwrap_or(i64::MAX)).collect(),
        ..InferOutputTensor::default()
    };
    ModelInferResponse {
        model_name,
        model_version,
        id: id.unwrap_or_default(),
        parameters: parameters::write(&given),
        outputs: outputs.iter().map(output).collect(),
        raw_output_contents,
    }
}
