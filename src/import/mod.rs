//! Other people's files: checkpoints as backbones and as packs.
//!
//! [`backbone`] imports checkpoints of timm and Hugging Face, whatever their container; [`pack`] imports task
//! checkpoints of the reference MiMi implementation, packs of PEFT and AdapterHub, and plain heads. [`torch`] reads the files of `torch.save` without executing
//! anything. Each command is named for its room: `server import-backbone` and `server import-pack`.

pub mod backbone;
pub mod pack;
pub mod torch;
