//! Other spellings of timm's names: those of DINOv2's, DeiT III's and BEiT-like training code.

use super::checkpoint::{Checkpoint, Tensor};
use super::error::Error;
use crate::backbone::{Origin, Taken, VitConfig};

/// Gives every tensor timm's name. True where the registers are spelt as DINOv2's own code does: then the class
/// token has a row in the position table and the registers have none.
///
/// # Errors
/// When two tensors get one name.
pub(super) fn as_timms(from: &mut Checkpoint) -> Result<bool, Error> {
    let registers = from.has("register_tokens");
    let chunked = from.tensors.keys().any(|name| name.starts_with("blocks.0.0."));
    let scales = from.has("blocks.0.gamma_1") || from.has("blocks.0.0.gamma_1");
    let said = [
        (registers, "register_tokens, as DINOv2's own code spells reg_token"),
        (chunked, "blocks.<chunk>.<block>, as DINOv2's training writes them"),
        (scales, "gamma_1 and gamma_2, as DeiT III's own code spells ls1.gamma and ls2.gamma"),
    ];
    for (_, what) in said.into_iter().filter(|(there, _)| *there) {
        let (value, from_names) = (what.to_owned(), "names of tensors".to_owned());
        from.notes.push(Taken { what: "spelling".into(), value, origin: Origin::File, from: from_names });
    }
    if registers || chunked || scales {
        from.rename(|name| spell(name, chunked))?;
    }
    Ok(registers)
}

fn spell(name: &str, chunked: bool) -> String {
    let mut parts: Vec<&str> = name.split('.').collect();
    let is_number = |part: Option<&&str>| part.is_some_and(|part| part.parse::<usize>().is_ok());
    if chunked && parts.first() == Some(&"blocks") && is_number(parts.get(1)) && is_number(parts.get(2)) {
        parts.remove(1);
    }
    match parts[..] {
        ["register_tokens"] => "reg_token".into(),
        ["blocks", block, "gamma_1"] => format!("blocks.{block}.ls1.gamma"),
        ["blocks", block, "gamma_2"] => format!("blocks.{block}.ls2.gamma"),
        _ => parts.join("."),
    }
}

/// Zeros for biases that no block has (`qkv_bias` and `proj_bias` false); one missing in some blocks stays missing.
pub(super) fn fill_biases(from: &mut Checkpoint, vit: &VitConfig) {
    for (bias, width) in [("attn.qkv.bias", 3 * vit.width), ("attn.proj.bias", vit.width)] {
        let names: Vec<String> = (0..vit.depth).map(|block| format!("blocks.{block}.{bias}")).collect();
        fill(from, names, width);
    }
}

/// Zeros under all of `names`, if none is there.
pub(super) fn fill(from: &mut Checkpoint, names: Vec<String>, width: usize) {
    if names.iter().any(|name| from.has(name)) {
        return;
    }
    for name in names {
        from.tensors.insert(name, Tensor { shape: vec![width], data: vec![0.0; width] });
    }
}
