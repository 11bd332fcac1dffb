//! Which dictionary of a `torch.save` file holds the model, as the ecosystem's own loaders choose.

use serde_json::{Map, Number, Value};

use crate::import::torch::{Id, Object, Tree};

/// Keys in the order in which they are tried: first those of timm's `load_state_dict`, the averaged weights before
/// the others, then DINO's, whose loader takes the teacher, then what other training code writes.
const ORDER: [&str; 19] = [
    "state_dict_ema",
    "model_ema",
    "state_dict",
    "model",
    "teacher",
    "student",
    "ema_state_dict",
    "ema",
    "params_ema",
    "model_state_dict",
    "model_state",
    "module",
    "net",
    "network",
    "backbone",
    "encoder",
    "target_encoder",
    "weights",
    "params",
];
/// How deep a model is looked for.
const DEPTH: usize = 4;
/// How many items of a dictionary are looked at for a tensor.
const LOOKED_AT: usize = 64;
/// Most keys an error names.
const NAMED: usize = 12;

/// A dictionary of tensors.
pub(super) struct Chosen<'t> {
    /// Its keys from the root, dotted; empty where it is the root.
    pub(super) path: String,
    pub(super) items: &'t [(Id, Id)],
    /// Other dictionaries of tensors beside it.
    pub(super) others: Vec<String>,
    /// The rest of the key that was asked for: it names no dictionary, so names must begin with it.
    pub(super) prefix: Option<String>,
}

/// Finds the model: under `key` if there is one, else by [`ORDER`].
///
/// # Errors
/// A sentence, when there is no dictionary of tensors or more than one that might be it.
pub(super) fn choose<'t>(tree: &'t Tree, key: Option<&str>) -> Result<Chosen<'t>, String> {
    let (mut at, mut path) = (tree.root(), Vec::new());
    let mut rest = key.filter(|key| !key.is_empty());
    while let Some((name, found, left)) = rest.and_then(|key| longest(tree, at, key)) {
        (at, rest) = (found, left);
        path.push(name.to_owned());
    }
    let mut others = Vec::new();
    for _ in 0..DEPTH {
        let Some((name, found)) = next(tree, at, &mut others)? else { break };
        at = found;
        path.push(name.to_owned());
    }
    let items = tree.items(at).filter(|_| holds_tensors(tree, at) && !is_module(tree, at));
    let items = items.ok_or_else(|| nothing(tree, at, &path))?;
    Ok(Chosen { path: path.join("."), items, others, prefix: rest.map(str::to_owned) })
}

/// The dictionary under the longest start of `key` that ends before a dot, and what of the key is left.
fn longest<'t, 'k>(
    tree: &'t Tree,
    at: &'t Object,
    key: &'k str,
) -> Option<(&'k str, &'t Object, Option<&'k str>)> {
    let ends = key.match_indices('.').map(|(at, _)| at).chain([key.len()]).collect::<Vec<_>>();
    ends.into_iter().rev().find_map(|end| {
        let found = tree.lookup(at, &key[..end]).filter(|found| tree.items(found).is_some())?;
        Some((&key[..end], found, key.get(end + 1..).filter(|rest| !rest.is_empty())))
    })
}

/// One level down: the first of [`ORDER`] that holds tensors or leads to some; nothing where this is the model.
fn next<'t>(
    tree: &'t Tree,
    at: &'t Object,
    others: &mut Vec<String>,
) -> Result<Option<(&'t str, &'t Object)>, String> {
    if is_module(tree, at) {
        return Ok(None);
    }
    let inside: Vec<(&str, &Object)> = dictionaries(tree, at);
    let known = |name: &str| inside.iter().find(|(key, _)| *key == name).copied();
    let leads = |(_, object): &(&str, &Object)| {
        holds_tensors(tree, object)
            || is_module(tree, object)
            || dictionaries(tree, object).iter().any(|(key, _)| ORDER.contains(key))
    };
    let mut found: Vec<(&str, &Object)> = ORDER.iter().filter_map(|name| known(name)).filter(leads).collect();
    if found.is_empty() && !holds_tensors(tree, at) {
        found = inside.into_iter().filter(|(_, object)| holds_tensors(tree, object)).collect();
        if found.len() > 1 {
            let names: Vec<&str> = found.iter().take(NAMED).map(|(name, _)| *name).collect();
            return Err(format!(
                "several dictionaries of tensors might be the model: {names:?}; choose with --key"
            ));
        }
    }
    others.extend(found.iter().skip(1).map(|(name, _)| (*name).to_owned()));
    Ok(found.first().copied())
}

/// The dictionaries under an object's keys.
fn dictionaries<'t>(tree: &'t Tree, object: &'t Object) -> Vec<(&'t str, &'t Object)> {
    let dictionary = |&(key, value): &(Id, Id)| match tree.get(key) {
        Object::Text(name) => {
            Some((name.as_str(), tree.get(value))).filter(|(_, value)| tree.items(value).is_some())
        }
        _ => None,
    };
    tree.items(object).unwrap_or_default().iter().filter_map(dictionary).collect()
}

/// Whether a whole `torch.nn.Module` was pickled instead of its tensors.
fn is_module(tree: &Tree, object: &Object) -> bool {
    matches!(object, Object::Opaque { .. }) && tree.lookup(object, "_modules").is_some()
}

fn holds_tensors(tree: &Tree, object: &Object) -> bool {
    let named = |&(key, value): &(Id, Id)| {
        matches!((tree.get(key), tree.get(value)), (Object::Text(_), Object::Tensor(_)))
    };
    tree.items(object).is_some_and(|items| items.iter().take(LOOKED_AT).any(named))
}

fn nothing(tree: &Tree, at: &Object, path: &[String]) -> String {
    let place = if path.is_empty() { "the file".to_owned() } else { format!("{:?}", path.join(".")) };
    let found = tree.describe(at);
    let keys: Vec<&str> = tree
        .items(at)
        .unwrap_or_default()
        .iter()
        .take(NAMED)
        .filter_map(|(key, _)| text(tree, *key))
        .collect();
    match (at, keys.is_empty()) {
        _ if is_module(tree, at) => {
            format!(
                "{place} is {found}, a whole model; expected what `torch.save(model.state_dict(), …)` writes"
            )
        }
        (_, true) => format!("{place} is {found}; expected a dictionary of tensors"),
        _ => format!(
            "{place} is {found} without tensors, with the keys {keys:?}; expected a dictionary of tensors"
        ),
    }
}

fn text(tree: &Tree, id: Id) -> Option<&str> {
    match tree.get(id) {
        Object::Text(text) => Some(text),
        _ => None,
    }
}

/// What timm's training writes of the model beside its weights, in the form of timm's `config.json`: `arch`, and of
/// `args` the pooling, the image size and the model's arguments.
pub(super) fn own_config(tree: &Tree) -> Option<Value> {
    let mut config = Map::new();
    let Value::String(arch) = json(tree, tree.find(&["arch"])?, DEPTH)? else { return None };
    config.insert("architecture".into(), Value::String(arch));
    let arg = |name: &str| tree.find(&["args", name]).and_then(|object| json(tree, object, DEPTH));
    let mut args = match arg("model_kwargs") {
        Some(Value::Object(args)) => args,
        _ => Map::new(),
    };
    if let Some(size) = arg("img_size") {
        args.entry("img_size").or_insert(size);
    }
    config.insert("model_args".into(), Value::Object(args));
    if let Some(pool) = arg("gp") {
        config.insert("global_pool".into(), pool);
    }
    Some(Value::Object(config))
}

/// Longest text of an argument that is read, bytes; a longer one tells nothing of a model.
const LONGEST_TEXT: usize = 256;

/// An object as JSON; `None` is left out, as nothing is told by it.
fn json(tree: &Tree, object: &Object, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let part = |id: &Id| json(tree, tree.get(*id), depth);
    match object {
        Object::Bool(value) => Some(Value::Bool(*value)),
        Object::Int(value) => i64::try_from(*value).ok().map(|value| Value::Number(value.into())),
        Object::Float(value) => Number::from_f64(*value).map(Value::Number),
        Object::Text(value) => (value.len() <= LONGEST_TEXT).then(|| Value::String(value.clone())),
        Object::List(parts) | Object::Tuple(parts) => {
            parts.iter().take(LOOKED_AT).map(part).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        Object::Dict(items) => {
            let key = |id: &Id| text(tree, *id).filter(|key| key.len() <= LONGEST_TEXT);
            let entry = |(id, value): &(Id, Id)| Some((key(id)?.to_owned(), part(value)?));
            Some(Value::Object(items.iter().take(LOOKED_AT).filter_map(entry).collect()))
        }
        _ => None,
    }
}
