//! How a ViT of timm's makes one feature of its tokens.

use super::attention_pool;
use super::checkpoint::Checkpoint;
use super::error::Error;
use super::ledger::{Ledger, Told};
use super::request::Request;
use super::timm_config::TimmConfig;
use crate::backbone::{Pool, VitConfig};

/// The pooling: asked for, told by `global_pool`, else by the tensors that are there.
///
/// timm has one norm, `norm` before or `fc_norm` after pooling; over one token they are the same. Where the pooling
/// is asked for, the norm stays where it is, as in timm's `reset_classifier`.
///
/// # Errors
/// When a file tells a pooling that is not supported, or one that does not go with the norm.
pub(super) fn pool(
    from: &Checkpoint,
    ledger: &mut Ledger,
    request: &Request,
    told: &TimmConfig,
    vit: &VitConfig,
) -> Result<Pool, Error> {
    let (norm, fc_norm) = (from.has("norm.weight"), from.has("fc_norm.weight"));
    if norm && fc_norm {
        let reason = "norm and fc_norm are both there; timm has one of them".into();
        return Err(Error::UnknownLayout { path: from.path.clone(), reason });
    }
    let mut sources = Vec::new();
    for text in told.global_pool()?.into_iter().flatten() {
        let pool = named(&text.value, vit, fc_norm);
        let pool = pool.ok_or_else(|| {
            Error::invalid(
                "pool",
                text.value.clone(),
                "config.json's global_pool is not supported: expected token, avg or map",
            )
        })?;
        sources.push(Some(text.with(pool)));
    }
    // A choice, not a fact: it may differ from what the weights were trained with.
    let pool = match request.pool {
        Some(_) => ledger.settle("pool", [Told::flag(request.pool, "pool")], None)?,
        None => ledger.settle("pool", sources, shown(from, vit, fc_norm))?,
    };
    let pool = pool.unwrap_or(Pool::Cls);
    check(pool, fc_norm, vit).map(|()| pool)
}

/// timm's word for a pooling.
fn named(word: &str, vit: &VitConfig, fc_norm: bool) -> Option<Pool> {
    match (word, fc_norm) {
        ("token", _) if vit.distillation_token => Some(Pool::ClassAndDistillation),
        ("token", _) => Some(Pool::Cls),
        ("avg", true) => Some(Pool::MeanThenNorm),
        ("avg", false) => Some(Pool::Mean),
        ("map", _) => Some(Pool::Attention),
        _ => None,
    }
}

/// What the tensors show, or what they leave open.
fn shown(from: &Checkpoint, vit: &VitConfig, fc_norm: bool) -> Option<Told<Pool>> {
    let latent = attention_pool::TIMM.latent();
    match vit {
        _ if from.has(latent) => Told::shape(Pool::Attention, format!("there is {latent}")),
        vit if vit.distillation_token => Told::shape(Pool::ClassAndDistillation, "there is dist_token"),
        _ if fc_norm => Told::guess(Pool::MeanThenNorm, "as timm's models with fc_norm have"),
        vit if vit.class_token => Told::guess(Pool::Cls, "as timm's models with cls_token and norm have"),
        _ => Told::guess(Pool::Mean, "as timm's models without cls_token have"),
    }
}

fn check(pool: Pool, fc_norm: bool, vit: &VitConfig) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::invalid("pool", pool, reason));
    match (pool, fc_norm) {
        (Pool::Attention, true) => refuse("attention pooling with fc_norm after it is not supported"),
        (Pool::Mean, true) => refuse("the weights have fc_norm, after pooling: mean_then_norm"),
        (Pool::MeanThenNorm, false) => refuse("the weights have norm, before pooling: mean"),
        (_, true) if vit.distillation_token => refuse("a distillation token with fc_norm is not supported"),
        _ => Ok(()),
    }
}

/// Whether mean and attention pooling read class and register tokens too.
///
/// # Errors
/// When files contradict each other.
pub(super) fn prefix(ledger: &mut Ledger, told: &TimmConfig, vit: &VitConfig) -> Result<bool, Error> {
    let reads = matches!(vit.pool, Pool::Mean | Pool::MeanThenNorm | Pool::Attention);
    if !reads || vit.prefix_tokens() == 0 {
        return Ok(false);
    }
    let sources = told.switch("pool_include_prefix", |model| model.pool_prefix)?;
    let usual = Told::default(false, "timm's VisionTransformer pools the patches alone");
    Ok(ledger.settle("pool_prefix", sources, usual)?.unwrap_or(false))
}
