//! Bytes of an uploaded picture -> pixels `[3, S, S]` for the backbone. Pure: no files, no clock, no threads.
//!
//! Reading order, which is the order of the work:
//!
//! - [`Limits`] (`limits.rs`): what is refused, from the header, before anything large is allocated.
//! - [`Format`] (`format.rs`): the format of the bytes, detected from the content.
//! - [`decode`] (`decode.rs`): bytes to an upright 8-bit RGB image, as Pillow shows it. `jpeg/`, `tiff/` and `bmp.rs`
//!   decode by themselves; `png.rs`, `gif.rs` and `webp.rs` make RGB of what crates decode; `others.rs` names formats
//!   that are not decoded. They share `flatten.rs` (alpha over white, inks), `palette.rs`, `directory.rs` (TIFF's and
//!   EXIF's fields) and `orientation.rs`.
//! - [`Preprocessing`] (`preprocessing.rs`): what the backbone's config says about size, filter, mean and deviation.
//! - `resize.rs`: exactly that resizing, equal to Pillow's bit for bit; `geometry.rs` says which part goes where,
//!   `filter.rs` which pixels weigh how much.
//! - `identity.rs`: a preprocessing as bytes, for keys.
//! - `pixels.rs`: 8-bit RGB to normalised `f32`, channels first.
//!
//! [`Error`] (`error.rs`) is the one error of this layer. No input makes this module panic.

mod bmp;
mod bmp_runs;
mod decode;
mod directory;
mod error;
mod filter;
mod flatten;
mod footprint;
mod format;
mod geometry;
mod gif;
mod identity;
mod jpeg;
mod limits;
mod orientation;
mod others;
mod palette;
mod pixels;
mod png;
mod prepare;
mod preprocessing;
mod resize;
mod samples;
mod sniff;
mod tiff;
mod webp;

pub use decode::{DECODER_VERSION, decode};
pub use error::Error;
pub use footprint::footprint;
pub use format::Format;
pub use image::RgbImage;
pub use limits::Limits;
pub use preprocessing::{Interpolation, Preprocessing, ResizeMode};
pub use samples::of_samples;
