//! Prefix tuning of `adapters`: keys and values of every layer, as they are (`flat`) or by an MLP of the prefix's embeddings,
//! which is computed once, here.
//!
//! ```text
//! all = W₂ · tanh(W₁ · e + b₁) + b₂         [R, layers, key or value, D]
//! ```

use std::path::Path;

use super::config::Prefix;
use crate::backbone::{Form, Module, Part, Place, Site};
use crate::import::backbone::checkpoint::Tensor;
use crate::import::pack::gathered::Gathered;
use crate::import::pack::refused::Refused;
use crate::import::pack::tensors::{MAX_BYTES, Tensors};

/// Where the library keeps a pool of prefixes: once in the model and again below every layer, the same tensors.
const POOL: &str = "prefix_tuning.";
/// What its tensors' names hold before their own.
const OWN: &str = ".self_prefix.";

/// Takes the prefix of every layer.
pub(super) fn take(
    tensors: &mut Tensors,
    prefix: &Prefix,
    gathered: &mut Gathered<'_>,
) -> Result<(), Refused> {
    let start = pool(tensors)?;
    drop_copies(tensors, &start)?;
    let blocks = blocks(&tensors.path, prefix, gathered)?;
    let name_of = |part: &str| format!("{start}{part}");
    let (key, all) = match prefix.is_flat {
        true => (name_of("control_trans"), tensors.take(&name_of("control_trans"))?.data),
        false => (name_of("control_trans.2.weight"), mlp(tensors, &start, prefix)?),
    };
    let mut add = |(number, &block): (usize, &usize)| {
        let module = Module { site: Site::new(block, Place::Attn), form: Form::Prefix };
        let width = gathered.config.place(module.site).map_or(0, |place| place.width());
        let expected = prefix.length * blocks.len() * 2 * width;
        if all.len() != expected {
            let (found, length, layers) = (all.len(), prefix.length, blocks.len());
            return Err(format!(
                "makes {found} numbers; {length} keys and values of width {width} in {layers} layers are {expected}"
            ));
        }
        let part = |own: usize| {
            let at = |token: usize| (token * blocks.len() * 2 + 2 * number + own) * width;
            (0..prefix.length).flat_map(|token| &all[at(token)..at(token) + width]).copied().collect()
        };
        gathered.add(module, prefix.length, vec![(Part::Keys, part(0)), (Part::Values, part(1))])
    };
    let refuse = |reason: String| Refused::key(&tensors.path, &key, reason);
    blocks.iter().enumerate().try_for_each(|block| add(block).map_err(refuse))
}

/// The blocks that have a prefix, each with a place for it: asked before anything is computed.
fn blocks(path: &Path, prefix: &Prefix, gathered: &Gathered<'_>) -> Result<Vec<usize>, Refused> {
    let depth = gathered.config.depth();
    let refuse = |reason: String| Refused::key(path, "leave_out", reason);
    if let Some(odd) = prefix.leave_out.iter().find(|block| **block >= depth) {
        return Err(refuse(format!("names block {odd}; {} has {depth}", gathered.config.name)));
    }
    let own = |block: &usize| !prefix.leave_out.contains(block);
    let blocks: Vec<usize> = gathered.config.blocks().iter().filter(own).collect();
    if blocks.is_empty() {
        return Err(refuse("leaves out every block".into()));
    }
    for &block in &blocks {
        let module = Module { site: Site::new(block, Place::Attn), form: Form::Prefix };
        let refuse = |reason: String| Refused::key(path, "prefix_length", reason);
        gathered.check(module, prefix.length).map_err(refuse)?;
    }
    Ok(blocks)
}

/// What the names of the pool's own tensors begin with.
fn pool(tensors: &Tensors) -> Result<String, Refused> {
    let names = tensors.names();
    let own = names.iter().filter(|name| is_pools(name)).min_by_key(|name| name.len());
    let start = own.and_then(|name| Some(&name[..name.find(OWN)? + OWN.len()]));
    start.map(str::to_owned).ok_or_else(|| Refused::file(&tensors.path, "has no tensor of a prefix"))
}

fn is_pools(name: &str) -> bool {
    name.contains(POOL) && name.contains(OWN)
}

/// Drops the copies below the layers, which must be the pool's own tensors.
fn drop_copies(tensors: &mut Tensors, start: &str) -> Result<(), Refused> {
    for name in tensors.names().into_iter().filter(|name| name.contains(".pool.") && is_pools(name)) {
        let copy = tensors.take(&name)?;
        let part = name.find(OWN).map_or("", |at| &name[at + OWN.len()..]);
        if tensors.tensors.get(&format!("{start}{part}")).is_none_or(|own| own.data != copy.data) {
            return Err(tensors.refuse(&name, format!("differs from {start}{part}, of which it is a copy")));
        }
    }
    Ok(())
}

/// Runs the MLP on the embeddings.
fn mlp(tensors: &mut Tensors, start: &str, prefix: &Prefix) -> Result<Vec<f32>, Refused> {
    let key = format!("{start}wte.weight");
    let embeddings = tensors.take(&key)?;
    if embeddings.shape.first() != Some(&prefix.length) {
        let reason = format!("has shape {:?}, prefix_length is {}", embeddings.shape, prefix.length);
        return Err(tensors.refuse(&key, reason));
    }
    let hidden = linear(tensors, &format!("{start}control_trans.0"), &embeddings)?;
    let data = hidden.data.iter().map(|x| prefix.activation.of(*x)).collect();
    let hidden = Tensor { shape: hidden.shape, data };
    linear(tensors, &format!("{start}control_trans.2"), &hidden).map(|all| all.data)
}

/// `x · Wᵀ + b`.
fn linear(tensors: &mut Tensors, name: &str, x: &Tensor) -> Result<Tensor, Refused> {
    let key = format!("{name}.weight");
    let (weight, bias) = (tensors.take(&key)?, tensors.take(&format!("{name}.bias"))?);
    let fit = || {
        let ([rows, input], [output, own]) = (x.matrix()?, weight.matrix()?);
        if own != input || bias.data.len() != output {
            return Err(format!(
                "has shape {:?} and a bias of {}, which do not fit {:?}",
                weight.shape,
                bias.data.len(),
                x.shape
            ));
        }
        if 4 * (rows as u64).saturating_mul(output as u64) > MAX_BYTES {
            return Err(format!("makes {rows} rows of {output}, more than the {MAX_BYTES} bytes allowed"));
        }
        let dot = |row: &[f32], to: &[f32]| row.iter().zip(to).map(|(a, b)| a * b).sum::<f32>();
        let of = |row: &[f32]| -> Vec<f32> {
            weight.data.chunks(input).zip(&bias.data).map(|(to, bias)| dot(row, to) + bias).collect()
        };
        Ok(Tensor { shape: vec![rows, output], data: x.data.chunks(input).flat_map(of).collect() })
    };
    fit().map_err(|reason| tensors.refuse(&key, reason))
}
