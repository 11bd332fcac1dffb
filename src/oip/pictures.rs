//! Tensors to images.

use std::sync::Arc;

use bytes::Bytes;

use super::tensor::refuse;
use super::{Data, Datatype, Tensor};
use crate::service::{Error, Picture};

/// Encoded images, `[B]` or `[B, 1]` strings.
pub(super) const IMAGE: &str = "image";
/// Samples: UINT8 `[B, H, W, 3]`, or FP32 `[B, 3, S, S]` as the backbone takes them.
pub(super) const PIXELS: &str = "pixels";

/// Largest magnitude of a prepared sample: what 16-bit floats still hold.
const LARGEST: f32 = 65_504.0;

/// The images of a request's inputs, `side` pixels a side where they are prepared already and at most `most` of them.
pub(super) fn pictures(inputs: &[Tensor], side: usize, most: usize) -> Result<Vec<Picture>, Error> {
    let [input] = inputs else {
        let count = inputs.len();
        return Err(Error::Invalid(format!("{count} inputs: expected one, {IMAGE:?} or {PIXELS:?}")));
    };
    let count = input.shape().first().copied().unwrap_or_default();
    if count == 0 || count > most as u64 {
        let shape = input.shape();
        return refuse(input.name(), format!("shape {shape:?} is of {count} image(s): expected 1 to {most}"));
    }
    match (input.name(), input.datatype(), input.shape(), input.data()) {
        (IMAGE, Datatype::Bytes, [_] | [_, 1], Data::Strings(images)) => {
            Ok(images.iter().cloned().map(Picture::Encoded).collect())
        }
        (PIXELS, Datatype::Uint8, &[_, height, width, 3], Data::Fixed(bytes)) => {
            rgb(input, height, width, bytes)
        }
        (PIXELS, Datatype::Fp32, [_, 3, ..], Data::Fixed(bytes)) => prepared(input, side, bytes),
        (IMAGE, datatype, shape, _) => {
            refuse(IMAGE, format!("{datatype} of shape {shape:?}: expected BYTES of shape [B] or [B, 1]"))
        }
        (PIXELS, datatype, shape, _) => refuse(
            PIXELS,
            format!(
                "{datatype} of shape {shape:?}: expected UINT8 [B, H, W, 3] or FP32 [B, 3, {side}, {side}]"
            ),
        ),
        (name, ..) => refuse(name, format!("this model takes {IMAGE:?} and {PIXELS:?}")),
    }
}

fn rgb(input: &Tensor, height: u64, width: u64, bytes: &Bytes) -> Result<Vec<Picture>, Error> {
    let (Ok(height), Ok(width)) = (u32::try_from(height), u32::try_from(width)) else {
        return refuse(input.name(), format!("shape {:?}: sides are too long", input.shape()));
    };
    let each = (height as usize).saturating_mul(width as usize).saturating_mul(3);
    if each == 0 {
        return refuse(input.name(), format!("shape {:?} has no pixels", input.shape()));
    }
    let all = (0..bytes.len() / each).map(|at| bytes.slice(at * each..(at + 1) * each));
    Ok(all.map(|samples| Picture::Rgb { width, height, samples }).collect())
}

fn prepared(input: &Tensor, side: usize, bytes: &Bytes) -> Result<Vec<Picture>, Error> {
    let shape = input.shape();
    if shape.get(2..) != Some(&[side as u64, side as u64]) {
        return refuse(
            input.name(),
            format!("shape {shape:?}: expected [B, 3, {side}, {side}], as this backbone takes"),
        );
    }
    let each = 3 * side * side;
    let values = || bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk));
    // One that is not a number fails too.
    let wrong = values().enumerate().find(|(_, value)| value.is_nan() || value.abs() > LARGEST);
    if let Some((at, value)) = wrong {
        return refuse(input.name(), format!("element {at} is {value}: expected -{LARGEST} to {LARGEST}"));
    }
    let image = |at: usize| values().skip(at * each).take(each).collect::<Arc<[f32]>>();
    Ok((0..bytes.len() / (4 * each)).map(|at| Picture::Prepared(image(at))).collect())
}
