//! Adapters with a hidden layer: `scaling · (up · act(down · x + a) + u)`.

use super::config::{Bottleneck, Place};
use super::layer::Layer;
use super::phm;
use crate::backbone::{Form, Module, Part, Place as Where, Site, Source};
use crate::import::backbone::checkpoint::Tensor;
use crate::import::pack::gathered::Gathered;
use crate::import::pack::linear::numbered;
use crate::import::pack::refused::Refused;
use crate::import::pack::tensors::Tensors;
use crate::pack::transpose;

/// Where a ViT's blocks begin.
pub(super) const BLOCKS: [&str; 2] = ["vit.encoder.layer.", "encoder.layer."];
/// Widest hidden layer, in widths of a token: what packs may have.
const WIDEST: usize = 4;
/// The two modules of a block that hold adapters.
const HOLDERS: [(&str, bool); 2] =
    [("attention_adapters.adapters.", true), ("output.output_adapters.adapters.", false)];

/// Takes every adapter.
pub(super) fn take(
    tensors: &mut Tensors,
    bottleneck: &Bottleneck,
    gathered: &mut Gathered<'_>,
) -> Result<(), Refused> {
    for key in tensors.names() {
        let ends = [".adapter_up.weight", ".adapter_up.W_left", ".adapter_up.W"];
        let Some(name) = ends.iter().find_map(|end| key.strip_suffix(end)) else { continue };
        let module = module(name, bottleneck).map_err(|reason| tensors.refuse(&key, reason))?;
        let width = gathered.config.place(module.site).map(|place| place.width());
        let refuse = |reason: String| Refused::key(&tensors.path, &key, reason);
        let name_of = &gathered.config.name;
        let width =
            width.ok_or_else(|| refuse(format!("the backbone {name_of} has no place {}", module.site)))?;
        let is_hypercomplex = bottleneck.is_hypercomplex;
        let scaling = scaling(tensors, name, bottleneck)?;
        let down =
            layer(tensors, &format!("{name}.adapter_down.0"), [width, WIDEST * width], is_hypercomplex)?;
        let up = layer(tensors, &format!("{name}.adapter_up"), [down.output, width], is_hypercomplex)?;
        let parts = parts(down, up, &scaling);
        let hidden = parts.first().map_or(0, |(_, down)| down.len() / width.max(1));
        gathered.add(module, hidden, parts).map_err(|reason| tensors.refuse(&key, reason))?;
    }
    if bottleneck.is_hypercomplex {
        phm::drop_shared_rule(tensors);
    }
    Ok(())
}

/// Tensors as they are served, the scaling folded into what comes after the non-linearity.
fn parts(down: Layer, up: Layer, scaling: &Tensor) -> Vec<(Part, Vec<f32>)> {
    let of = |column: usize| scaling.data.get(column % scaling.data.len().max(1)).copied().unwrap_or(1.0);
    let columns = up.output.max(1);
    let scaled =
        |values: Vec<f32>| values.into_iter().enumerate().map(|(i, value)| value * of(i % columns)).collect();
    vec![
        (Part::Down, down.matrix),
        (Part::DownBias, down.bias),
        (Part::Up, scaled(up.matrix)),
        (Part::UpBias, scaled(up.bias)),
    ]
}

/// The module of an adapter of that name.
fn module(name: &str, bottleneck: &Bottleneck) -> Result<Module, String> {
    let known = || {
        let rest = BLOCKS.iter().find_map(|start| name.strip_prefix(start))?;
        let (block, rest) = numbered(rest)?;
        let (_, is_attention) = HOLDERS.iter().find(|(holder, _)| rest.starts_with(holder))?;
        Some((block, *is_attention))
    };
    let (block, is_attention) = known().ok_or("is not where a ViT has its adapters")?;
    let (place, source) = match (bottleneck.place, is_attention) {
        (Place::Branches, true) => (Where::Attn, Source::Output),
        (Place::Branches, false) => (Where::Mlp, Source::Output),
        (Place::Output, false) => (Where::Out, Source::Output),
        (Place::BesideMlp, false) => (Where::Mlp, Source::Input),
        (_, true) => return Err("is behind the attention, where the configuration has no adapter".into()),
    };
    let form = Form::Bypass { source, activation: Some(bottleneck.activation) };
    Ok(Module { site: Site::new(block, place), form })
}

/// One number, or one a channel.
fn scaling(tensors: &mut Tensors, name: &str, bottleneck: &Bottleneck) -> Result<Tensor, Refused> {
    match bottleneck.scaling {
        Some(number) => Ok(Tensor { shape: vec![1], data: vec![number as f32] }),
        None => tensors.take(&format!("{name}.scaling")),
    }
}

/// A layer that reads `input` numbers and gives at most `most`.
fn layer(
    tensors: &mut Tensors,
    name: &str,
    [input, most]: [usize; 2],
    is_hypercomplex: bool,
) -> Result<Layer, Refused> {
    if is_hypercomplex {
        return phm::layer(tensors, name, [input, most]);
    }
    let key = format!("{name}.weight");
    let (weight, bias) = (tensors.take(&key)?, tensors.take(&format!("{name}.bias"))?);
    let refuse = |reason: String| Refused::key(&tensors.path, &key, reason);
    match weight.matrix().map_err(refuse)? {
        [output, found] if found == input => {
            Ok(Layer { matrix: transpose(&weight.data, output, input), output, bias: bias.data })
        }
        [_, found] => Err(refuse(format!("reads {found} numbers, the backbone has {input} there"))),
    }
}
