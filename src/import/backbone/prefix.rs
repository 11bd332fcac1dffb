//! Where in a larger model the backbone's names begin: under `module.`, `model.`, `backbone.`, `visual.trunk.`, ….

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::{Checkpoint, Tensor};
use super::error::Error;
use crate::backbone::{Origin, Taken};

/// The patch embedding's kernel in each naming, by which a backbone is found wherever it is kept.
const ANCHORS: [&str; 5] = [
    "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.patch_embedding.weight",
    "encoder.stages.0.embedding.convolution_embeddings.projection.weight",
    "embeddings.patch_embeddings.weight",
];
/// What compilers and parallel trainers put inside names.
const WRAPPERS: [&str; 3] = ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];
/// Under what Hugging Face's models with a head keep the model without; what lies beside it is part of the whole, and
/// may belong to the backbone, as a CvT's last norm does.
const HEADED: [&str; 7] =
    ["vit.", "deit.", "dinov2.", "dinov2_with_registers.", "swin.", "cvt.", "vision_model."];
/// Of several backbones in one dictionary: averaged weights first, as timm's loader does, then DINO's teacher.
const PREFERRED: [&str; 2] = ["ema", "teacher"];

/// Takes prefixes off, so that names begin where the backbone does; the rest is left out by name.
///
/// # Errors
/// When there are several backbones and nothing says which, or none under the key asked for.
pub(super) fn strip(from: &mut Checkpoint) -> Result<(), Error> {
    unwrap(from)?;
    let roots: BTreeSet<String> = from.tensors.keys().filter_map(|name| root(name)).collect();
    let Some(chosen) = choose(from, &roots)? else { return Ok(()) };
    let others: Vec<String> = roots.iter().filter(|root| **root != chosen).map(|root| shown(root)).collect();
    if !chosen.is_empty() || !others.is_empty() {
        let also =
            if others.is_empty() { String::new() } else { format!("; also there: {}", others.join(", ")) };
        let origin = if from.prefix.is_some() { Origin::Flag } else { Origin::File };
        let line = Taken {
            what: "prefix".into(),
            value: shown(&chosen),
            origin,
            from: format!("names of tensors{also}"),
        };
        from.notes.push(line);
    }
    divide(from, &chosen, &roots)
}

/// Keeps what is under the chosen prefix, and what Hugging Face keeps beside it; sets the rest aside.
fn divide(from: &mut Checkpoint, chosen: &str, roots: &BTreeSet<String>) -> Result<(), Error> {
    let whole = HEADED.iter().find_map(|headed| chosen.strip_suffix(headed));
    let whole = whole.filter(|whole| whole.is_empty() || whole.ends_with('.'));
    let elsewhere = |name: &str| roots.iter().any(|root| root != chosen && name.starts_with(root.as_str()));
    let (mut inside, mut outside) = (BTreeMap::new(), BTreeMap::new());
    for (name, tensor) in std::mem::take(&mut from.tensors) {
        let beside = || name.strip_prefix(whole?).filter(|_| !elsewhere(&name));
        let Some(stripped) = name.strip_prefix(chosen).or_else(beside) else {
            outside.insert(name, tensor.shape);
            continue;
        };
        if inside.insert(stripped.to_owned(), tensor).is_some() {
            let reason = format!("{stripped} is there twice, once as {name}");
            return Err(Error::UnknownLayout { path: from.path.clone(), reason });
        }
    }
    from.tensors = inside;
    from.left_out.extend(outside.keys().cloned());
    from.outside = outside;
    Ok(())
}

/// Names without what wrappers put into them.
fn unwrap(from: &mut Checkpoint) -> Result<(), Error> {
    let clean = |name: &str| WRAPPERS.iter().fold(name.to_owned(), |name, wrapper| name.replace(wrapper, ""));
    if !from.tensors.keys().any(|name| WRAPPERS.iter().any(|wrapper| name.contains(wrapper))) {
        return Ok(());
    }
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, tensor) in std::mem::take(&mut from.tensors) {
        let cleaned = clean(&name);
        if tensors.insert(cleaned.clone(), tensor).is_some() {
            let reason = format!("{cleaned} is there twice, once wrapped ({name})");
            return Err(Error::UnknownLayout { path: from.path.clone(), reason });
        }
    }
    from.tensors = tensors;
    Ok(())
}

/// What stands before an anchor.
fn root(name: &str) -> Option<String> {
    let before = ANCHORS.iter().find_map(|anchor| name.strip_suffix(anchor))?;
    (before.is_empty() || before.ends_with('.')).then(|| before.to_owned())
}

fn choose(from: &Checkpoint, roots: &BTreeSet<String>) -> Result<Option<String>, Error> {
    let unknown = |reason: String| Error::UnknownLayout { path: from.path.clone(), reason };
    let list = || roots.iter().map(|root| shown(root)).collect::<Vec<_>>().join(", ");
    let only = |found: Vec<&String>| match found[..] {
        [one] => Some(one.clone()),
        _ => None,
    };
    if let Some(asked) = &from.prefix {
        let part = format!(".{}.", asked.trim_end_matches('.'));
        let bears = |root: &&String| format!(".{root}").contains(&part);
        return match only(roots.iter().filter(bears).collect()) {
            Some(one) => Ok(Some(one)),
            None => {
                let keys = if from.keys.is_empty() { "none".into() } else { from.keys.join(", ") };
                Err(unknown(format!(
                    "--key {asked}: expected a dictionary ({keys}) or how names begin ({})",
                    list()
                )))
            }
        };
    }
    if roots.len() <= 1 {
        return Ok(roots.first().cloned());
    }
    let preferred = |word: &&str| only(roots.iter().filter(|root| bears(root, word)).collect());
    match PREFERRED.iter().find_map(preferred) {
        Some(one) => Ok(Some(one)),
        None => Err(unknown(format!("several backbones are in it, under {}; choose with --key", list()))),
    }
}

/// Whether one of a prefix's words is `word`: `model_ema.module.` is one of `ema`.
fn bears(root: &str, word: &str) -> bool {
    root.split(['.', '_']).any(|part| part == word)
}

fn shown(root: &str) -> String {
    if root.is_empty() { "no prefix".into() } else { root.into() }
}
