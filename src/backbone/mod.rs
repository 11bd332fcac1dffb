//! The frozen backbone as data: what it is, which tensors it has, where adapters may sit.
//!
//! Pure: nothing here runs a network. `config` describes, `site` names the places that may be changed and `module` the
//! forms of change, `layout` reads where each tensor lies in `backbone.safetensors`.
//!
//! # Layout on disk
//!
//! `models/<name>/` holds `config.json` ([`BackboneConfig`]), `backbone.safetensors` (fp32; names as in timm,
//! except that the fused `qkv` is three tensors; every matrix is stored `[in, out]`, so that a program
//! multiplies without transposing; Swin's blocks are numbered through, patch merging belongs to the block after
//! it, and tables of relative positions are gathered to a bias for each pair of tokens) and `backbone.onnx`, the
//! exported frozen graph whose external data point into the safetensors file.

mod activation;
mod config;
mod cvt;
mod depths;
mod error;
mod layout;
mod module;
mod module_set;
mod pool;
mod precision;
mod shape;
mod site;
mod swin;
mod taken;
mod vit;

pub use activation::Activation;
pub use config::{
    Architecture, BackboneConfig, CONFIG_FILE, FORMAT_VERSION, MOST_KEYS, MOST_PROMPTS, ONNX_FILE,
    Provenance, WEIGHTS_FILE,
};
pub(crate) use config::{hex, sha256_hex};
pub use cvt::{CvtBlock, CvtConfig, CvtStage};
pub use error::Error;
pub use layout::{TensorEntry, WeightLayout};
pub use module::{Form, Module, Part, Source};
pub use module_set::ModuleSet;
pub use pool::Pool;
pub use precision::Precision;
pub use shape::{PlaceShape, Shape};
pub use site::{BlockRange, Place, Site};
pub use swin::{SwinBlock, SwinConfig};
pub use taken::{Origin, Taken};
pub use vit::VitConfig;
