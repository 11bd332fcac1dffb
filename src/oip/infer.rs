//! One inference.

use super::outputs::Wants;
use super::pictures::pictures;
use super::{Arrived, InferRequest, InferResponse, Inferred, Parameter, Parameters, Protocol};
use crate::reload::Pinned;
use crate::service::{AskOutputs, Error, Maker, Outputs, Terms};

/// Longest id of a request, bytes.
const MAX_ID: usize = 256;

impl Protocol {
    /// Answers images under a model that was pinned before they came.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the request is not understood, and whatever keeps an image from being answered.
    pub async fn infer(
        &self,
        task: Pinned,
        request: InferRequest,
        arrived: Arrived,
    ) -> Result<Inferred, Error> {
        let wants = Wants::new(&request, task.pack.manifest.problem_type)?;
        let side = self.service.backbone().image_size();
        let images = pictures(&request.inputs, side, self.service.options().max_images)?;
        if let Some(id) = request.id.as_ref().filter(|id| id.len() > MAX_ID) {
            return Err(Error::Invalid(format!("the id has {} bytes: at most {MAX_ID} are taken", id.len())));
        }
        let terms = terms(&request.parameters, arrived)?;
        let ask = AskOutputs { task, images, wants_features: wants.features(), terms };
        let given = self.service.infer(ask).await?;
        let response = InferResponse {
            model_name: given.task.to_string(),
            model_version: given.version.to_string(),
            id: request.id,
            parameters: made(&given.maker),
            outputs: wants.tensors(&given)?,
        };
        let Outputs { task, images, maker, spent, .. } = given;
        Ok(Inferred { response, task, images: images.len(), maker, spent })
    }
}

/// What made an answer, as its parameters.
fn made(maker: &Maker) -> Parameters {
    let none = Parameters::default();
    maker.facts().fold(none, |all, (fact, value)| all.with(fact.name(), Parameter::Text(value)))
}

fn terms(parameters: &Parameters, arrived: Arrived) -> Result<Terms, Error> {
    let Arrived { at, deadline, may_keep, caller } = arrived;
    let own = parameters.timeout()?.map(|timeout| at + timeout);
    let deadline = own.map_or(deadline, |own| own.min(deadline));
    let priority = parameters.priority()?;
    Ok(Terms { top_k: 1, wants_logits: false, may_keep, deadline, caller, priority })
}
