//! Packs: what a task ships to be served on a shared backbone.
//!
//! `adapters/<task>/<version>/` holds `adapter_config.json` ([`Manifest`]) and `adapter_model.safetensors`,
//! PEFT's names for the same things. Packs are data only: nothing in one is ever executed.
//!
//! # Tensors
//!
//! | key | shape | dtype |
//! |---|---|---|
//! | `blocks.{i}.{attn or mlp}.adapter.down.weight` | `[R, D]` | F32 |
//! | `blocks.{i}.{attn or mlp}.adapter.up.weight` | `[D, R]` | F32 |
//! | `{module}.{down or up}.weight` | `[out, in]` | F32 |
//! | `{module}.{down or up}.bias`, `{module}.{scale or shift}` | `[out]`; a shift of scores `[H, n, n]` | F32 |
//! | `{module}.factor.{label}`, `shared.{label}` | as a factorised method has it | F32 |
//! | `head.weight`, `head.bias` | `[C, D]`, `[C]`; D of all depths together where the head reads depths | F32 |
//! | `self_test.image.{k}` | `[bytes]`, an encoded image | U8 |
//! | `self_test.logits` | `[images, C]` | F32 |

use crate::backbone::{Module, Part, Precision};

mod archive;
mod bare;
mod base;
mod decision;
mod depths;
mod error;
mod factored;
mod id;
mod manifest;
mod problem;
mod read;
mod receive;
mod resident;
pub(crate) mod small;
mod state;
mod stored;
mod stored_bits;
mod tensors;
mod weights;
mod write;

pub use archive::{
    MAX_ARCHIVE_BYTES, archive, archive_of, check_archive, unpack, unpack_unsynced, write_archive,
};
pub use base::Base;
pub use decision::Decision;
pub use error::Error;
pub use factored::{Expand, Factored, Factorised};
pub use id::{TaskId, parse_version, versions};
pub use manifest::{Manifest, Provenance, SelfTestInfo};
pub use problem::ProblemType;
pub use read::{read, read_digest, read_manifest, read_stored, read_stored_with, read_with};
pub use receive::{Upload, receive};
pub use resident::{Head, Pack, SelfTest};
pub use small::{Bits, Small};
pub use state::VersionState;
pub use stored::Stored;
pub use stored_bits::StoredBits;
pub use weights::Weights;
pub(crate) use weights::transpose;
pub use write::{Contents, write, write_with};

/// Name of the manifest inside a pack.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the tensors inside a pack.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// Version of the format that every server reads. A pack is written in it wherever it suffices.
pub const FORMAT_VERSION: u32 = 1;
/// Newest version of the format; raised when an older server could misread a newer pack.
pub const NEWEST_FORMAT_VERSION: u32 = 4;
/// `peft_type` of every pack.
pub const PEFT_TYPE: &str = "MIMI";
/// Key of a provenance's details, `true` where nothing proves that the backbone is the one a pack was trained on.
pub const BASE_UNVERIFIED: &str = "base_unverified";
/// In fp32: ten times the largest difference seen between CPUs' kernels.
const SELF_TEST_TOLERANCE: f32 = 1e-3;
/// In int8: a last bit's difference between two programs may move an activation to the next step.
const SELF_TEST_TOLERANCE_INT8: f32 = 5e-2;
/// In fp16 and TF32: the last bit of either is 5e-4 of a number.
const SELF_TEST_TOLERANCE_HALF: f32 = 1e-2;

/// Key of a module's tensor in a pack, e.g. `blocks.3.attn.adapter.down.weight`.
fn tensor_key(module: Module, part: Part) -> String {
    let name = match part {
        Part::Down => "down.weight",
        Part::DownBias => "down.bias",
        Part::Up => "up.weight",
        Part::UpBias => "up.bias",
        _ => part.as_str(),
    };
    format!("{module}.{name}")
}

/// Allowed difference of a new pack's self-test, relative to the largest logit.
pub fn self_test_tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::Fp32 => SELF_TEST_TOLERANCE,
        Precision::Int8 | Precision::Int8Reduced => SELF_TEST_TOLERANCE_INT8,
        Precision::Tf32 | Precision::Fp16 => SELF_TEST_TOLERANCE_HALF,
    }
}
