//! How a ViT of Hugging Face's makes one feature of its tokens.

use super::attention_pool;
use super::checkpoint::Checkpoint;
use super::error::Error;
use super::family::Family;
use super::hugging_face_config::HuggingFaceConfig;
use super::ledger::{Ledger, Told};
use super::request::Request;
use crate::backbone::{Pool, VitConfig};

/// The family's pooling: what its class for classifying reads, or `pooler_output` of CLIP and SigLIP. A DeiT without
/// the teacher's classifier is read at its class token alone, as `DeiTForImageClassification` does.
///
/// # Errors
/// When the weights come with a classifier that reads what is not supported, and no pooling was asked for.
pub(super) fn pool(
    from: &Checkpoint,
    ledger: &mut Ledger,
    request: &Request,
    told: &HuggingFaceConfig,
    vit: &VitConfig,
    family: Family,
) -> Result<Pool, Error> {
    let outside = |name: &str| from.shape(name).or_else(|| from.outside(name));
    let usual = match family {
        Family::Siglip if from.has(attention_pool::HUGGING_FACE.latent()) => {
            Told::shape(Pool::Attention, format!("there is {}", attention_pool::HUGGING_FACE.latent()))
        }
        Family::Siglip => Told::default(Pool::Mean, "SiglipForImageClassification without a pooling head"),
        _ if outside("distillation_classifier.weight").is_some() => {
            Told::shape(Pool::ClassAndDistillation, "there is distillation_classifier.weight")
        }
        _ => Told::default(Pool::Cls, "the class's own"),
    };
    if request.pool.is_none() {
        let class = told.class.as_deref().unwrap_or_default();
        let joined = outside("classifier.weight").is_some_and(|shape| shape.get(1) == Some(&(2 * vit.width)));
        let unsupported = match family {
            Family::Clip
                if class == "CLIPForImageClassification" || outside("classifier.weight").is_some() =>
            {
                Some("CLIPForImageClassification reads the mean of patches before the norm")
            }
            Family::Dinov2 if class.ends_with("ForImageClassification") || joined => {
                Some("its classifier reads class token and mean of patches, joined")
            }
            _ => None,
        };
        if let Some(why) = unsupported {
            let reason = format!("{why}, which is not supported; give --pool to read something else");
            return Err(Error::invalid("pool", class, reason));
        }
    }
    if request.pool.is_some_and(|pool| pool == Pool::MeanThenNorm) {
        let reason = "no model of Hugging Face's pools before its norm; mean is after it";
        return Err(Error::invalid("pool", Pool::MeanThenNorm, reason));
    }
    let pool = ledger.settle("pool", [Told::flag(request.pool, "pool")], usual)?;
    Ok(pool.unwrap_or(Pool::Cls))
}
